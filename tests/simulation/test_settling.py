"""Lines leave a partition's memory a day past the horizon of their quarter, and not while anything may still come."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import count

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.events import SaleReported
from schemas.topics import MOVED_TO, PARTNERS, SALE_LINES, SALES, SETTLED_LINES, SETTLED_SALES
from streams.partition import Partition
from streams.rules.state import State
from streams.settling import Settling
from tests.rules import facts
from tests.rules.facts import a_partner, a_return, a_sale
from tests.rules.test_any_order import let_time_pass
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
    there = [(MOVED_TO, b"settled-lines")]
    gone = bench.committed(SALE_LINES)[2:]
    assert [(e.key, e.value, e.headers) for e in gone] == [(b"P1/A", None, there), (b"P1/B", None, there)]
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


def test_lines_leave_though_newer_records_wait_if_later_ones_are_applied(bench: Bench) -> None:
    partition = taken(bench)
    bench.true += A_YEAR
    bench.send(SALES, a_sale("C", on=date(2027, 12, 1)), a_sale("D"))
    partition.apply(SALES, [bench.piece(SALES, 2, 3)])
    with added(2, SETTLED):
        partition.apply_calendar()
    assert lines_of(partition) == {"C"}


def test_lines_stay_while_the_broker_does_not_say_what_is_there(bench: Bench) -> None:
    def fail(what: str) -> None:
        if what == "list_offsets":
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    partition = taken(bench)
    bench.true += A_YEAR
    bench.at_call = fail
    with added(0, SETTLED):
        partition.apply_calendar()
    bench.at_call = lambda _: None
    bench.elapsed += 11
    with added(2, SETTLED):
        partition.apply_calendar()


def test_a_clock_that_is_put_back_lets_nothing_go(bench: Bench) -> None:
    """By it no moment is due that would be held."""
    partition = taken(bench)
    bench.true += A_YEAR
    partition._apply_due()
    bench.wrong_by = -timedelta(hours=1).total_seconds()
    with added(0, SETTLED):
        partition.apply_calendar()
    bench.wrong_by = 0.0
    bench.elapsed += 11
    with added(2, SETTLED):
        partition.apply_calendar()


def test_lines_stay_while_a_moment_is_due_that_was_held(bench: Bench) -> None:
    """The clock is put right as soon as the moment was held for it."""
    partition = taken(bench)
    bench.true += A_YEAR
    asked = count()

    def put_right(what: str) -> None:
        if what == "begin" and next(asked):
            bench.wrong_by = 0.0

    bench.wrong_by, bench.at_call = 400.0, put_right
    with added(0, SETTLED):
        partition.apply_calendar()
    bench.wrong_by, bench.at_call = 0.0, lambda _: None
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


# --- when it is looked, and how much goes at once --------------------------------------------------------------------


class Asking:
    """Asks what is to leave, a year later, as a partition does between batches."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.bench.true += A_YEAR
        self.state = State()
        self.asked = 0
        self.answer: datetime | None = self.bench.now()
        self._settling = Settling(self.bench.around)

    def have(self, *sales: SaleReported) -> None:
        """A state with sales of partners whom nobody knows."""
        rules = facts.Bench().feed(*sales)
        let_time_pass(rules, self.bench.now())
        self.state = rules.state

    def next(self) -> list[int]:
        """How many lines leave, by portion. They are gone then."""
        found = self._settling.next(self.state, self._applied_until)
        self.state.settle(found)
        return [len(portion.sale_ids) for portion in found]

    def _applied_until(self) -> datetime | None:
        self.asked += 1
        return self.answer


@pytest.mark.parametrize(
    ("later", "leaving"),
    [(timedelta(0), []), (timedelta(hours=23, minutes=59), []), (timedelta(days=1), [1]), (-timedelta(hours=1), [1])],
)
def test_it_is_looked_once_a_day_or_when_the_clock_was_put_back(later: timedelta, leaving: list[int]) -> None:
    asking = Asking()
    assert asking.next() == []
    asking.have(a_sale())
    asking.bench.true += later.total_seconds()
    assert asking.next() == leaving


def test_who_does_not_know_how_far_he_has_come_is_asked_again_after_ten_seconds() -> None:
    asking = Asking()
    asking.have(a_sale())
    until, asking.answer = asking.answer, None
    for seconds, asked in ((0.0, 1), (9.5, 1), (0.5, 2), (9.5, 2), (0.5, 3)):
        asking.bench.elapsed += seconds
        assert (asking.next(), asking.asked) == ([], asked)
    asking.answer = until
    asking.bench.elapsed += 10
    assert asking.next() == [1]


def test_what_a_transaction_holds_leaves_at_once_and_the_rest_the_next_time() -> None:
    asking = Asking()
    asking.have(*(a_sale(f"S{n}", partner="P1") for n in range(4_999)), a_sale(partner="P2"), a_sale(partner="P3"))
    assert [asking.next() for _ in range(2)] == [[4_999, 1], [1]]
    assert asking.state.away == set()
    assert asking.next() == []
    assert (asking.state.away, asking.asked) == ({"P1", "P2", "P3"}, 1)
