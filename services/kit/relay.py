"""Sends what was decided: first a row of an outbox, in the transaction that decided it; then an event on its topic."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from confluent_kafka import KafkaException, Message
from sqlalchemy import Connection, Engine, Table, bindparam, func, insert, select, update

from deploy.runtime import kafka
from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings
from schemas.codec import Codec, RegistryAway, headers_for
from schemas.events import Event, SaleReported, SaleReturned
from schemas.topics import Topic

_log = logging.getLogger("staffel.relay")
_PORTION = 1000
_FLUSH_SECONDS = 10


def post(connection: Connection, outbox: Table, topic: Topic, events: Sequence[Event], at: datetime) -> None:
    """Have events published, once this transaction is committed."""
    rows = [
        {"topic": _kind(topic, type(said)), "event": msgspec.json.encode(said).decode(), "created_at": at}
        for said in events
    ]
    if rows:
        connection.execute(insert(outbox), rows)


class Relay:
    """Sends unsent rows. An event may go out twice after a crash, under the same id; never in another order."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        engine: Engine,
        clock: Clock,
        outbox: Table,
        topics: Sequence[Topic],
        source: str,
    ) -> None:
        """``outbox`` has the columns id, topic, event (JSON), created_at, sent_at; ``topics`` are those of its rows."""
        self._settings, self._codec, self._engine, self._clock = settings, codec, engine, clock
        self._outbox, self._source = outbox, source
        self._kinds: Mapping[str, tuple[Topic, Any]] = {
            _kind(topic, event): (topic, event) for topic in topics for event in topic.events
        }
        self._producer = kafka.producer(settings)

    def step(self) -> int:
        """Send a portion of what is due. Answers how many were sent; on trouble with Kafka, fewer than there are."""
        outbox = self._outbox
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(outbox.c.id, outbox.c.topic, outbox.c.event)
                .where(outbox.c.sent_at.is_(None))
                .order_by(outbox.c.id)
                .limit(_PORTION)
            ).all()
        if not rows:
            return 0
        delivered: set[int] = set()
        try:
            for row in rows:
                topic, kind = self._kinds[row.topic]
                self._send(row.id, topic, msgspec.json.decode(row.event, type=kind), delivered)
            self._producer.flush(_FLUSH_SECONDS)
        except (KafkaException, BufferError, RegistryAway, LookupError) as error:  # a schema that is not there yet, too
            _log.warning("events can't be sent: %s", error)
        sent = []
        for row in rows:  # up to the first that failed: what follows it goes out again, behind it
            if row.id not in delivered:
                self._begin_again()
                break
            sent.append(row.id)
        self._mark(sent)
        return len(sent)

    def _send(self, row_id: int, topic: Topic, event: Any, delivered: set[int]) -> None:
        def report(error: object, _message: Message) -> None:
            if error is None:
                delivered.add(row_id)
            else:
                _log.warning("an event was not delivered: %s", error)

        self._producer.produce(
            topic.full_name(self._settings.topic_prefix),
            key=event.partner_id,
            value=self._codec.encode(topic, event),
            headers=headers_for(event, source=self._source, time=_said_at(event), subject=event.partner_id),
            on_delivery=report,
        )

    def _begin_again(self) -> None:
        """Throw the producer away, so that nothing still queued in it overtakes what is sent next."""
        self._producer.purge()
        self._producer = kafka.producer(self._settings)

    def _mark(self, ids: list[int]) -> None:
        if not ids:
            return
        outbox, now = self._outbox, self._clock.now()
        with self._engine.begin() as connection:
            connection.execute(
                update(outbox).where(outbox.c.id == bindparam("of")).values(sent_at=now), [{"of": id_} for id_ in ids]
            )


def _kind(topic: Topic, event: type[Event]) -> str:
    """What a row's ``topic`` says: the topic, and the event where the topic carries several."""
    return topic.name if len(topic.events) == 1 else f"{topic.name}:{event.__name__}"


def _said_at(event: Any) -> Any:
    return event.reported_at if isinstance(event, SaleReported | SaleReturned) else event.occurred_at


def oldest_unsent(connection: Connection, outbox: Table) -> datetime | None:
    """When the oldest row that waits to be sent was written."""
    found: datetime | None = connection.execute(
        select(func.min(outbox.c.created_at)).where(outbox.c.sent_at.is_(None))
    ).scalar()
    return found
