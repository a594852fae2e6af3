"""Whom a message goes to: the partner himself, an address that he had, or one of the contacts whom he named.

Each contact gets a mail of his own, under an id that follows from the event's and his: once, in his language, with his
own link.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Join, Row, and_, case, func, literal, select

from services.kit.contacts import Standing
from services.notification.calls import Call
from services.notification.messages import Kind
from services.notification.tables import contacts, messages, partners, preferences

_FOR_ACCOUNTANTS = frozenset(
    {
        *(Kind.PROVISIONAL, Kind.FINAL, Kind.ADJUSTMENT),
        *(Kind.IN_PAYMENT, Kind.SET_OFF, Kind.PAID, Kind.RETURNED),
        *(Kind.INVITATION, Kind.NEW_LINK),
    }
)
"""How a quarter ended and what became of its money. What asks for something to be done goes to who may do it."""


def gets(standing: str, kind: Kind) -> bool:
    """Whether a contact of this standing gets the mails of a kind that go to the partner."""
    return standing == Standing.OWNER or kind in _FOR_ACCOUNTANTS


def copy_for(call: Call, contact_id: str) -> Call:
    """The same mail for a contact."""
    return call._replace(id=f"{call.id}/{contact_id}")


def contacts_of(connection: Connection, partner_ids: Collection[str]) -> dict[str, list[Row[Any]]]:
    """The contacts of these partners, as ``Reach`` judges them."""
    if not partner_ids:
        return {}
    rows = connection.execute(
        select(contacts, partners.c.left_on, literal(None).label("fingerprint"))
        .join(partners, partners.c.partner_id == contacts.c.partner_id)
        .where(contacts.c.partner_id.in_(partner_ids))
        .order_by(contacts.c.contact_id)
    )
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.partner_id, []).append(row)
    return found


def with_addressees(*, registered: bool) -> Join:
    """Messages beside what these columns are taken from; without ``registered`` those as well of unknown partners."""
    of_partner = partners.c.partner_id == messages.c.partner_id
    contact = and_(contacts.c.contact_id == messages.c.contact_id, contacts.c.partner_id == messages.c.partner_id)
    return (
        messages.join(partners, of_partner, isouter=not registered)
        .outerjoin(preferences, preferences.c.partner_id == messages.c.partner_id)
        .outerjoin(contacts, contact)
    )


def addressee_columns() -> tuple[ColumnElement[Any], ...]:
    """What a mail must know of whom it goes to: name, email, language, country. The email of a removed one is null."""
    chosen = func.coalesce(func.nullif(preferences.c.language, ""), partners.c.language)
    return (
        _of_either(contacts.c.name, partners.c.name).label("name"),
        _of_either(contacts.c.email, func.coalesce(messages.c.recipient, partners.c.email)).label("email"),
        _of_either(contacts.c.language, chosen).label("language"),
        partners.c.country,
    )


def is_to_himself(row: Row[Any]) -> bool:
    """Whether a message goes to the partner's present address."""
    return row.recipient is None and row.contact_id is None


def _of_either(contact: Column[Any], partner: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((messages.c.contact_id.is_not(None), contact), else_=partner)
