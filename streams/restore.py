"""Reads a partition's state back from the topics it is published in, and proves that it is whole.

Called after the partition's transactions were taken over: from then on nobody else can add to them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from deploy.runtime.errors import NotReady, StaffelError
from schemas.codec import Codec
from schemas.events import Partner, Position, SaleLine, Tally
from schemas.packed import cut, pack
from schemas.settled import SettledSales
from schemas.topics import (
    DEAD_LETTERS,
    PARTNERS,
    POSITIONS,
    QUARTER_CLOSES,
    SALE_LINES,
    SALES,
    SETTLED_SALES,
    TALLIES,
    TIER_CHANGES,
    WEEKLY_SUMMARIES,
    Topic,
)
from schemas.values import partition_of
from streams.intake import DeadLetter, Registration, read_partner
from streams.letters import Excess
from streams.mark import hash_of
from streams.rules.state import State
from streams.rules.terms import Programme
from streams.surroundings import Surroundings

_log = logging.getLogger("streams.restore")
_NO_END = sys.maxsize
_EVENTS = (TIER_CHANGES, WEEKLY_SUMMARIES, QUARTER_CLOSES)
STATE_TOPICS = (POSITIONS, TALLIES, SALE_LINES, SETTLED_SALES)
SOURCES = (SALES, PARTNERS)
CALENDAR = "calendar"
_AHEAD_KBYTES = 8192
"""What the client may read ahead: by its own default 64 MB, for each partition that is restored at the same time."""
_RESTORE = "the stream's state and its sources belong together; restore both, see deploy/docs/operations.md"
_REBUILD = "./staffel rebuild says what differs from what was reported, and with --swap puts it right"


@dataclass
class Restored:
    """A partition's state, and how far it has come in each source."""

    state: State = field(default_factory=State)
    positions: dict[str, Position] = field(default_factory=dict)
    excess: Excess = Excess()
    """Of dead letters, as of the last one."""


@dataclass(frozen=True)
class Log:
    """What the broker says of a source partition: which log it is, where it begins and ends."""

    topic_id: str
    start: int
    end: int
    leader_epoch: int


def restore(around: Surroundings, partition: int, seconds: float = 60) -> tuple[Restored, dict[str, Log]]:
    """The state of a partition as committed, and its sources' logs.

    Raises NotReady if an open transaction hides state for longer than ``seconds``; StaffelError if the state does not
    fit its sources, itself, or the programme.
    """
    admin, codec = around.clients.admin(), around.codec
    ends = _wait_until_settled(admin, around, partition, seconds)
    restored = Restored()
    reader = _Reader(around, partition)
    try:
        for message in reader.read(POSITIONS, ends[POSITIONS.name]):
            position = cast(Position, codec.decode(POSITIONS, message.value()))
            restored.positions[position.source] = position
        if not restored.positions:
            _refuse_if_told(reader, admin, around, partition, ends[POSITIONS.name])
        _keep_lines(restored.state, codec, reader.read(SALE_LINES, ends[SALE_LINES.name]))
        restored.state.settled.keep(_settled_sales(codec, reader.read(SETTLED_SALES, ends[SETTLED_SALES.name])))
        for tally in _tallies(codec, reader.read(TALLIES, ends[TALLIES.name])):
            restored.state.keep_tally(tally)
        known = restored.positions.get(PARTNERS.name)
        for message in reader.read(PARTNERS, known.offset + 1 if known else 0):
            _note_partner(restored.state, codec, message)
        restored.excess = _last_excess(reader, admin, around, partition)
        logs = _logs(admin, around.settings.topic_prefix, partition)
        _refuse_other_logs(restored.positions, logs, reader, partition)
    finally:
        reader.close()
    _refuse_strangers(restored.state, partition, around.settings.partitions)
    _prove(restored, partition)
    _hold_against(around.programme, restored, partition)
    return restored, logs


def published_of(
    around: Surroundings, partition: int, partner_ids: Collection[str], seconds: float = 60
) -> tuple[list[Tally], list[SettledSales]]:
    """The standings of partners, and what is left of their settled sales. Raises NotReady as ``restore`` does."""
    ends = _wait_until_settled(around.clients.admin(), around, partition, seconds)
    reader = _Reader(around, partition)
    try:
        every = reader.read(TALLIES, ends[TALLIES.name])
        own = (message for message in every if message.key().decode().split("/", 2)[1] in partner_ids)
        tallies = list(_tallies(around.codec, own))
        settled = _settled_sales(around.codec, reader.read(SETTLED_SALES, ends[SETTLED_SALES.name]))
        return tallies, [sales for sales in settled if sales.partner_id in partner_ids]
    finally:
        reader.close()


def all_applied(around: Surroundings, partition: int, source: Topic, next_offset: int) -> bool:
    """Whether everything that is in a source now lies before an offset, and nothing of it is still undecided.

    Not, as long as the broker does not answer.
    """
    place = TopicPartition(source.full_name(around.settings.topic_prefix), partition)
    with suppress(KafkaException, NotReady):
        return _all_applied(around, source, place, next_offset)
    return False


def _all_applied(around: Surroundings, source: Topic, place: TopicPartition, next_offset: int) -> bool:
    admin = around.clients.admin()
    stable = _latest(admin, [place], IsolationLevel.READ_COMMITTED)[place.topic]
    high = _latest(admin, [place], IsolationLevel.READ_UNCOMMITTED)[place.topic]
    if stable != high:
        return False
    reader = _Reader(around, place.partition)
    try:
        return next(reader.read(source, high, next_offset), None) is None
    finally:
        reader.close()


def _tallies(codec: Codec, messages: Iterable[Message]) -> Iterable[Tally]:
    return (cast(Tally, codec.decode(TALLIES, value)) for value in _latest_values(messages))


def _settled_sales(codec: Codec, messages: Iterable[Message]) -> Iterable[SettledSales]:
    return (cast(SettledSales, codec.decode(SETTLED_SALES, value)) for value in _latest_values(messages))


def _latest_values(messages: Iterable[Message]) -> Iterable[bytes]:
    """What stands under each key at the end: a topic that is not compacted yet has many more, not worth decoding."""
    latest: dict[bytes, bytes | None] = {message.key(): message.value() for message in messages}
    return (value for value in latest.values() if value is not None)


def _keep_lines(state: State, codec: Codec, messages: Iterable[Message]) -> None:
    head = codec.head(SALE_LINES)
    for message in messages:
        value = message.value()
        partner_id, _, sale_id = message.key().decode().partition("/")
        if value is None:
            state.drop_line(partner_id, sale_id)
            continue
        packed = cut(head, partner_id, sale_id, value)
        if packed is None:  # written with an earlier schema
            packed = pack(cast(SaleLine, codec.decode(SALE_LINES, value)))
        state.keep_line(partner_id, sale_id, packed)


def _note_partner(state: State, codec: Codec, message: Message) -> None:
    match read_partner(_KeyAndValue(message.key(), message.value()), codec):
        case Registration(partner_id, None):
            state.keep_partner(partner_id, None)
        case Registration(partner_id, Partner() as partner):
            state.keep_partner(partner_id, partner)
        case DeadLetter():
            pass  # was put aside when it was first read


class _KeyAndValue(NamedTuple):
    key: bytes | None
    value: bytes | None


def _last_excess(reader: _Reader, admin: AdminClient, around: Surroundings, partition: int) -> Excess:
    """What the last dead letter says; it may lie behind the markers and records of aborted transactions."""
    name = DEAD_LETTERS.full_name(around.settings.topic_prefix)
    end = _latest(admin, [TopicPartition(name, partition)], IsolationLevel.READ_COMMITTED)[name]
    for back in (20, 500):
        for message in reversed(list(reader.read(DEAD_LETTERS, end, max(0, end - back)))):
            found = Excess.of(message.headers())
            if found is not None:
                return found
    return Excess()


class _Reader:
    """Reads one partition of a topic from one offset to another."""

    def __init__(self, around: Surroundings, partition: int) -> None:
        self._prefix, self._partition = around.settings.topic_prefix, partition
        # A short wait at the broker: each empty partition would otherwise cost the whole of it.
        self._consumer = around.clients.reader(
            fetch_wait_max_ms=10, auto_offset_reset="earliest", queued_max_messages_kbytes=_AHEAD_KBYTES
        )
        # A partition whose leader is not known yet waits up to a second for the client to look again.
        self._consumer.list_topics(timeout=10)

    def read(self, topic: Topic, end: int, start: int = 0) -> Iterator[Message]:
        if end <= start:
            return
        name = topic.full_name(self._prefix)
        self._consumer.assign([TopicPartition(name, self._partition, start)])
        while True:
            for message in self._consumer.consume(5000, 0.05):
                error = message.error()
                if error is None:
                    if message.offset() >= end:
                        return
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    return
                elif not error.retriable():
                    raise NotReady(f"reading {name} failed: {error.str()}")
            place = self._consumer.position([TopicPartition(name, self._partition)])[0].offset
            if place >= end:
                return

    def close(self) -> None:
        self._consumer.close()


def _wait_until_settled(admin: AdminClient, around: Surroundings, partition: int, seconds: float) -> dict[str, int]:
    """The end of each state partition, once nobody's open transaction hides anything before it."""
    names = {topic.full_name(around.settings.topic_prefix): topic.name for topic in STATE_TOPICS}
    places = [TopicPartition(name, partition) for name in names]
    deadline = around.machine.monotonic() + seconds
    while True:
        stable = _latest(admin, places, IsolationLevel.READ_COMMITTED)
        high = _latest(admin, places, IsolationLevel.READ_UNCOMMITTED)
        hidden = [name for name in names if stable[name] != high[name]]
        if not hidden:
            return {names[name]: offset for name, offset in stable.items()}
        if around.machine.monotonic() > deadline:
            raise NotReady(
                f"an open transaction hides records of {', '.join(hidden)} partition {partition}",
                "find and end it: kafka-transactions.sh find-hanging",
            )
        around.machine.sleep(0.2)


def _latest(admin: AdminClient, places: list[TopicPartition], isolation: IsolationLevel) -> dict[str, int]:
    found = admin.list_offsets(
        dict.fromkeys(places, OffsetSpec.latest()), isolation_level=isolation, request_timeout=10
    )
    return {place.topic: outcome.result().offset for place, outcome in found.items()}


def _logs(admin: AdminClient, prefix: str, partition: int) -> dict[str, Log]:
    names = {topic.full_name(prefix): topic.name for topic in SOURCES}
    described = admin.describe_topics(TopicCollection(list(names)), request_timeout=10)
    places = [TopicPartition(name, partition) for name in names]
    first = admin.list_offsets(dict.fromkeys(places, OffsetSpec.earliest()), request_timeout=10)
    last = admin.list_offsets(dict.fromkeys(places, OffsetSpec.latest()), request_timeout=10)
    return {
        names[place.topic]: Log(
            topic_id=str(described[place.topic].result().topic_id),
            start=first[place].result().offset,
            end=last[place].result().offset,
            leader_epoch=last[place].result().leader_epoch or 0,
        )
        for place in places
    }


def _refuse_if_told(
    reader: _Reader, admin: AdminClient, around: Surroundings, partition: int, positions_end: int
) -> None:
    """A partition without a state has told nothing; one that has told something lost its state."""
    for topic in _EVENTS:
        if next(reader.read(topic, _NO_END), None) is None:
            continue  # empty, or nothing but transactions that were aborted
        place = TopicPartition(POSITIONS.full_name(around.settings.topic_prefix), partition)
        if _latest(admin, [place], IsolationLevel.READ_UNCOMMITTED)[place.topic] != positions_end:
            raise NotReady(f"partition {partition} was taken over by somebody else while it was read")
        raise StaffelError(f"partition {partition} has told events, and its state is gone", _REBUILD)


def _refuse_strangers(state: State, partition: int, partitions: int) -> None:
    """With another number of partitions a partner's sales would go on elsewhere, from nothing."""
    if any(partition_of(partner_id.encode(), partitions) != partition for partner_id in state.known()):
        raise StaffelError(
            f"partition {partition} holds partners who belong elsewhere: it was made with another number of partitions",
            "the number can't be changed; see 'The number of partitions' in deploy/docs/operations.md",
        )


def _refuse_other_logs(
    positions: Mapping[str, Position], logs: Mapping[str, Log], reader: _Reader, partition: int
) -> None:
    """Refuse to go on in a log that is not the one that the state was made from, or lost some of it."""
    for source in SOURCES:
        log, position = logs[source.name], positions.get(source.name)
        where = f"{source.name} partition {partition}"
        next_offset = position.offset + 1 if position else 0
        if position and position.topic_id != log.topic_id:
            raise StaffelError(f"{where} is not the log that this state was made from: it was created anew", _RESTORE)
        if position and log.leader_epoch < position.leader_epoch:
            raise StaffelError(f"{where} went back to an earlier leader epoch: records may be gone", _RESTORE)
        if log.start > next_offset:
            raise StaffelError(f"{where} begins at {log.start}, records from {next_offset} on are gone", _RESTORE)
        if log.end < next_offset:
            raise StaffelError(f"{where} ends at {log.end}, before offset {next_offset} of the state", _RESTORE)
        if position and log.start <= position.last_offset and not _holds_last(reader, source, position):
            raise StaffelError(
                f"{where} does not hold at {position.last_offset} what was applied from there: "
                "it lost its end and was written on",
                _RESTORE,
            )


def _holds_last(reader: _Reader, source: Topic, position: Position) -> bool:
    """Whether the last record applied is still in its place; or, in a compacted topic, nothing is."""
    found = next(reader.read(source, _NO_END, position.last_offset), None)
    if found is None or found.offset() != position.last_offset:
        return source.compacted
    return hash_of(found.key(), found.value(), found.timestamp()[1]) == position.last_hash


def _prove(restored: Restored, partition: int) -> None:
    """Refuse to go on from a state that is not the sum of what it was made from."""
    applied = restored.positions.get(SALES.name)
    faults = restored.state.check(applied.offset if applied else -1)
    if faults.beyond:
        raise StaffelError(f"partition {partition}: {faults.beyond} sale lines lie beyond the position", _REBUILD)
    if faults.differences:
        number = len(faults.differences)
        raise StaffelError(f"partition {partition}: {number} tallies are not the sum of their lines", _REBUILD)


def _hold_against(programme: Programme, restored: Restored, partition: int) -> None:
    """A programme may gain terms and products; what a quarter was counted with must stay as it was (rule 9)."""
    changed = restored.state.contradicted_by(programme)
    if changed:
        raise StaffelError(
            f"the programme file computes {', '.join(changed)} otherwise than when sales of it were counted",
            "put back the terms that were in force, and add a [[terms]] block with a later valid_from for new ones",
        )
    applied = restored.positions.get(SALES.name)
    if applied and applied.programme_hash != programme.hash:
        _log.warning("partition %s: the programme file has changed since the latest sale was applied", partition)
