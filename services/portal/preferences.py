"""What a partner chose: whether he wants the weekly mail, and his language. First a row, then an event, then read back.

Read back, so that a read model made anew from the topics still knows it; meanwhile the later of the two stands.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine, select

from schemas.events import PreferencesChanged, PreferenceSource
from schemas.topics import PREFERENCES
from services.kit.consumer import Batch
from services.kit.database import upsert
from services.kit.relay import post
from services.kit.speech import known_language
from services.portal.counted import count_choice
from services.portal.tables import outbox, preferences


class Choice(NamedTuple):
    """What somebody chose; who never chose gets every mail, in the language of his registration."""

    weekly_mail: bool = True
    language: str = ""
    """Empty: that of the registration."""


def chosen(connection: Connection, partner_id: str) -> Choice:
    """What a partner chose."""
    columns = (preferences.c.weekly_mail, preferences.c.language)
    row = connection.execute(select(*columns).where(preferences.c.partner_id == partner_id)).one_or_none()
    return Choice(*row) if row is not None else Choice()


def choose(
    engine: Engine,
    partner_id: str,
    source: PreferenceSource,
    at: datetime,
    *,
    weekly_mail: bool | None = None,
    language: str | None = None,
) -> bool:
    """Write down a partner's choice, to be told to everybody; None leaves it as it is. Answers whether it is another
    one than before."""
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)  # as precise as the event
    with engine.begin() as connection:
        before = chosen(connection, partner_id)
        now = Choice(
            before.weekly_mail if weekly_mail is None else weekly_mail,
            before.language if language is None else language,
        )
        if now == before:
            return False
        event = PreferencesChanged(partner_id, now.weekly_mail, source, at, now.language)
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
    changed = {name: statement.excluded[name] for name in ("weekly_mail", "language", "changed_at")}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["partner_id"], set_=changed, where=later),
        [
            {
                "partner_id": event.partner_id,
                "weekly_mail": event.weekly_mail,
                "language": known_language(event.chosen_language),
                "changed_at": event.occurred_at,
            }
            for event in events
        ],
    )
    count_choice(connection, (event.partner_id for event in events))
