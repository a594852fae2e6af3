"""The vendor's people as the identity provider knows them: a name each that stays, whatever they are called later.

Two people approve a payment, so a name must mean one person for good; only the provider's ``sub`` does that.
"""

from __future__ import annotations

import itertools

from sqlalchemy import Connection, insert, select

from services.portal.identity.tables import staff, staff_subjects


def name_of(connection: Connection, issuer: str, subject: str, called: str) -> str | None:
    """The name under which somebody acts here: at his first sign-in the one he is called by, if it is free. None for
    somebody who was shut out."""
    this = (staff_subjects.c.issuer == issuer, staff_subjects.c.subject == subject)
    row = connection.execute(select(staff_subjects).where(*this).with_for_update()).one_or_none()
    if row is not None:
        return None if row.disabled else str(row.name)
    name = next(name for name in _names(called) if not _taken(connection, name))
    connection.execute(insert(staff_subjects).values(issuer=issuer, subject=subject, name=name, disabled=False))
    return name


def _names(called: str) -> itertools.chain[str]:
    return itertools.chain([called], (f"{called}-{number}" for number in itertools.count(2)))


def _taken(connection: Connection, name: str) -> bool:
    here = select(staff_subjects.c.name).where(staff_subjects.c.name == name)
    local = select(staff.c.name).where(staff.c.name == name)
    return connection.execute(here.union(local)).first() is not None
