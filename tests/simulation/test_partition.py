"""Partitions on the simulated broker, step by step: what the search found once, said plainly."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from aiokafka.structs import ConsumerRecord
from confluent_kafka import KafkaException

from deploy.runtime.errors import NotReady, StaffelError
from schemas.events import QuarterClosed
from schemas.topics import (
    PARTNERS,
    POSITIONS,
    QUARTER_CLOSES,
    SALE_LINES,
    SALES,
    TALLIES,
    TIER_CHANGES,
    TOPICS,
    WEEKLY_SUMMARIES,
    Topic,
)
from streams.held import HeldPartition
from streams.partition import Partition, Revoked
from streams.restore import CALENDAR
from streams.surroundings import Clients, Surroundings
from streams.transport import Slice
from tests.rules.facts import a_partner, a_sale
from tests.simulation.broker import Broker, Entry
from tests.simulation.clients import Admin, Faults, Producer, Reader
from tests.simulation.given import PREFIX, codec, programme, settings
from tests.simulation.loop import Ended, Lane, Loop

START = datetime(2026, 12, 20, 12, tzinfo=UTC)


class Bench:
    """A broker, a machine whose clock may be wrong, and what a partition gets of them."""

    def __init__(self, grace_days: int = 28) -> None:
        self.true, self.wrong_by, self.elapsed = START.timestamp(), 0.0, 0.0
        self.at_call: Callable[[str], None] = lambda _: None
        self.broker = Broker(lambda: self.true, lambda: self.elapsed)
        for topic in TOPICS:
            self.broker.create(topic.full_name(PREFIX), 1, topic.compacted)
        self.faults, self.loop = Faults(), Loop(lambda _: None)
        clients = Clients(
            cast(Any, lambda **options: Producer(self.broker, self.call, self.faults, **options)),
            cast(Any, lambda **options: Reader(self.broker, self.call, **options)),
            cast(Any, lambda: Admin(self.broker, self.call)),
        )
        self.around = Surroundings(settings(1), codec(), self, programme(grace_days), clients, cast(Any, self))

    def call(self, what: str) -> None:
        self.at_call(what)

    def die_at_call(self, number: int, work: Callable[[], None]) -> bool:
        """Do work that ends at a call to Kafka, as by kill -9. Whether it came to that call."""
        calls = itertools.count()

        def die(_: str) -> None:
            if next(calls) == number:
                raise Ended

        self.at_call = die
        try:
            work()
        except Ended:
            return True
        finally:
            self.at_call = lambda _: None
        return False

    # The machine and its clock.
    rate = 1.0

    def time(self) -> float:
        return self.true + self.wrong_by

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        self.elapsed += seconds
        self.broker.write_all_markers()  # meanwhile it comes to that

    def lane(self, _name: str) -> Lane:
        return Lane(self.loop)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    def at(self, real: datetime) -> datetime:
        return real

    # What is on the broker.
    def send(self, topic: Topic, *events: Any) -> None:
        for event in events:
            value = codec().encode(topic, event)
            self.broker.append(topic.full_name(PREFIX), 0, event.partner_id.encode(), value, [])

    def committed(self, topic: Topic) -> list[Entry]:
        self.broker.write_all_markers()
        return list(self.broker.log(topic.full_name(PREFIX), 0).read(0, committed=True))

    def events(self, topic: Topic) -> list[Any]:
        return [codec().decode(topic, entry.value) for entry in self.committed(topic) if entry.value]

    def piece(self, topic: Topic, begin: int, end: int) -> Slice:
        log = self.broker.log(topic.full_name(PREFIX), 0)
        records = [
            ConsumerRecord(
                topic.full_name(PREFIX), 0, e.offset, e.timestamp, 1, e.key, e.value, None, 0, 0, tuple(e.headers)
            )
            for e in log.read(begin, committed=True)
            if e.offset < end
        ]
        return Slice(begin, end, cast(Any, records), log.end)


@pytest.fixture
def bench() -> Iterator[Bench]:
    return Bench()


def test_slices_between_which_reading_went_back_are_applied_once_and_none_is_lost(bench: Bench) -> None:
    bench.send(SALES, *(a_sale(f"S{n}") for n in range(6)))
    partition = Partition.take(0, bench.around)
    partition.apply(SALES, [bench.piece(SALES, 0, 4), bench.piece(SALES, 2, 3)])
    assert partition.next_offset(SALES) == 4
    partition.apply(SALES, [bench.piece(SALES, 1, 4), bench.piece(SALES, 0, 6), bench.piece(SALES, 3, 5)])
    assert partition.next_offset(SALES) == 6
    assert Partition.take(0, bench.around).next_offset(SALES) == 6


def test_what_is_applied_already_costs_no_transaction(bench: Bench) -> None:
    bench.send(SALES, a_sale("A"))
    partition = Partition.take(0, bench.around)
    partition.apply(SALES, [bench.piece(SALES, 0, 1)])
    before = len(bench.committed(POSITIONS))
    partition.apply(SALES, [bench.piece(SALES, 0, 1)])
    assert len(bench.committed(POSITIONS)) == before
    partition.apply(SALES, [bench.piece(SALES, 1, 3)])  # only markers of transactions
    assert partition.next_offset(SALES) == 3


def test_an_event_says_in_headers_what_it_is_and_from_whom(bench: Bench) -> None:
    bench.send(PARTNERS, a_partner())
    bench.send(SALES, a_sale(units=10))
    partition = Partition.take(0, bench.around)
    partition.apply(PARTNERS, [bench.piece(PARTNERS, 0, 1)])
    partition.apply(SALES, [bench.piece(SALES, 0, 1)])
    (told,) = bench.committed(TIER_CHANGES)
    said = dict(told.headers)
    assert told.key == said["ce_subject"] == b"P1"
    assert [entry.key for entry in bench.committed(TALLIES)] == [b"topseller/P1/2026Q4"]
    assert [entry.key for entry in bench.committed(SALE_LINES)] == [b"P1/S1"]
    assert (said["ce_source"], said["ce_time"][:19]) == (b"/staffel/streams", b"2026-12-20T12:00:00")


def test_slices_with_something_missing_between_them_are_refused(bench: Bench) -> None:
    bench.send(SALES, *(a_sale(f"S{n}") for n in range(6)))
    partition = Partition.take(0, bench.around)
    with pytest.raises(RuntimeError, match="slice begins at 3, position is 1"):
        partition.apply(SALES, [bench.piece(SALES, 0, 2), bench.piece(SALES, 3, 6)])


def test_the_calendar_begins_once_even_if_its_first_owner_dies_before_the_first_moment(bench: Bench) -> None:
    Partition.take(0, bench.around)
    bench.true += timedelta(days=90).total_seconds()  # over the quarter's end
    bench.send(PARTNERS, a_partner())
    second = Partition.take(0, bench.around)
    second.apply(PARTNERS, [bench.piece(PARTNERS, 0, 1)])
    second.apply_calendar()
    assert [(e.quarter, e.revision) for e in bench.events(QUARTER_CLOSES)] == [("2026Q4", 0), ("2026Q4", 1)]


@pytest.mark.parametrize("wrong_by", [-86_400.0, 3e8])
@pytest.mark.parametrize("put_right_in_time", [False, True])
def test_a_partition_does_not_begin_by_a_wrong_clock(bench: Bench, wrong_by: float, put_right_in_time: bool) -> None:
    def put_right(what: str) -> None:
        if what == "send" and put_right_in_time:
            bench.wrong_by = 0.0

    bench.wrong_by, bench.at_call = wrong_by, put_right
    with pytest.raises(NotReady, match="clock"):
        Partition.take(0, bench.around)
    bench.wrong_by = 0.0
    partition = Partition.take(0, bench.around)
    partition.apply_calendar()
    assert [p.offset for p in bench.events(POSITIONS)] == [round(START.timestamp() * 1000)]


def test_a_clock_put_right_between_the_question_and_the_check_closes_nothing(bench: Bench) -> None:
    bench.send(PARTNERS, a_partner())
    partition = Partition.take(0, bench.around)
    partition.apply(PARTNERS, [bench.piece(PARTNERS, 0, 1)])

    def put_right(_: str) -> None:
        bench.wrong_by = 0.0

    bench.wrong_by, bench.at_call = 3e8, put_right
    partition.apply_calendar()
    assert bench.events(QUARTER_CLOSES) == bench.events(WEEKLY_SUMMARIES) == []


def test_who_was_not_known_at_the_final_close_is_paid_when_he_registers_again(bench: Bench) -> None:
    """Also who is only not known yet: his record was compacted away, the later one is still to be read."""
    bench.send(SALES, a_sale(units=10))
    bench.send(PARTNERS, a_partner())
    name = PARTNERS.full_name(PREFIX)
    bench.broker.append(name, 0, b"P1", None, [])
    partition = Partition.take(0, bench.around)
    partition.apply(PARTNERS, [bench.piece(PARTNERS, 0, 1)])
    partition.apply(SALES, [bench.piece(SALES, 0, 1)])
    partition.apply(PARTNERS, [bench.piece(PARTNERS, 1, 2)])
    bench.true += timedelta(days=60).total_seconds()
    partition.apply_calendar()
    assert bench.events(QUARTER_CLOSES) == []
    bench.send(PARTNERS, a_partner())
    partition.apply(PARTNERS, [bench.piece(PARTNERS, 2, 3)])
    closes: list[QuarterClosed] = bench.events(QUARTER_CLOSES)
    assert [(c.quarter, c.revision, c.payable_minor) for c in closes] == [("2026Q4", 1, 5000)]


@pytest.mark.parametrize("lost", [TALLIES, SALE_LINES, POSITIONS])
def test_a_batch_of_which_a_topic_was_not_committed_is_refused(bench: Bench, lost: Topic) -> None:
    """A late end of an earlier transaction can do that."""
    bench.send(PARTNERS, a_partner())
    bench.send(SALES, a_sale(units=3))
    partition = Partition.take(0, bench.around)
    partition.apply(PARTNERS, [bench.piece(PARTNERS, 0, 1)])
    bench.broker.write_all_markers()
    log = bench.broker.log(lost.full_name(PREFIX), 0)
    before = log.end
    partition.apply(SALES, [bench.piece(SALES, 0, 1)])
    bench.broker.write_all_markers()
    log.cut(before)
    with pytest.raises(StaffelError, match=r"beyond the position|not the sum of their lines"):
        Partition.take(0, bench.around)


@pytest.mark.parametrize(("grace_days", "also"), [(0, ("2027Q1", 1, 0)), (28, None), (90, ("2026Q3", 1, 0))])
def test_wherever_the_owner_dies_amid_the_closes_each_happens_once(grace_days: int, also: Any) -> None:
    """With no days of grace, or 90, two closes fall on one instant."""
    expected = [("2026Q4", 0, 0), ("2026Q4", 1, 5000), ("2027Q1", 0, 0), *([also] if also else [])]
    for died_at in itertools.count():
        bench = Bench(grace_days)
        bench.send(PARTNERS, a_partner())
        bench.send(SALES, a_sale(units=10))
        partition = Partition.take(0, bench.around)
        partition.apply(PARTNERS, [bench.piece(PARTNERS, 0, 1)])
        partition.apply(SALES, [bench.piece(SALES, 0, 1)])
        bench.true = datetime(2027, 4, 2, tzinfo=UTC).timestamp()
        died = bench.die_at_call(died_at, partition.apply_calendar)
        Partition.take(0, bench.around).apply_calendar()
        closes = [(e.quarter, e.revision, e.payable_minor) for e in bench.events(QUARTER_CLOSES)]
        assert sorted(closes) == sorted(expected)
        if not died:
            return


def test_nothing_that_waits_behind_a_failed_transaction_begins(bench: Bench) -> None:
    """Its outcome is not known: what is in memory may lie behind what was committed."""
    bench.send(SALES, a_sale(units=3))
    bench.send(PARTNERS, a_partner())

    class Lost(Faults):
        def end_lost(self) -> tuple[bool, bool]:
            return True, False

    async def story() -> list[Any]:
        held = await HeldPartition.take(0, bench.around)
        bench.faults = Lost()
        held._partition._producer._faults = bench.faults
        works = [held.apply(SALES, [bench.piece(SALES, 0, 1)]), held.apply(PARTNERS, [bench.piece(PARTNERS, 0, 1)])]
        tasks = [bench.loop.create_task(work) for work in works]
        results = []
        for task in tasks:
            try:
                results.append(await task)
            except (KafkaException, Revoked) as error:
                results.append(type(error))
        return results

    assert finished(bench, story()) == [KafkaException, Revoked]
    assert [p.source for p in bench.events(POSITIONS)] == [CALENDAR, SALES.name]


def finished(bench: Bench, work: Any) -> Any:
    """Run the loop and its lanes until a coroutine is done."""
    lanes: list[Lane] = []
    make = bench.lane
    cast(Any, bench).lane = lambda name: lanes.append(make(name)) or lanes[-1]
    task = bench.loop.create_task(work)
    while not task.done():
        if bench.loop:
            bench.loop.step()
        else:
            next(lane for lane in lanes if lane.busy).step()
    return task.result()
