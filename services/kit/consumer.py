"""Reads topics with the offsets kept in the service's own database.

An event's effect, its id and the offset behind it are written in one database transaction, and reading starts at the
offset in the database: a crash anywhere, or a database restored from a backup, repeats or catches up and never skips.
One instance of a service reads at a time; the unique event id keeps a second one harmless.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from prometheus_client import Counter, Gauge
from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, MetaData, String, Table, delete, select

from deploy.runtime import kafka
from deploy.runtime.clock import Clock
from deploy.runtime.errors import NotReady, StaffelError
from deploy.runtime.settings import Settings
from schemas.codec import Codec, Undecodable, header
from schemas.events import Event
from schemas.topics import MOVED_TO, Topic
from services.kit.database import Instant, upsert

_log = logging.getLogger("staffel.consumer")
EVENTS = Counter("staffel_service_events_total", "Events read by a service", ["topic", "result"])
BEHIND = Gauge("staffel_service_behind_records", "Records that a service has still to read", ["topic"])


class Received(NamedTuple):
    """One record, decoded. ``event`` is None for a tombstone."""

    topic: Topic
    key: str
    event: Event | None
    event_id: str
    recorded_at: datetime
    """Broker time of the record, on the stack's clock."""
    partition: int
    offset: int
    moved: bool = False
    """A tombstone that takes away nothing: what stood there goes on in another topic."""


class Batch(NamedTuple):
    """What a handler works on: new records of one topic in order, within an open transaction."""

    connection: Connection
    received: Sequence[Received]


class Subscription(NamedTuple):
    """A topic and what to do with its records."""

    topic: Topic
    handle: Callable[[Batch], None]
    anew: Callable[[Connection], None] | None = None
    """For state that can be made anew when its topic is lost: lets the new topic's records count as later than those
    of the old one. Rows stay until then. None: a topic that was created anew is refused."""


def consumer_tables(metadata: MetaData) -> tuple[Table, Table, Table]:
    """The tables that a reading service needs: offsets, inbox, quarantine."""
    return (
        Table(
            "offsets",
            metadata,
            Column("topic", String(200), primary_key=True),
            Column("partition", Integer, primary_key=True),
            Column("topic_id", String(40), nullable=False),
            Column("next_offset", BigInteger, nullable=False),
        ),
        Table(
            "inbox",
            metadata,
            Column("event_id", String(64), primary_key=True),
            Column("topic", String(200), nullable=False),
            Column("partition", Integer, nullable=False),
            Column("offset", BigInteger, nullable=False),
            Column("recorded_at", Instant, nullable=False),
        ),
        Table(
            "quarantine",
            metadata,
            Column("topic", String(200), primary_key=True),
            Column("partition", Integer, primary_key=True),
            Column("offset", BigInteger, primary_key=True),
            Column("reason", String(500), nullable=False),
        ),
    )


class Reader:
    """Reads the subscribed topics, batch by batch. Call ``step`` in a loop."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        codec: Codec,
        engine: Engine,
        metadata: MetaData,
        subscriptions: Iterable[Subscription],
    ) -> None:
        self._engine, self._clock, self._codec = engine, clock, codec
        self._offsets, self._inbox, self._quarantine = (
            metadata.tables[name] for name in ("offsets", "inbox", "quarantine")
        )
        self._by_name = {s.topic.full_name(settings.topic_prefix): s for s in subscriptions}
        self._consumer = kafka.reader(settings)
        self._ids = self._topic_ids(settings)
        self._next = self._assign()
        self._ended: set[tuple[str, int]] = set()
        self._reached = dict(self._next)

    @property
    def positions(self) -> dict[tuple[str, int], int]:
        """For each (full topic name, partition), the offset behind the last record whose effect is in the database."""
        return dict(self._next)

    @property
    def reached(self) -> dict[tuple[str, int], int]:
        """The same, counting what holds no event: a partition may end in a transaction's marker."""
        return dict(self._reached)

    @property
    def caught_up(self) -> bool:
        """True once every partition was read to its end."""
        return len(self._ended) == len(self._next)

    def step(self, timeout: float = 0.2, batch_size: int = 2000) -> int:
        """Read what has come, write its effects, return the number of records. Waits ``timeout`` seconds at most."""
        by_topic: dict[str, list[Message]] = {}
        count = 0
        for message in self._consumer.consume(batch_size, timeout):
            error = message.error()
            if error is None:
                by_topic.setdefault(message.topic(), []).append(message)
                self._ended.discard((message.topic(), message.partition()))
                count += 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._ended.add((message.topic(), message.partition()))
                self._reached[message.topic(), message.partition()] = message.offset()
            elif error.retriable() or error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
                _log.warning("Kafka: %s", error.str())
            else:
                raise StaffelError(
                    f"reading {message.topic()} failed: {error.str()}",
                    "records between the database's offset and the log may be gone; see deploy/docs/operations.md",
                )
        # Topics in the order of their subscription, so that a service can rely on, say, partners before closes.
        for name in self._by_name:
            if name in by_topic:
                self._apply(name, by_topic[name])
        return count

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()

    def _apply(self, name: str, messages: list[Message]) -> None:
        subscription = self._by_name[name]
        decoded = [(m, self._decode(subscription.topic, m)) for m in messages]
        with self._engine.begin() as connection:
            fresh = self._unseen(connection, subscription.topic, [r for _, r in decoded if isinstance(r, Received)])
            for message, found in decoded:
                if isinstance(found, Undecodable):
                    self._set_aside(connection, message, found)
            if fresh:
                subscription.handle(Batch(connection, fresh))
            ends = {message.partition(): message.offset() + 1 for message in messages}
            for partition, next_offset in ends.items():
                row = {
                    "topic": name,
                    "partition": partition,
                    "topic_id": self._ids[name],
                    "next_offset": next_offset,
                }
                connection.execute(
                    upsert(self._offsets, self._engine)
                    .values(row)
                    .on_conflict_do_update(index_elements=["topic", "partition"], set_=row)
                )
        applied = {(name, partition): offset for partition, offset in ends.items()}
        self._next.update(applied)
        for place, offset in applied.items():
            self._reached[place] = max(self._reached[place], offset)
        EVENTS.labels(subscription.topic.name, "applied").inc(len(fresh))
        EVENTS.labels(subscription.topic.name, "repeated").inc(len(messages) - len(fresh))

    def _decode(self, topic: Topic, message: Message) -> Received | Undecodable:
        value, key = message.value(), message.key()
        try:
            event = None if value is None else self._codec.decode(topic, value)
        except Undecodable as error:
            return error
        stamp = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
        headers = kafka.headers_of(message)
        event_id = header(headers, "ce_id") or f"{message.topic()}:{message.partition()}:{message.offset()}"
        return Received(
            topic,
            (key or b"").decode("utf-8", "replace"),
            event,
            event_id,
            self._clock.at(stamp),
            message.partition(),
            message.offset(),
            value is None and header(headers, MOVED_TO) is not None,
        )

    def _unseen(self, connection: Connection, topic: Topic, received: list[Received]) -> list[Received]:
        if topic.compacted or not received:
            return received  # latest state: applying it again changes nothing
        rows = [
            {
                "event_id": record.event_id,
                "topic": topic.name,
                "partition": record.partition,
                "offset": record.offset,
                "recorded_at": record.recorded_at,
            }
            for record in received
        ]
        # What the database answers was added; its count of rows is not told for an INSERT on PostgreSQL.
        statement = upsert(self._inbox, self._engine).on_conflict_do_nothing().returning(self._inbox.c.event_id)
        added = set(connection.execute(statement, rows).scalars())
        fresh = []
        for record in received:
            if record.event_id in added:
                added.remove(record.event_id)
                fresh.append(record)
        return fresh

    def _set_aside(self, connection: Connection, message: Message, error: Undecodable) -> None:
        _log.error("%s/%s offset %s: %s", message.topic(), message.partition(), message.offset(), error)
        EVENTS.labels(self._by_name[message.topic()].topic.name, "undecodable").inc()
        connection.execute(
            upsert(self._quarantine, self._engine)
            .values(
                topic=message.topic(), partition=message.partition(), offset=message.offset(), reason=str(error)[:500]
            )
            .on_conflict_do_nothing()
        )

    def _topic_ids(self, settings: Settings) -> dict[str, str]:
        admin = kafka.admin(settings)
        names = list(self._by_name)
        try:
            found = admin.describe_topics(TopicCollection(names), request_timeout=10)
            return {name: str(found[name].result().topic_id) for name in names}
        except KafkaException as error:
            raise NotReady(
                f"the topics can't be described: {error.args[0].str()}", "create them: ./staffel topics create"
            ) from None

    def _assign(self) -> dict[tuple[str, int], int]:
        with self._engine.connect() as connection:
            known: dict[tuple[str, int], Any] = {
                (row.topic, row.partition): row for row in connection.execute(select(self._offsets))
            }
        for name in {name for name, _ in known} & self._by_name.keys():
            if any(row.topic_id != self._ids[name] for (of, _), row in known.items() if of == name):
                self._begin_anew(name)
                known = {place: row for place, row in known.items() if place[0] != name}
        places = {}
        for name in self._by_name:
            for partition in kafka.partitions_of(self._consumer, name):
                row = known.get((name, partition))
                places[name, partition] = row.next_offset if row is not None else OFFSET_BEGINNING
        self._consumer.assign([TopicPartition(name, partition, offset) for (name, partition), offset in places.items()])
        return {place: max(offset, 0) for place, offset in places.items()}

    def _begin_anew(self, name: str) -> None:
        """Read a topic that was created anew from its beginning, if what it holds is state that was made anew."""
        anew = self._by_name[name].anew
        if anew is None:
            raise StaffelError(
                f"{name} is not the topic that this database was fed from: it was created anew",
                "broker and databases belong together: restore both, or start both empty",
            )
        _log.warning("%s was created anew; it is read from its beginning", name)
        with self._engine.begin() as connection:
            anew(connection)
            for table in (self._offsets, self._quarantine):
                connection.execute(delete(table).where(table.c.topic == name))


def measure_lag(reader: Reader, settings: Settings) -> None:
    """Set the lag metric of each topic. Asks the broker, so call it now and then."""
    consumer = kafka.reader(settings)
    try:
        lag: dict[str, int] = {}
        reached = reader.reached
        for (topic, partition), end in kafka.ends(consumer, reached).items():
            lag[topic] = lag.get(topic, 0) + max(0, end - reached[topic, partition])
    finally:
        consumer.close()
    for topic, records in lag.items():
        BEHIND.labels(topic.removeprefix(settings.topic_prefix)).set(records)


def wait_until_stopped(stopping: Callable[[], bool], seconds: float) -> None:
    """Idle, but notice a stop within a tenth of a second."""
    until = time.monotonic() + seconds
    while not stopping() and time.monotonic() < until:
        time.sleep(0.1)
