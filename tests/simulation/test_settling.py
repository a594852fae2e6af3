"""Lines leave a partition's memory a day past the horizon of their quarter, and not while anything may still come."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schemas.topics import PARTNERS, SALE_LINES, SALES, SETTLED_LINES, SETTLED_SALES
from streams.partition import Partition
from tests.rules.facts import a_partner, a_return, a_sale
from tests.simulation.given import PREFIX
from tests.simulation.test_metrics import added
from tests.simulation.test_partition import Bench

A_YEAR = timedelta(days=365).total_seconds()
SETTLED = "rebate_lines_settled_total"


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.send(PARTNERS, a_partner())
    made.send(SALES, a_sale("A", units=10), a_sale("B", product_id="XX-1"))
    return made


def taken(bench: Bench) -> Partition:
    """A partition that has applied all that is there."""
    partition = Partition.take(0, bench.around)
    partition.apply(PARTNERS, [bench.piece(PARTNERS, 0, 1)])
    partition.apply(SALES, [bench.piece(SALES, 0, 2)])
    return partition


def lines_of(partition: Partition) -> set[str]:
    return set(partition._restored.state.packed_lines("P1"))


def test_lines_leave_when_nothing_can_change_them(bench: Bench) -> None:
    partition = taken(bench)
    with added(0, SETTLED):
        partition.apply_calendar()
    bench.true += A_YEAR
    with added(2, SETTLED):
        partition.apply_calendar()
    assert lines_of(partition) == set()
    assert [entry.key for entry in bench.committed(SETTLED_LINES)] == [b"P1/A", b"P1/B"]
    assert [(e.key, e.value) for e in bench.committed(SALE_LINES)][2:] == [(b"P1/A", None), (b"P1/B", None)]
    assert [sales.units for sales in bench.events(SETTLED_SALES)] == [10]
    bench.send(SALES, a_return("A"), a_sale("A", units=10))
    owner = Partition.take(0, bench.around)
    with added(2, "rebate_sales_events_total", result="rejected", reason="older-than-horizon"):
        owner.apply(SALES, [bench.piece(SALES, 2, 4)])
    assert lines_of(owner) == set()


def test_lines_stay_while_an_earlier_record_is_not_applied(bench: Bench) -> None:
    partition = taken(bench)
    bench.send(SALES, a_return("A"))
    bench.true += A_YEAR
    with added(0, SETTLED):
        partition.apply_calendar()
    assert lines_of(partition) == {"A", "B"}
    partition.apply(SALES, [bench.piece(SALES, 2, 3)])
    bench.elapsed += 11
    with added(2, SETTLED):
        partition.apply_calendar()
    assert [sales.units for sales in bench.events(SETTLED_SALES)] == [9]


def test_lines_stay_while_a_source_is_undecided(bench: Bench) -> None:
    partition = taken(bench)
    producer = bench.around.clients.producer(transactional_id="importer", transaction_timeout_ms=1000)
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(SALES.full_name(PREFIX), value=b"", key=b"P1", partition=0)
    producer.flush()
    bench.true += A_YEAR
    with added(0, SETTLED):
        partition.apply_calendar()
    bench.elapsed += 11
    bench.broker.expire()
    with added(2, SETTLED):
        partition.apply_calendar()


def test_a_wrong_clock_lets_nothing_go(bench: Bench) -> None:
    partition = taken(bench)
    bench.wrong_by = A_YEAR
    for _ in range(3):
        bench.elapsed += 11
        with added(0, SETTLED):
            partition.apply_calendar()
    assert lines_of(partition) == {"A", "B"}
