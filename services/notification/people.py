"""The contacts of partners: named on the portal's behalf, invited, and forgotten.

The portal is the source of who may come in and as what: ``settle`` brings this list to what it says, as often as it
says it. A contact's address never becomes another one: for that he is removed and named anew.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from deploy.runtime.clock import Clock, RealClock
from deploy.runtime.errors import StaffelError
from schemas.events import event_id
from services.kit.contacts import CONTACTS_MAX, Standing, is_contact_id
from services.kit.database import upsert
from services.kit.speech import LANGUAGES
from services.notification.addressees import contacts_of, gets
from services.notification.addresses import masked
from services.notification.calls import Call
from services.notification.envelope import Unmailable, mailable
from services.notification.invitations import ContactNamed
from services.notification.messages import Kind, dump
from services.notification.noting import count, new_row
from services.notification.reach import UNSUBSCRIBED, Reach, known
from services.notification.tables import UNSENT, State, contacts, messages, partners

NAME_LENGTH_MAX = 80
_NO_NAME = ("@", "://", "www.")
"""What a name has no need of, and somebody who wants a reader to go elsewhere has."""
_REMOVED = "no contact of the partner any more"


class Wish(NamedTuple):
    """What a contact is to be."""

    contact_id: str
    standing: Standing
    language: str


class People:
    """Changes the list, and notes the mails about it in the same transaction."""

    def __init__(self, engine: Engine, clock: Clock, reach: Reach) -> None:
        self._engine, self._clock, self._reach = engine, clock, reach
        self._real = RealClock()

    def listed(self, connection: Connection, partner_id: str, *, whole: bool) -> list[dict[str, Any]]:
        """A partner's contacts by name; without ``whole`` their addresses masked."""
        mine = select(contacts).where(contacts.c.partner_id == partner_id)
        return [
            {
                "contact_id": row.contact_id,
                "name": row.name,
                "email": row.email if whole else masked(row.email),
                "standing": row.standing,
                "language": row.language,
                "weekly_mail": row.weekly_mail,
                "added_at": row.added_at,
                "bad_status": row.bad_status,
            }
            for row in connection.execute(mine.order_by(contacts.c.name, contacts.c.contact_id))
        ]

    def add(self, partner_id: str, wish: Wish, name: str, email: str) -> None:
        """Name somebody, and invite him. Again with the same id: no effect. Raises StaffelError."""
        name, email = _name(name), _address(email)
        if not is_contact_id(wish.contact_id) or wish.language not in LANGUAGES:
            raise StaffelError("this is no contact", code="usage")
        now = self._real.now()
        row = {"contact_id": wish.contact_id, "partner_id": partner_id, "name": name, "email": email}
        row |= {"standing": wish.standing.value, "language": wish.language}
        with self._engine.begin() as connection:
            # Two that are named at once must see each other.
            mine = select(partners).where(partners.c.partner_id == partner_id).with_for_update()
            partner = connection.execute(mine).one_or_none()
            if partner is None:
                raise StaffelError("the partner is not registered", code="unknown-partner")
            others = connection.execute(select(contacts).where(contacts.c.partner_id == partner_id)).all()
            if any(other.contact_id == wish.contact_id for other in others):
                return
            if email.lower() in {partner.email.lower(), *(other.email.lower() for other in others)}:
                raise StaffelError("this address is named already", code="known-address")
            if len(others) >= CONTACTS_MAX:
                raise StaffelError(f"at most {CONTACTS_MAX} contacts are named", code="too-many")
            connection.execute(insert(contacts).values(**row, weekly_mail=True, added_at=now))
            (contact,) = [one for one in contacts_of(connection, [partner_id])[partner_id] if one.email == email]
            self._note(connection, Kind.INVITATION, event_id("invitation", wish.contact_id), contact, to_contact=True)
            self._note(connection, Kind.CONTACT_ADDED, event_id("contact-added", wish.contact_id), contact)

    def settle(self, partner_id: str, wish: Wish, *, weekly_mail: bool, gone: bool, at: datetime) -> None:
        """Make somebody what the portal says that he is since then. What is so already is no news."""
        with self._engine.begin() as connection:
            found = contacts_of(connection, [partner_id]).get(partner_id, [])
            contact = next((one for one in found if one.contact_id == wish.contact_id), None)
            if contact is None:
                return
            if gone:
                self._note(connection, Kind.CONTACT_REMOVED, event_id("contact-removed", contact.contact_id), contact)
                connection.execute(delete(contacts).where(contacts.c.contact_id == contact.contact_id))
                _give_up(connection, contact, _REMOVED)
                return
            said = {"standing": wish.standing.value, "language": wish.language, "weekly_mail": weekly_mail}
            connection.execute(update(contacts).where(contacts.c.contact_id == contact.contact_id).values(said))
            if not weekly_mail:
                _give_up(connection, contact, UNSUBSCRIBED, [Kind.WEEKLY])
            if contact.standing != wish.standing:
                refused = [kind for kind in Kind if not gets(wish.standing, kind)]
                _give_up(connection, contact, "not for an accountant", refused)
                id_ = event_id("contact-changed", contact.contact_id, at.astimezone(UTC).isoformat())
                self._note(connection, Kind.CONTACT_CHANGED, id_, contact, standing=wish.standing)

    def _note(
        self,
        connection: Connection,
        kind: Kind,
        id_: str,
        contact: Row[Any],
        *,
        to_contact: bool = False,
        standing: str = "",
    ) -> None:
        partner, at = known(connection, [contact.partner_id]).get(contact.partner_id), self._clock.now()
        event = ContactNamed(
            contact.partner_id,
            contact.contact_id,
            contact.name,
            standing or contact.standing,
            (partner.name if partner else "") or contact.partner_id,
            at,
        )
        verdict = self._reach.judge_contact(kind, at, contact) if to_contact else self._reach.judge(kind, at, partner)
        addressee = contact.contact_id if to_contact else None
        call = Call(id_, kind, dump(event))
        row = new_row(call, contact.partner_id, at, verdict, self._real.now(), contact_id=addressee)
        noted = upsert(messages, self._engine).values(row).on_conflict_do_nothing().returning(messages.c.number)
        if connection.execute(noted).first() is not None:
            count(kind, verdict.state)


def with_address(connection: Connection, address: str, limit: int) -> list[Row[Any]]:
    """The contacts who have this address, in small or capital letters, as ``Reach`` judges them."""
    theirs = func.lower(contacts.c.email) == address.strip().lower()
    partner_ids = list(connection.scalars(select(contacts.c.partner_id).where(theirs).limit(limit)))
    found = contacts_of(connection, partner_ids)
    return [one for row in found.values() for one in row if one.email.lower() == address.strip().lower()]


def _give_up(connection: Connection, contact: Row[Any], reason: str, kinds: list[Kind] | None = None) -> None:
    """Leave unsent what is for him and is not under way."""
    connection.execute(
        update(messages)
        .where(messages.c.partner_id == contact.partner_id, messages.c.contact_id == contact.contact_id)
        .where(messages.c.state.in_(UNSENT), messages.c.claimed_by.is_(None))
        .where(messages.c.kind.in_(list(Kind) if kinds is None else kinds))
        .values(state=State.EXPIRED, last_error=reason)
    )


def _name(text: str) -> str:
    name = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if not name or len(name) > NAME_LENGTH_MAX or any(part in name.lower() for part in _NO_NAME):
        raise StaffelError(f"a contact has a name of at most {NAME_LENGTH_MAX} letters", code="bad-name")
    return name


def _address(text: str) -> str:
    try:
        mailable(text)
    except Unmailable:
        raise StaffelError("this is no mail address", code="bad-address") from None
    return text.strip()
