"""The vendor's people who sign in here with a password: who they are and what they may do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from deploy.runtime.clock import RealClock
from deploy.runtime.errors import StaffelError, UsageError
from services.portal.audit import note
from services.portal.auth import STAFF, Role, end_all
from services.portal.identity import passwords
from services.portal.identity.tables import factors, single_codes, staff, staff_subjects

ROLES = {"viewer": Role.VIEWER, "operator": Role.OPERATOR, "approver": Role.APPROVER}
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def owner_of(name: str) -> str:
    """How somebody of the staff is called in the record and as the owner of a second factor."""
    return f"{STAFF} {name}"


def read_role(text: str) -> Role:
    """A role by its name. Raises UsageError."""
    if text not in ROLES:
        raise UsageError(f"there is no role {text!r}", f"choose one of {', '.join(ROLES)}")
    return ROLES[text]


def read_name(text: str) -> str:
    """A name in the one way it is written: small letters. Raises UsageError for what can be no name."""
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise UsageError(f"{text!r} can't be a name", "small letters, digits, dots and hyphens, up to 40")
    return name


def find(connection: Connection, name: str, *, for_update: bool = False) -> Row[Any] | None:
    """Somebody by his name; ``for_update``: nobody changes him until this transaction ends."""
    query = select(staff).where(staff.c.name == name)
    return connection.execute(query.with_for_update() if for_update else query).one_or_none()


def everybody(connection: Connection) -> Sequence[Row[Any]]:
    """All of them, by name."""
    return connection.execute(select(staff).order_by(staff.c.name)).all()


def add(connection: Connection, name: str, password: str, role: Role, by: str) -> None:
    """Enter somebody. Raises UsageError for a name that is taken or a password that will not do."""
    passwords.check(password, name)
    if find(connection, name) is not None:
        raise UsageError(f"{name} is there already", f"change the password: ./staffel staff password {name}")
    row = {"name": name, "password_hash": passwords.digest(password), "role": role, "disabled": False}
    connection.execute(insert(staff).values(row | {"created_at": RealClock().now()}))
    note(connection, by, "staff-added", name, role=role.name.lower())


def change_password(connection: Connection, name: str, password: str, by: str) -> None:
    """Set another password. Ends all sessions of its owner."""
    _known(connection, name)
    passwords.check(password, name)
    _set(connection, name, password_hash=passwords.digest(password))
    ended = end_all(connection, STAFF, person=name)
    note(connection, by, "staff-password-changed", name, sessions_ended=ended)


def change_role(connection: Connection, name: str, role: Role, by: str) -> None:
    """Let somebody do more, or less. Ends all his sessions."""
    _known(connection, name)
    _set(connection, name, role=role)
    end_all(connection, STAFF, person=name)
    note(connection, by, "staff-role-changed", name, role=role.name.lower())


def disable(connection: Connection, name: str, by: str) -> int:
    """Shut somebody out, at once, wherever he signs in. Answers how many sessions that ended."""
    _let_in(connection, name, disabled=True)
    ended = end_all(connection, STAFF, person=name)
    note(connection, by, "staff-disabled", name, sessions_ended=ended)
    return ended


def enable(connection: Connection, name: str, by: str) -> None:
    """Let somebody in again who was shut out."""
    _let_in(connection, name, disabled=False)
    note(connection, by, "staff-enabled", name)


def forget_factors(connection: Connection, name: str, by: str) -> int:
    """Forget the second factors of somebody who has lost them. Answers how many there were."""
    _known(connection, name)
    found = connection.execute(delete(factors).where(factors.c.owner == owner_of(name))).rowcount
    connection.execute(delete(single_codes).where(single_codes.c.owner == owner_of(name)))
    end_all(connection, STAFF, person=name)
    note(connection, by, "staff-factors-forgotten", name, factors=found)
    return found


def signed_in(connection: Connection, name: str, at: datetime) -> None:
    """Note when somebody was last here."""
    _set(connection, name, signed_in_at=at)


def of_the_provider(connection: Connection) -> Sequence[Row[Any]]:
    """Those who have signed in at the identity provider, by name."""
    return connection.execute(select(staff_subjects).order_by(staff_subjects.c.name)).all()


def _let_in(connection: Connection, name: str, *, disabled: bool) -> None:
    changed = sum(
        connection.execute(update(table).where(table.c.name == name).values(disabled=disabled)).rowcount
        for table in (staff, staff_subjects)
    )
    if not changed:
        _known(connection, name)


def _set(connection: Connection, name: str, **facts: Any) -> None:
    connection.execute(update(staff).where(staff.c.name == name).values(**facts))


def _known(connection: Connection, name: str) -> Row[Any]:
    found = find(connection, name)
    if found is None:
        raise StaffelError(f"nobody here is called {name}", "see ./staffel staff list")
    return found
