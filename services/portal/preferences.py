"""What a partner chose: whether he wants the weekly mail. First a row, then an event, then read back as everybody's.

Read back, so that a read model made anew from the topics still knows it; meanwhile the later of the two stands.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine, select

from schemas.events import PreferencesChanged, PreferenceSource
from schemas.topics import PREFERENCES
from services.kit.consumer import Batch
from services.kit.database import upsert
from services.kit.relay import post
from services.portal.tables import outbox, preferences


def wants_weekly_mail(connection: Connection, partner_id: str) -> bool:
    """Whether the partner gets the weekly mail: everybody does who did not turn it off."""
    chosen = connection.execute(select(preferences.c.weekly_mail).where(preferences.c.partner_id == partner_id))
    return chosen.scalar_one_or_none() is not False


def choose(engine: Engine, partner_id: str, weekly_mail: bool, source: PreferenceSource, at: datetime) -> bool:
    """Write down a partner's choice, to be told to everybody. Answers whether it is another one than before."""
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)  # as precise as the event
    with engine.begin() as connection:
        if wants_weekly_mail(connection, partner_id) == weekly_mail:
            return False
        event = PreferencesChanged(partner_id, weekly_mail, source, at)
        _put(connection, engine, [event])
        post(connection, outbox, PREFERENCES, [event], at)
    return True


def project(batch: Batch) -> None:
    """Take over what the topic says."""
    events = [record.event for record in batch.received if isinstance(record.event, PreferencesChanged)]
    latest = {event.partner_id: event for event in events}
    _put(batch.connection, batch.connection.engine, [latest[partner_id] for partner_id in sorted(latest)])


def _put(connection: Connection, engine: Engine, events: list[PreferencesChanged]) -> None:
    if not events:
        return
    statement = upsert(preferences, engine)
    later = statement.excluded.changed_at >= preferences.c.changed_at
    changed = {name: statement.excluded[name] for name in ("weekly_mail", "changed_at")}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["partner_id"], set_=changed, where=later),
        [{"partner_id": e.partner_id, "weekly_mail": e.weekly_mail, "changed_at": e.occurred_at} for e in events],
    )
