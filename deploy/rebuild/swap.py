"""Writes corrections as the partition's owner: under its transactional id, so that no worker can own it meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from types import TracebackType
from typing import Any, NamedTuple, Self

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from deploy.rebuild.compare import Corrections, line_owner, tally_owner
from deploy.runtime import kafka
from deploy.runtime.clock import Clock
from deploy.runtime.errors import NotReady, StaffelError
from deploy.runtime.settings import Settings
from schemas.codec import Codec, headers_for
from schemas.events import QuarterClosed, SaleLine, TierChanged
from schemas.topics import (
    MOVED_TO,
    POSITIONS,
    QUARTER_CLOSES,
    SALE_LINES,
    SETTLED_LINES,
    SETTLED_SALES,
    TALLIES,
    TIER_CHANGES,
    Topic,
)

_SOURCE = "/staffel/rebuild"
_COMMIT_SECONDS = 30
_RECORDS_AT_LEAST = 20_000
"""So many records make a transaction, and more only to complete a partner: a second or so, while readers wait."""
_GROUP_FORGETS_WITHIN = 15.0
"""A worker that was killed stays a member until its session of ten seconds is over."""
_STATE = (POSITIONS, TALLIES, SALE_LINES, SETTLED_LINES, SETTLED_SALES)
_SETTLES_WITHIN = 60.0


def refuse_while_a_worker_is_alive(settings: Settings) -> None:
    """Raises StaffelError if somebody stays in the stream's consumer group, NotReady if the broker is away."""
    group = f"{settings.topic_prefix}{settings.app_id}"
    admin = kafka.admin(settings)
    deadline = time.monotonic() + _GROUP_FORGETS_WITHIN
    while members := _members(admin, group):
        if time.monotonic() > deadline:
            raise StaffelError(
                f"a worker is alive: the group {group} has {members} members; nothing was written",
                "stop all workers first",
            )
        time.sleep(0.5)


def _members(admin: AdminClient, group: str) -> int:
    try:
        found = admin.describe_consumer_groups([group], request_timeout=10)[group].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise NotReady(f"Kafka does not answer: {error.args[0].str()}", "is it running? see ./staffel status") from None
    return len(found.members)


class Record(NamedTuple):
    """A record to be written."""

    partner_id: str
    topic: Topic
    key: str
    value: bytes | None
    headers: list[tuple[str, bytes]] | None = None


class Owner:
    """Owns a partition for the time of a ``with`` block: whoever owned it before can't commit any more."""

    def __init__(self, settings: Settings, codec: Codec, clock: Clock, partition: int) -> None:
        self._settings, self._codec, self._clock, self._partition = settings, codec, clock, partition
        self._producer: Any = kafka.producer(
            settings,
            transactional_id=f"{settings.topic_prefix}{settings.app_id}.{partition}",
            transaction_timeout_ms=_COMMIT_SECONDS * 1000,
            queue_buffering_max_messages=2_000_000,
            message_max_bytes=2 * 1_048_576,
        )
        self._failures: list[KafkaError] = []

    def __enter__(self) -> Self:
        """Fence the former owner and wait until nobody's open transaction hides any state."""
        try:
            self._producer.init_transactions(30)
        except KafkaException as error:
            raise NotReady(f"partition {self._partition} can't be taken over: {error.args[0].str()}") from None
        self._wait_until_settled()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer = None

    def write(self, corrections: Corrections) -> int:
        """Write all of it, each partner's within one transaction, the positions in the last; returns how many records.

        Raises StaffelError if a worker took the partition over meanwhile: what was not committed is not written.
        """
        try:
            return sum(self._commit(records) for records in _transactions(self._records(corrections)))
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
                raise StaffelError(
                    f"a worker took partition {self._partition} over", "stop all workers, then run the command again"
                ) from None
            raise StaffelError(
                f"partition {self._partition} was not written: {reason.str()}", "run the command again"
            ) from None

    def _records(self, corrections: Corrections) -> Iterator[Record]:
        """Everything to write, what concerns a partner in one row."""
        encode = self._codec.encode
        records = [
            Record(line_owner(key), SALE_LINES, key, None if line is None else encode(SALE_LINES, line))
            for key, line in corrections.lines.items()
        ]
        records += [
            Record(tally_owner(key), TALLIES, key, None if tally is None else encode(TALLIES, tally))
            for key, tally in corrections.tallies.items()
        ]
        records += [
            Record(line_owner(key), SETTLED_SALES, key, None if sales is None else encode(SETTLED_SALES, sales))
            for key, sales in corrections.settled.items()
        ]
        for key, line in corrections.moved_lines.items():
            records += self._moved(key, line)
        for event in corrections.events:
            topic = {TierChanged: TIER_CHANGES, QuarterClosed: QUARTER_CLOSES}[type(event)]
            headers = headers_for(event, source=_SOURCE, time=self._clock.now(), subject=event.partner_id)
            records.append(Record(event.partner_id, topic, event.partner_id, encode(topic, event), headers))
        yield from sorted(records, key=lambda record: record.partner_id)
        for position in corrections.positions:
            yield Record("", POSITIONS, position.source, encode(POSITIONS, position))

    def _moved(self, key: str, line: SaleLine | None) -> Iterator[Record]:
        """A line that is not in the state any more. It passes through it, for those who know the sale from there."""
        who, encode = line_owner(key), self._codec.encode
        yield Record(who, SETTLED_LINES, key, None if line is None else encode(SETTLED_LINES, line))
        if line is not None:
            yield Record(who, SALE_LINES, key, encode(SALE_LINES, line))
        moved = [(MOVED_TO, SETTLED_LINES.name.encode())]
        yield Record(who, SALE_LINES, key, None, None if line is None else moved)

    def _commit(self, records: Sequence[Record]) -> int:
        self._producer.begin_transaction()
        for record in records:
            name = record.topic.full_name(self._settings.topic_prefix)
            self._producer.produce(
                name,
                record.value,
                record.key.encode(),
                partition=self._partition,
                headers=record.headers,
                on_delivery=self._delivered,
            )
        self._producer.commit_transaction(_COMMIT_SECONDS)
        if self._failures:
            raise RuntimeError(f"partition {self._partition}: committed with {len(self._failures)} undelivered records")
        return len(records)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failures.append(error)

    def _wait_until_settled(self) -> None:
        admin = kafka.admin(self._settings)
        places = [TopicPartition(t.full_name(self._settings.topic_prefix), self._partition) for t in _STATE]
        deadline = time.monotonic() + _SETTLES_WITHIN
        while True:
            ends = [
                {p.topic: found.result().offset for p, found in self._ends(admin, places, level).items()}
                for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
            ]
            if ends[0] == ends[1]:
                return
            if time.monotonic() > deadline:
                raise NotReady(
                    f"an open transaction hides state of partition {self._partition}",
                    "find and end it: kafka-transactions.sh find-hanging",
                )
            time.sleep(0.2)

    @staticmethod
    def _ends(admin: Any, places: list[TopicPartition], level: IsolationLevel) -> Any:
        return admin.list_offsets(dict.fromkeys(places, OffsetSpec.latest()), isolation_level=level, request_timeout=10)


def _transactions(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The records in portions that part no partner."""
    portion: list[Record] = []
    for _, of_partner in groupby(records, key=lambda record: record.partner_id):
        portion += of_partner
        if len(portion) >= _RECORDS_AT_LEAST:
            yield portion
            portion = []
    if portion:
        yield portion
