"""What a partner chose: whether he wants the weekly mail. First a row, then an event, then read back as everybody's.

Read back, so that a read model made anew from the topics still knows it; meanwhile the later of the two stands.
"""

from __future__ import annotations

import logging
from datetime import datetime

import msgspec
from confluent_kafka import KafkaException, Message
from sqlalchemy import Connection, Engine, insert, select, update

from deploy.runtime import kafka
from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings
from schemas.codec import Codec, RegistryAway, headers_for
from schemas.events import PreferencesChanged, PreferenceSource
from schemas.topics import PREFERENCES
from services.kit.consumer import Batch
from services.kit.database import upsert
from services.portal.tables import preference_outbox, preferences

_log = logging.getLogger("staffel.portal")
_PORTION = 100
_FLUSH_SECONDS = 5
_SOURCE = "staffel/portal"


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
        connection.execute(insert(preference_outbox).values(event=msgspec.json.encode(event).decode(), created_at=at))
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


class Relay:
    """Sends what was chosen, in order. An event may go out twice after a crash, under the same id."""

    def __init__(self, settings: Settings, codec: Codec, engine: Engine, clock: Clock) -> None:
        self._settings, self._codec, self._engine, self._clock = settings, codec, engine, clock
        self._producer = kafka.producer(settings)
        self._topic = PREFERENCES.full_name(settings.topic_prefix)

    def step(self) -> int:
        """Send a portion of what waits. Answers how many were sent: fewer than there are if Kafka is in trouble."""
        outbox = preference_outbox
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(outbox.c.id, outbox.c.event)
                .where(outbox.c.sent_at.is_(None))
                .order_by(outbox.c.id)
                .limit(_PORTION)
            ).all()
        sent = []
        for row in rows:
            if not self._send(msgspec.json.decode(row.event, type=PreferencesChanged)):
                break
            sent.append(row.id)
        if sent:
            with self._engine.begin() as connection:
                now = self._clock.now()
                connection.execute(update(outbox).where(outbox.c.id.in_(sent)).values(sent_at=now))
        return len(sent)

    def _send(self, event: PreferencesChanged) -> bool:
        delivered: list[bool] = []

        def report(error: object, _message: Message) -> None:
            delivered.append(error is None)

        try:
            self._producer.produce(
                self._topic,
                key=event.partner_id,
                value=self._codec.encode(PREFERENCES, event),
                headers=headers_for(event, source=_SOURCE, time=event.occurred_at, subject=event.partner_id),
                on_delivery=report,
            )
            self._producer.flush(_FLUSH_SECONDS)
        except (KafkaException, BufferError, RegistryAway, LookupError) as error:
            _log.warning("a partner's choice can't be told: %s", error)
        if delivered == [True]:
            return True
        self._producer.purge()  # nothing still queued may overtake what is sent next
        self._producer = kafka.producer(self._settings)
        return False
