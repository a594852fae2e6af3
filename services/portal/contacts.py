"""Who may come in for a partner beside the address of his registration, and as what.

The portal decides, from a table of ids that names nobody: a contact who was removed is out with the transaction that
removes him, whoever else is away. Notification, which knows name and address, is told afterwards, until it has heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, delete, insert, select, update

from schemas.events import PreferenceSource
from services.kit.contacts import Standing
from services.portal import preferences
from services.portal.audit import of_partner
from services.portal.auth import PARTNER, end_all
from services.portal.counted import count_choice
from services.portal.identity.tables import factors, single_codes
from services.portal.tables import contacts


def named(connection: Connection, partner_id: str, *, removed: bool = False) -> Sequence[Row[Any]]:
    """Those who may come in; with ``removed`` those as well who were shut out just now."""
    mine = select(contacts).where(contacts.c.partner_id == partner_id).order_by(contacts.c.contact_id)
    return connection.execute(mine if removed else mine.where(contacts.c.removed_at.is_(None))).all()


def find(connection: Connection, partner_id: str, contact_id: str) -> Row[Any] | None:
    """One of them; None for one who was removed, or never named by this partner."""
    return connection.execute(select(contacts).where(_one(partner_id, contact_id))).one_or_none()


def add(
    connection: Connection, partner_id: str, contact_id: str, standing: Standing, language: str, at: datetime
) -> None:
    """Let somebody in from now on. Notification knows him already."""
    row = {"contact_id": contact_id, "partner_id": partner_id, "standing": standing, "language": language}
    connection.execute(insert(contacts).values(**row, weekly_mail=True, changed_at=at, told=True))


def change(
    connection: Connection, partner_id: str, contact_id: str, standing: Standing, language: str, at: datetime
) -> bool:
    """Make somebody something else, or speak to him in another language. False if he is not there."""
    before = find(connection, partner_id, contact_id)
    if before is None:
        return False
    if standing != before.standing:
        _shut_out(connection, partner_id, contact_id)  # he comes in anew, as what he is now
    _set(connection, partner_id, contact_id, at, standing=standing, language=language)
    return True


def choose(
    engine: Engine,
    source: PreferenceSource,
    partner_id: str,
    contact_id: str,
    at: datetime,
    real: datetime,
    *,
    weekly_mail: bool | None = None,
    language: str | None = None,
) -> None:
    """Write down what a contact chose for himself; without one, what was chosen for the partner. None leaves it as it
    is. ``at`` is the programme's time, ``real`` the one that contacts live by."""
    if not contact_id:
        preferences.choose(engine, partner_id, source, at, weekly_mail=weekly_mail, language=language)
        return
    chosen = {"weekly_mail": weekly_mail, "language": language}
    facts = {name: value for name, value in chosen.items() if value is not None}
    with engine.begin() as connection:
        before = find(connection, partner_id, contact_id)
        if before is not None and any(before._mapping[name] != value for name, value in facts.items()):
            _set(connection, partner_id, contact_id, real, **facts)


def remove(connection: Connection, partner_id: str, contact_id: str, at: datetime) -> bool:
    """Shut somebody out: sessions and links end, second factors are forgotten. False if he is not there."""
    if find(connection, partner_id, contact_id) is None:
        return False
    _shut_out(connection, partner_id, contact_id)
    _set(connection, partner_id, contact_id, at, removed_at=at)
    return True


def forget_all(connection: Connection, partner_ids: Sequence[str]) -> None:
    """Of partners who were erased nobody may come in. Notification hears of it as we did."""
    rows = connection.execute(select(contacts).where(contacts.c.partner_id.in_(partner_ids))).all()
    for row in rows:
        _shut_out(connection, row.partner_id, row.contact_id)
    connection.execute(delete(contacts).where(contacts.c.partner_id.in_(partner_ids)))


def untold(connection: Connection) -> Sequence[Row[Any]]:
    """Whom notification has still to hear about."""
    return connection.execute(select(contacts).where(contacts.c.told.is_(False)).order_by(contacts.c.changed_at)).all()


def was_told(connection: Connection, row: Row[Any]) -> None:
    """Notification has heard what this row said. If it says something else by now, it must hear that, too."""
    this = and_(contacts.c.contact_id == row.contact_id, contacts.c.changed_at == row.changed_at)
    if row.removed_at is not None:
        connection.execute(delete(contacts).where(this))
    else:
        connection.execute(update(contacts).where(this).values(told=True))


def owner_of(partner_id: str, contact_id: str) -> str:
    """Whose second factors and acts are those of a contact."""
    return of_partner(partner_id, contact_id)


def _one(partner_id: str, contact_id: str) -> Any:
    this = (contacts.c.partner_id == partner_id, contacts.c.contact_id == contact_id)
    return and_(*this, contacts.c.removed_at.is_(None))


def _set(connection: Connection, partner_id: str, contact_id: str, at: datetime, **facts: Any) -> None:
    connection.execute(update(contacts).where(_one(partner_id, contact_id)).values(**facts, changed_at=at, told=False))
    count_choice(connection, [partner_id])


def _shut_out(connection: Connection, partner_id: str, contact_id: str) -> None:
    end_all(connection, PARTNER, partner_id, contact_id)
    for table in (factors, single_codes):
        connection.execute(delete(table).where(table.c.owner == owner_of(partner_id, contact_id)))
