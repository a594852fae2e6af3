"""One partition of the stream, owned for one assignment: its state in memory, and one transaction a batch.

Everything that changes it happens one after the other: batches, registrations, calendar moments (``streams/held.py``
sees to that). Whatever goes wrong in a transaction ends the process; what became of it is read from Kafka by the next
owner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from aiokafka.structs import ConsumerRecord
from confluent_kafka import KafkaError, Message

from deploy.runtime.errors import NotReady
from schemas.codec import header, headers_for
from schemas.events import (
    Event,
    Position,
    QuarterClosed,
    SaleReported,
    SaleReturned,
    TierChanged,
    WeeklySummary,
)
from schemas.packed import publish
from schemas.topics import (
    DEAD_LETTERS,
    PARTNERS,
    POSITIONS,
    QUARTER_CLOSES,
    SALE_LINES,
    SALES,
    TALLIES,
    TIER_CHANGES,
    WEEKLY_SUMMARIES,
    Topic,
)
from schemas.values import line_key, tally_key
from streams import metrics
from streams.intake import DeadLetter, Registration, Stray, read_partner, read_sale
from streams.letters import as_letter
from streams.mark import mark_after
from streams.outgoing import Outgoing
from streams.restore import CALENDAR, SOURCES, Log, Restored, all_applied, published_of, restore
from streams.rules.calendar import Moment, MomentKind, due
from streams.rules.fold import Draft
from streams.settling import Settling, moved
from streams.surroundings import Surroundings
from streams.transport import Slice

SOURCE = "/staffel/streams"
_TOPIC_OF: dict[type[Event], Topic] = {
    TierChanged: TIER_CHANGES,
    WeeklySummary: WEEKLY_SUMMARIES,
    QuarterClosed: QUARTER_CLOSES,
}
_REROUTED = "staffel-rerouted-from"
_EPOCH = datetime.fromtimestamp(0, UTC)
_COMMIT_SECONDS = 15
_CLOCK_TOLERANCE_SECONDS = 300


class Revoked(RuntimeError):
    """The partition was asked to work after it was given up."""


class Partition:
    """A restored partition. Make it with ``take``."""

    def __init__(self, number: int, around: Surroundings) -> None:
        self.number = number
        self._around = around
        self._restored = Restored()
        self._logs: dict[str, Log] = {}
        self._producer: Any = None
        self._broker_time: tuple[float, float] | None = None
        self._applied_at: dict[str, datetime] = {}
        """The broker's time of the latest record applied, by source; of those applied here."""
        self._settling = Settling(around)

    @classmethod
    def take(cls, number: int, around: Surroundings) -> Partition:
        """Fence the former owner, restore the state, prove it. Raises StaffelError if it is not sound."""
        started = around.machine.monotonic()
        partition = cls(number, around)
        partition._fence()
        partition._restore()
        metrics.RESTORE_SECONDS.observe(around.machine.monotonic() - started)
        return partition

    def next_offset(self, source: Topic) -> int:
        """Where reading of a source goes on."""
        position = self._restored.positions.get(source.name)
        return position.offset + 1 if position else 0

    def apply(self, source: Topic, slices: Sequence[Slice]) -> None:
        """Apply consecutive slices of a source in one transaction."""
        started = self._around.machine.monotonic()
        position = before = self.next_offset(source) - 1
        records: list[ConsumerRecord] = []
        for piece in slices:
            if piece.begin > position + 1:
                raise RuntimeError(
                    f"{source.name}/{self.number}: slice begins at {piece.begin}, position is {position}"
                )
            # Reading may have gone back between two slices: what was there before is passed over.
            records += [record for record in piece.records if record.offset > position]
            position = max(position, piece.end - 1)
        if position == before:
            return
        draft = self._draft()
        fold = self._fold_sales if source is SALES else self._fold_partners
        others = fold(records, draft)
        last = self._recorded_at(records[-1]) if records else self._around.clock.now()
        draft.settle(last)
        self._commit(draft, {source.name: self._position(source.name, position, records)}, others)
        if records:
            self._applied_at[source.name] = last
        metrics.BEHIND.labels(source.name, str(self.number)).set(slices[-1].log_end - position - 1)
        self._measure(source, records, draft, self._around.machine.monotonic() - started)

    def apply_calendar(self) -> None:
        """Apply each moment that has become due, in a transaction each; what is due at the same instant in one.

        When none is, lines that nothing changes any more leave the state.
        """
        if self._apply_due():
            self._settle()

    def _apply_due(self) -> bool:
        """Whether all that is due is applied."""
        done = self._restored.positions[CALENDAR].offset
        after = datetime.fromtimestamp(done / 1000, UTC)
        moments = due(self._around.programme, after, self._around.clock.now())
        for at, together in groupby(moments, key=lambda moment: moment.at):
            if not self._clocks_agree():
                metrics.CALENDAR_HELD.set(1)
                return False
            metrics.CALENDAR_HELD.set(0)
            if at > self._around.clock.now():
                return False  # the clock was wrong when it was asked what is due, and is right by now
            self._apply_moments(at, list(together))
        return True

    def _apply_moments(self, at: datetime, moments: Sequence[Moment]) -> None:
        draft = self._draft()
        for moment in moments:
            draft.moment(moment)
        self._commit(draft, {CALENDAR: self._position(CALENDAR, self._milliseconds(at))}, [])
        metrics.CALENDAR_AT.labels(str(self.number)).set(at.timestamp())
        for moment in moments:
            if moment.kind is not MomentKind.WEEK:
                state = 2 if moment.kind is MomentKind.FINAL else 1
                metrics.CLOSE_STATE.labels(str(moment.quarter)).set(state)

    def _settle(self) -> None:
        state = self._restored.state
        portions = self._settling.next(state, self._applied_until)
        if not portions:
            return
        self._producer.begin_transaction()
        for record in moved(portions, state, self._around.codec, self.number):
            self._write(record)
        self._producer.commit_transaction(_COMMIT_SECONDS)
        state.settle(portions)
        metrics.SETTLED.inc(sum(len(portion.sale_ids) for portion in portions))

    def _applied_until(self) -> datetime | None:
        """An instant by the broker's time before which nothing was recorded that is not applied. None: nobody knows."""
        if not self._clocks_agree() or self._broker_time is None:
            return None
        now = self._around.clock.at(datetime.fromtimestamp(self._broker_time[0], UTC))
        return min(
            now
            if all_applied(self._around, self.number, source, self.next_offset(source))
            else self._applied_at.get(source.name, _EPOCH)
            for source in SOURCES
        )

    def close(self) -> None:
        """Let the producer go. The partition can do nothing after that."""
        self._producer = None

    def _fence(self) -> None:
        """From here on no other owner of the partition can commit anything."""
        settings = self._around.settings
        self._producer = self._around.clients.producer(
            transactional_id=f"{settings.topic_prefix}{settings.app_id}.{self.number}",
            transaction_timeout_ms=10_000,
            linger_ms=2,
            queue_buffering_max_messages=2_000_000,
            message_max_bytes=2 * 1_048_576,
        )
        self._producer.init_transactions(30)

    def _restore(self) -> None:
        self._restored, self._logs = restore(self._around, self.number)
        if CALENDAR not in self._restored.positions:
            self._begin_calendar()
        metrics.CALENDAR_AT.labels(str(self.number)).set(self._restored.positions[CALENDAR].offset / 1000)

    def _begin_calendar(self) -> None:
        """A partition begins with no past: what was due before is nobody's business.

        When it began is written down at once: if its owner dies before the first moment, the next one must not begin
        later and pass moments over. A wrong clock would begin in a year of its own.
        """
        machine = self._around.machine
        asked_at = machine.time()
        beginning = self._position(CALENDAR, self._milliseconds(self._around.clock.now()))
        self._producer.begin_transaction()
        self._write_position(beginning)
        self._producer.flush(_COMMIT_SECONDS)
        was_put_right = abs(machine.time() - asked_at) > _CLOCK_TOLERANCE_SECONDS
        if was_put_right or not self._clock_is_right():
            raise NotReady(
                f"this machine's clock and the broker's differ by more than {_CLOCK_TOLERANCE_SECONDS} s",
                "set both by the same time server",
            )
        self._producer.commit_transaction(_COMMIT_SECONDS)
        self._restored.positions[CALENDAR] = beginning

    def _fold_sales(self, records: Sequence[ConsumerRecord], draft: Draft) -> list[Outgoing]:
        others: list[Outgoing] = []
        codec, partitions = self._around.codec, self._around.settings.partitions
        timestamp, recorded_at = -1, _EPOCH
        said = [read_sale(record, codec, self.number, partitions) for record in records]
        self._bring_back(found.partner_id for found in said if isinstance(found, SaleReported | SaleReturned))
        for record, found in zip(records, said, strict=True):
            if record.timestamp != timestamp:  # the broker stamps what came in together alike
                timestamp, recorded_at = record.timestamp, self._recorded_at(record)
            if isinstance(found, Event):
                draft.sale(found, recorded_at, record.offset)
            else:
                others.append(self._not_ours(record, found, draft))
        return others

    def _not_ours(self, record: ConsumerRecord, found: Stray | DeadLetter, draft: Draft) -> Outgoing:
        """What becomes of a record of ``sales`` that is not applied here."""
        if isinstance(found, Stray):
            if header(record.headers, _REROUTED) is None:
                draft.results["rerouted", ""] += 1
                return self._rerouted(record, found.partner_id)
            found = DeadLetter("stray-twice", "re-routed, and wrong again")
        settings = self._around.settings
        excess = self._restored.excess.after_letter(record.offset, settings.dead_letters_percent_max)
        self._restored.excess = excess.within(settings, f"{SALES.name} partition {self.number}")
        return self._dead_letter(record, found, draft)

    def _fold_partners(self, records: Sequence[ConsumerRecord], draft: Draft) -> list[Outgoing]:
        others = []
        said = [read_partner(record, self._around.codec) for record in records]
        self._bring_back(found.partner_id for found in said if isinstance(found, Registration))
        for record, found in zip(records, said, strict=True):
            match found:
                case Registration(partner_id, partner):
                    draft.partner(partner_id, partner, self._recorded_at(record))
                case DeadLetter() as letter:
                    others.append(self._dead_letter(record, letter, draft))
        return others

    def _bring_back(self, partner_ids: Iterable[str]) -> None:
        """Read again what was published of those who were away."""
        state = self._restored.state
        if state.away and (back := state.away.intersection(partner_ids)):
            state.come_back(back, *published_of(self._around, self.number, back))

    def _clocks_agree(self) -> bool:
        """Whether this machine and the broker tell the same time: a wrong clock would close quarters and pay.

        The broker's time is that of a record written now: the calendar's position, unchanged.
        """
        self._commit(self._draft(), {CALENDAR: self._restored.positions[CALENDAR]}, [])
        return self._clock_is_right()

    def _clock_is_right(self) -> bool:
        """By the broker's time of the calendar's position that was written last."""
        if self._broker_time is None:
            return False
        broker, at = self._broker_time
        machine = self._around.machine
        return abs(machine.time() - (broker + machine.monotonic() - at)) < _CLOCK_TOLERANCE_SECONDS

    def _commit(self, draft: Draft, positions: dict[str, Position], others: Sequence[Outgoing]) -> None:
        """Write a draft, its events and the positions in one transaction; then, and only then, change the memory.

        A record that can't be delivered fails the commit, so none needs to be asked what became of it.
        """
        self._producer.begin_transaction()
        self._write_state(draft)
        for record in [*self._event_records(draft), *others]:
            self._write(record)
        for position in positions.values():
            self._write_position(position)
        self._producer.commit_transaction(_COMMIT_SECONDS)
        self._restored.state.absorb(draft)
        self._restored.positions.update(positions)

    def _write(self, record: Outgoing) -> None:
        name = record.topic.full_name(self._around.settings.topic_prefix)
        self._produce(name, record.value, record.key, record.partition, headers=record.headers)

    def _write_position(self, position: Position) -> None:
        self._produce(
            POSITIONS.full_name(self._around.settings.topic_prefix),
            self._around.codec.encode(POSITIONS, position),
            position.source.encode(),
            self.number,
            **({"on_delivery": self._note_broker_time} if position.source == CALENDAR else {}),
        )

    def _note_broker_time(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._broker_time = message.timestamp()[1] / 1000, self._around.machine.monotonic()

    def _write_state(self, draft: Draft) -> None:
        produce, codec, prefix = self._produce, self._around.codec, self._around.settings.topic_prefix
        name, head = SALE_LINES.full_name(prefix), codec.head(SALE_LINES)
        for partner_id, own in draft.lines:
            for sale_id, packed in own.items():
                key = line_key(partner_id, sale_id).encode()
                produce(name, publish(head, partner_id, sale_id, packed), key, self.number)
        name = TALLIES.full_name(prefix)
        for tally in draft.tallies.values():
            key = tally_key(tally.programme_id, tally.partner_id, tally.quarter).encode()
            produce(name, codec.encode(TALLIES, tally), key, self.number)

    def _produce(self, name: str, value: bytes | None, key: bytes | None, partition: int, **more: Any) -> None:
        while True:
            try:
                self._producer.produce(name, value, key, partition, **more)
                return
            except BufferError:  # large records: some must be on their way before there is room for more
                self._producer.poll(0.1)

    def _event_records(self, draft: Draft) -> list[Outgoing]:
        now = self._around.clock.now()
        records = []
        for event in draft.events:
            topic = _TOPIC_OF[type(event)]
            partner_id: str = event.partner_id  # type: ignore[attr-defined]
            headers = headers_for(event, source=SOURCE, time=now, subject=partner_id)
            value = self._around.codec.encode(topic, event)
            records.append(Outgoing(topic, partner_id.encode(), value, list(headers), self.number))
        return records

    def _rerouted(self, record: ConsumerRecord, partner_id: str) -> Outgoing:
        origin = f"{record.partition}/{record.offset}".encode()
        return Outgoing(SALES, partner_id.encode(), record.value, [*record.headers, (_REROUTED, origin)])

    def _dead_letter(self, record: ConsumerRecord, letter: DeadLetter, draft: Draft) -> Outgoing:
        draft.results["dead-letter", letter.reason] += 1
        key, value, headers = as_letter(record, letter, self._restored.excess)
        return Outgoing(DEAD_LETTERS, key, value, headers, self.number)

    def _draft(self) -> Draft:
        at = datetime.fromtimestamp(self._restored.positions[CALENDAR].offset / 1000, UTC)
        return Draft(self._restored.state, self._around.programme, at)

    def _position(self, source: str, offset: int, applied: Sequence[ConsumerRecord] = ()) -> Position:
        log = self._logs.get(source)
        last = mark_after(self._restored.positions.get(source), applied)
        return Position(
            source=source,
            topic_id=log.topic_id if log else "",
            offset=offset,
            leader_epoch=log.leader_epoch if log else 0,
            programme_hash=self._around.programme.hash,
            last_offset=last.offset,
            last_hash=last.hash,
        )

    def _recorded_at(self, record: ConsumerRecord) -> datetime:
        return self._around.clock.at(datetime.fromtimestamp(record.timestamp / 1000, UTC))

    @staticmethod
    def _milliseconds(instant: datetime) -> int:
        return round(instant.timestamp() * 1000)

    def _measure(self, source: Topic, records: Sequence[ConsumerRecord], draft: Draft, seconds: float) -> None:
        metrics.APPLY_SECONDS.observe(seconds)
        metrics.POSITION.labels(source.name, str(self.number)).set(self.next_offset(source) - 1)
        for (result, reason), number in draft.results.items():
            if result == "dead-letter":
                metrics.DEAD_LETTERS.labels(reason).inc(number)
        if source is PARTNERS or not records:
            return
        for (result, reason), number in draft.results.items():
            metrics.SALES_EVENTS.labels(result, reason).inc(number)
        for (country, tier), units in Counter(draft.units_counted).items():
            metrics.UNITS_COUNTED.labels(country, str(tier)).inc(units)
        metrics.UNACCOUNTED.labels(str(self.number)).inc(len(records) - sum(draft.results.values()))
        metrics.LAST_EVENT.set(records[-1].timestamp / 1000)
        metrics.EVENT_LAG.set(max(0.0, self._around.machine.time() - records[-1].timestamp / 1000))
