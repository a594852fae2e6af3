"""New links for whoever asks by his address. The portal asks, and does not hear whether anybody has this address."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from deploy.runtime.clock import Clock, RealClock
from schemas.events import event_id
from services.kit.database import upsert
from services.notification.calls import Call
from services.notification.messages import Kind, dump
from services.notification.newlink import LinkWanted
from services.notification.noting import count, new_row
from services.notification.people import with_address
from services.notification.reach import Reach, known
from services.notification.tables import messages, partners

_ONCE_IN = timedelta(minutes=5)
"""Who presses the button twice gets one mail."""
_PARTNERS_MAX = 10
"""So many partners may share an address."""


class Renewals:
    """Notes the mails with new links."""

    def __init__(self, engine: Engine, clock: Clock, reach: Reach) -> None:
        self._engine, self._clock, self._reach = engine, clock, reach

    def ask(self, address: str) -> None:
        """Have a new link sent to each partner and contact who has this address, in small or capital letters."""
        now, at = RealClock().now(), self._clock.now()
        with self._engine.begin() as connection:
            theirs = func.lower(partners.c.email) == address.strip().lower()
            found = connection.scalars(
                select(partners.c.partner_id).where(theirs, partners.c.email != "").limit(_PARTNERS_MAX)
            )
            for partner_id, partner in known(connection, list(found)).items():
                verdict = self._reach.judge(Kind.NEW_LINK, at, partner)
                call = Call(_id(partner_id, now), Kind.NEW_LINK, dump(LinkWanted(partner_id, at)))
                self._note(connection, call, new_row(call, partner_id, at, verdict, now))
            for contact in with_address(connection, address, _PARTNERS_MAX):
                verdict = self._reach.judge_contact(Kind.NEW_LINK, at, contact)
                wanted, contact_id = LinkWanted(contact.partner_id, at), contact.contact_id
                call = Call(_id(contact_id, now), Kind.NEW_LINK, dump(wanted))
                row = new_row(call, contact.partner_id, at, verdict, now, contact_id=contact_id)
                self._note(connection, call, row)

    def _note(self, connection: Connection, call: Call, row: dict[str, Any]) -> None:
        noted = upsert(messages, self._engine).values(row).on_conflict_do_nothing()
        if connection.execute(noted.returning(messages.c.number)).first() is not None:
            count(call.kind, row["state"])


def _id(whose: str, now: datetime) -> str:
    return event_id("new-link", whose, int(now.timestamp() // _ONCE_IN.total_seconds()))
