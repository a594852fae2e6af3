"""Partners are told by mail that an endpoint of theirs was disabled; a mail that is not true any more stays unsent."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine, select, update

from deploy.runtime.clock import Clock
from services.kit.database import upsert
from services.notification.calls import Call
from services.notification.messages import Kind, dump
from services.notification.noting import count, new_row
from services.notification.reach import Reach, known
from services.notification.tables import UNSENT, State, messages, partners
from services.notification.webhooks.outage import EndpointDisabled, id_of_outage


class Notices:
    """Notes the mails, in the transaction that disables the endpoint."""

    def __init__(self, engine: Engine, clock: Clock, reach: Reach) -> None:
        self._engine, self._clock, self._reach = engine, clock, reach

    def tell(self, connection: Connection, event: EndpointDisabled) -> None:
        """Note the message. Whoever holds the endpoint's row may call it."""
        # An address that comes in at this moment must find the message waiting, or the message find it.
        mine = select(partners.c.partner_id).where(partners.c.partner_id == event.partner_id)
        connection.execute(mine.with_for_update(read=True))
        at = self._clock.now()
        verdict = self._reach.judge(
            Kind.WEBHOOK_DISABLED, at, known(connection, [event.partner_id]).get(event.partner_id)
        )
        call = Call(id_of_outage(event.endpoint_id, event.occurred_at), Kind.WEBHOOK_DISABLED, dump(event))
        row = new_row(call, event.partner_id, at, verdict, event.occurred_at)
        added = connection.execute(
            upsert(messages, self._engine).values(row).on_conflict_do_nothing().returning(messages.c.number)
        )
        if added.first() is not None:
            count(call.kind, verdict.state)


def withdraw(connection: Connection, endpoint_id: str, disabled_at: datetime, reason: str) -> None:
    """Leave the mail about this disabling unsent, unless it is sent or under way."""
    connection.execute(
        update(messages)
        .where(
            messages.c.event_id == id_of_outage(endpoint_id, disabled_at),
            messages.c.state.in_(UNSENT),
            messages.c.claimed_by.is_(None),
        )
        .values(state=State.EXPIRED, last_error=reason)
    )
