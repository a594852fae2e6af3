"""What a partition tells of itself while it works: each record ends somewhere, and the figures say where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from deploy.runtime.errors import NotReady
from schemas.topics import DEAD_LETTERS, PARTNERS, POSITIONS, SALES
from schemas.values import partition_of
from streams.partition import Partition
from streams.rules.fold import Draft
from tests.rules.facts import a_partner, a_sale
from tests.simulation.given import PREFIX, codec, settings
from tests.simulation.test_partition import START, Bench

OTHERS = next(f"P{n}" for n in range(99) if partition_of(f"P{n}".encode(), 2) == 1)
"""A partner of the other one of two partitions."""
OURS = next(f"P{n}" for n in range(99) if partition_of(f"P{n}".encode(), 2) == 0)


def told(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@contextmanager
def added(number: float, name: str, **labels: str) -> Iterator[None]:
    before = told(name, **labels)
    yield
    assert told(name, **labels) - before == number, name


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.elapsed = 100_000.0  # this machine has run for a day
    made.around = made.around._replace(settings=settings(2))
    for topic in made.broker.topics.values():
        topic.logs.append(type(topic.logs[0])())
    return made


def test_each_record_ends_somewhere_and_is_counted_there(bench: Bench) -> None:
    bench.send(PARTNERS, a_partner(OURS))
    bench.send(SALES, a_sale("A", partner=OURS, units=10), a_sale("A", partner=OURS, units=10))
    name, key = SALES.full_name(PREFIX), OTHERS.encode()
    stray, again = (codec().encode(SALES, a_sale(sale_id, partner=OTHERS)) for sale_id in "AB")
    bench.broker.append(name, 0, b"k", stray, [("theirs", b"1")])
    bench.broker.append(name, 0, key, None, [])
    bench.broker.append(name, 0, key, again, [("staffel-rerouted-from", b"1/7")])
    bench.send(SALES, a_sale("C", partner=OURS))  # behind the batch
    partition = Partition.take(0, bench.around)
    partition.apply(PARTNERS, [bench.piece(PARTNERS, 0, 1)])
    bench.true += 3
    events = "rebate_sales_events_total"
    with (
        added(1, events, result="counted", reason=""),
        added(1, events, result="duplicate", reason=""),
        added(1, events, result="rerouted", reason=""),
        added(1, events, result="dead-letter", reason="no-value"),
        added(1, "dlq_messages_total", reason="no-value"),
        added(1, events, result="dead-letter", reason="stray-twice"),
        added(10, "rebate_units_counted_total", country="DE", tier="10"),
        added(1, "rebate_tally_apply_seconds_count"),
        added(0, "rebate_tally_apply_seconds_sum"),
        added(0, "rebate_unaccounted_records", partition="0"),
    ):
        partition.apply(SALES, [bench.piece(SALES, 0, 5)])
    assert told("rebate_position_offset", source="sales", partition="0") == 4
    assert told("rebate_position_offset", source="partners", partition="0") == 0
    assert told("rebate_behind_records", source="sales", partition="0") == 1
    assert told("rebate_last_event_timestamp_seconds") == START.timestamp()
    assert told("rebate_event_lag_seconds") == 3
    assert [e.key for e in bench.committed(DEAD_LETTERS)] == [key, key], "beside what they came with"
    (sent_on,) = bench.broker.log(name, 1).read(0, committed=True)
    assert (sent_on.key, sent_on.value) == (key, stray)
    assert sent_on.headers == [("theirs", b"1"), ("staffel-rerouted-from", b"0/2")]
    bench.wrong_by = -60.0
    partition.apply(SALES, [bench.piece(SALES, 5, 6)])
    assert told("rebate_event_lag_seconds") == 0, "a clock that is behind makes nothing younger than new"


def test_a_record_that_ended_nowhere_is_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.send(SALES, a_sale(partner=OURS), a_sale("B", partner=OURS))
    partition = Partition.take(0, bench.around)
    monkeypatch.setattr(Draft, "sale", lambda *_: None)
    with added(2, "rebate_unaccounted_records", partition="0"):
        partition.apply(SALES, [bench.piece(SALES, 0, 2)])


def test_a_partners_record_that_is_none_is_counted_among_the_letters_alone(bench: Bench) -> None:
    bench.broker.append(PARTNERS.full_name(PREFIX), 0, b"a/b", b"", [])
    partition = Partition.take(0, bench.around)
    with (
        added(1, "dlq_messages_total", reason="bad-partner-id"),
        added(0, "rebate_sales_events_total", result="dead-letter", reason="bad-partner-id"),
    ):
        partition.apply(PARTNERS, [bench.piece(PARTNERS, 0, 1)])
    assert len(bench.committed(DEAD_LETTERS)) == 1


def test_the_calendar_says_how_far_it_is_and_what_it_closed(bench: Bench) -> None:
    with added(1, "rebate_restore_seconds_count"), added(0, "rebate_restore_seconds_sum"):
        partition = Partition.take(0, bench.around)
    (begun,) = bench.events(POSITIONS)
    assert (begun.source, begun.topic_id, begun.leader_epoch) == ("calendar", "", 0)
    assert told("rebate_calendar_timestamp_seconds", partition="0") == START.timestamp()
    for at, state in ((datetime(2026, 12, 31, 23, tzinfo=UTC), 1), (datetime(2027, 2, 2, tzinfo=UTC), 2)):
        bench.true = at.timestamp()
        partition.apply_calendar()
        assert told("rebate_quarter_close_state", quarter="2026Q4") == state
    monday = datetime(2027, 2, 1, 7, tzinfo=UTC)
    assert told("rebate_calendar_timestamp_seconds", partition="0") == monday.timestamp()


def test_a_moment_that_is_held_is_seen(bench: Bench) -> None:
    partition = Partition.take(0, bench.around)
    bench.wrong_by = timedelta(days=30).total_seconds()
    partition.apply_calendar()
    assert told("rebate_calendar_held") == 1
    bench.true, bench.wrong_by = bench.time(), 0.0
    partition.apply_calendar()
    assert told("rebate_calendar_held") == 0


def test_clocks_may_differ_by_less_than_five_minutes(bench: Bench) -> None:
    for wrong_by, held in ((299.0, 0), (-299.0, 0), (300.0, 1), (-300.0, 1)):
        partition = Partition.take(0, bench.around)
        bench.true += timedelta(days=7).total_seconds()
        bench.wrong_by = wrong_by
        partition.apply_calendar()
        assert told("rebate_calendar_held") == held, wrong_by
        bench.wrong_by = 0.0
        partition.apply_calendar()


def test_a_partition_does_not_begin_if_nobody_says_when(bench: Bench) -> None:
    """The broker's time comes with the report of a delivery; without one no clock is known to be right."""
    make = bench.around.clients.producer

    def producer(**options: Any) -> Any:
        made: Any = make(**options)
        made._report = lambda: None
        return made

    around = bench.around._replace(clients=bench.around.clients._replace(producer=producer))
    with pytest.raises(NotReady, match="clock"):
        Partition.take(0, around)


def test_the_producer_takes_the_largest_letter_and_waits_when_it_is_full(bench: Bench) -> None:
    made: list[Any] = []
    options: dict[str, Any] = {}
    make = bench.around.clients.producer

    def producer(**said: Any) -> Any:
        options.update(said)
        made.append(make(**said))
        return made[-1]

    bench.around = bench.around._replace(clients=bench.around.clients._replace(producer=producer))
    partition = Partition.take(0, bench.around)
    assert options["message_max_bytes"] == int(DEAD_LETTERS.config["max.message.bytes"])
    assert options["transaction_timeout_ms"] == 10_000, "so long may it hide state after its worker's death"
    assert options["transactional_id"] == f"{PREFIX}{bench.around.settings.app_id}.0"
    produce, left = made[0].produce, [2]

    def when_there_is_room(*given: Any, **said: Any) -> None:
        if left[0]:
            raise BufferError("Local: Queue full")
        produce(*given, **said)

    def poll(_timeout: float) -> None:
        left[0] -= 1

    made[0].produce, made[0].poll = when_there_is_room, poll
    bench.send(SALES, a_sale(partner=OURS))
    partition.apply(SALES, [bench.piece(SALES, 0, 1)])
    assert partition.next_offset(SALES) == 1
    assert Partition.take(0, bench.around).next_offset(SALES) == 1
