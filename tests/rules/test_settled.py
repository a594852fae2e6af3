"""Whether the line of a sale is still there or has left makes no difference to anything that comes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.events import Partner, SaleReported, SaleReturned
from schemas.packed import pack
from schemas.values import Quarter
from streams.rules.calendar import over_by
from streams.rules.settled import Settled, digest, is_among, key_of, portions
from streams.rules.state import State
from tests.rules.facts import NOON, Bench, a_partner, a_return, a_sale
from tests.rules.test_any_order import START, let_time_pass, partners, returns, sales

OVER = datetime(2027, 7, 1, tzinfo=UTC)
"""A day and more after the horizon of 2026Q4."""
Event = SaleReported | SaleReturned | Partner
events = st.lists(st.one_of(sales, sales, returns, partners), max_size=20)


def settle(bench: Bench, at: datetime = OVER) -> int:
    """As a worker does it: lines leave, then partners."""
    over = over_by(bench.programme, at)
    leaving = list(bench.state.portions(bench.state.to_settle(over), over))
    bench.state.settle(leaving)
    bench.state.let_go(over)
    return sum(len(portion.sale_ids) for portion in leaving)


def come_back(bench: Bench, before: Bench, partner_ids: set[str]) -> None:
    """As a worker does it before it applies anything of theirs; ``before`` is what was published."""
    back = bench.state.away & partner_ids
    own = [tally for tally in before.state.tallies() if tally.partner_id in back]
    over = over_by(bench.programme, OVER)
    left = [p.sales for who in sorted(back) for p in portions(who, before.state.packed_lines(who), over)]
    bench.state.come_back(back, own, left)


@settings(max_examples=300, deadline=None)
@given(events, events, st.booleans())
def test_what_comes_later_gets_the_verdict_that_the_line_would_have_given(
    early: list[Event], late: list[Event], forgotten: bool
) -> None:
    kept, settled, published = Bench(START), Bench(START), Bench(START)
    for bench in (kept, settled, published):
        bench.feed(*early)
        if forgotten:
            draft = bench.draft()
            draft.partner("P1", None, NOON)
            bench.keep(draft)
        let_time_pass(bench, OVER)
    settle(settled)
    assert settled.state.check(settled.offset) == ([], 0)
    for event in late:
        come_back(settled, published, {event.partner_id})
        results = []
        for bench in (kept, settled):
            draft = bench.draft()
            if isinstance(event, Partner):
                draft.partner(event.partner_id, event, OVER)
            else:
                draft.sale(event, OVER, bench.offset)
            bench.keep(draft)
            results.append(draft.results)
        assert results[0] == results[1]
    assert settled.told == kept.told
    tallies = {(tally.partner_id, tally.quarter): tally for tally in settled.state.tallies()}
    for tally in kept.state.tallies():
        assert tallies.get((tally.partner_id, tally.quarter), tally) == tally
        assert (tally.partner_id, tally.quarter) in tallies or tally.partner_id in settled.state.away
    assert settled.state.check(settled.offset) == ([], 0)


def test_only_lines_of_quarters_that_are_over_leave() -> None:
    bench = Bench().feed(a_partner(), a_sale("A", units=30), a_sale("B", units=9), a_return("C"))
    bench.feed(a_sale("D", on=date(2027, 1, 2)), recorded_at=datetime(2027, 1, 3, tzinfo=UTC))
    horizon = bench.programme.dates(Quarter(2026, 4)).horizon_at
    assert settle(bench, horizon + timedelta(hours=23)) == 0
    assert settle(bench, horizon + timedelta(days=1)) == 2
    assert set(bench.state.packed_lines("P1")) == {"C", "D"}
    assert settle(bench, horizon + timedelta(days=2)) == 0
    assert bench.state.check(bench.offset) == ([], 0)


def test_a_tally_that_is_not_the_sum_of_its_lines_and_of_what_left_is_noticed() -> None:
    bench = Bench().feed(a_partner(), a_sale("A", units=30))
    settle(bench)
    other = Bench().feed(a_partner(), a_sale("B"))
    (portion,) = portions("P1", other.state.packed_lines("P1"), bool)
    bench.state.settled.weigh_in(portion.sales)
    assert bench.state.check(bench.offset).differences


def test_whom_the_registry_knows_or_to_whom_something_is_due_does_not_leave() -> None:
    bench = Bench().feed(a_partner("P1"), a_partner("P2"), a_partner("P3"))
    bench.feed(*(a_sale("A", partner=who, units=10) for who in ("P1", "P2", "P3", "stranger")))
    draft = bench.draft()
    draft.partner("P2", None, NOON)  # before his quarter was closed: he is paid if he comes back
    bench.keep(draft)
    let_time_pass(bench, OVER)
    draft = bench.draft()
    draft.partner("P3", None, OVER)
    bench.keep(draft)
    settle(bench)
    assert bench.state.away == {"stranger"}  # P3 still has a standing in the present quarter
    let_time_pass(bench, OVER + timedelta(days=400))
    settle(bench, bench.at)
    assert bench.state.away == {"P3", "stranger"}
    assert {tally.partner_id for tally in bench.state.tallies()} == {"P1", "P2"}
    assert bench.state.known() == {"P1", "P2"}


def test_who_has_nothing_that_could_leave_is_not_asked_for_again() -> None:
    """Else a worker would ask the broker every ten seconds how far it has come."""
    names = [f"P{n}" for n in range(9)]
    bench = Bench().feed(*(a_partner(who) for who in names), *(a_sale("A", partner=who, units=30) for who in names))
    bench.feed(*(a_sale("D", partner=who, on=date(2027, 7, 2)) for who in names), recorded_at=OVER + timedelta(days=2))
    over = over_by(bench.programme, OVER)
    assert bench.state.to_settle(over) == names
    settle(bench)
    assert bench.state.to_settle(over) == []
    bench.feed(a_sale("late"), recorded_at=OVER)
    assert bench.state.to_settle(over) == ["P1"]
    assert settle(bench) == 1
    assert bench.state.to_settle(over) == []


def test_who_is_forgotten_after_his_lines_left_leaves_too() -> None:
    bench = Bench().feed(a_partner(left_on=date(2026, 12, 31)), a_sale(units=10))
    let_time_pass(bench, OVER)
    settle(bench)
    assert (bench.state.away, bench.state.to_settle(over_by(bench.programme, OVER))) == (set(), []), "he is known"
    draft = bench.draft()
    draft.partner("P1", None, OVER)
    bench.keep(draft)
    assert bench.state.to_settle(over_by(bench.programme, OVER)) == ["P1"]
    settle(bench)
    assert bench.state.away == {"P1"}


def test_a_stranger_stays_while_something_of_his_may_still_move() -> None:
    """A return whose sale may come, or a standing in a quarter that is not over, or not closed."""
    day = date(2026, 9, 2)
    bench = Bench(START).feed(*(a_sale(partner=who, on=day) for who in ("done", "waiting")))
    bench.feed(a_return("B", partner="waiting"), a_sale(partner="moved", minute=2))
    bench.feed(a_sale(partner="moved", on=day, minute=1))
    over = {"2026Q3"}.__contains__
    bench.state.settle(bench.state.portions(bench.state.to_settle(over), over))
    bench.state.let_go(over)
    assert bench.state.away == set(), "the quarter is not closed"
    let_time_pass(bench, OVER)
    bench.state.let_go(over)
    assert bench.state.away == {"done"}


def test_settled_sales_without_a_tally_are_named() -> None:
    bench = Bench().feed(a_partner(), a_sale())
    (portion,) = portions("P1", bench.state.packed_lines("P1"), over_by(bench.programme, OVER))
    restored = State()
    restored.settled.keep([portion.sales])
    assert restored.check(0).differences == ["P1 2026Q4: lines without a tally"]


def test_a_partners_many_lines_leave_in_portions_and_each_is_known_again() -> None:
    bench = Bench().feed(a_partner(), *(a_sale(f"S{n}") for n in range(5_003)))
    packed = bench.state.packed_lines("P1")
    first, second = portions("P1", packed, over_by(bench.programme, OVER))
    assert (len(first.sale_ids), len(second.sale_ids), second.sales.units) == (5000, 3, 3)
    assert key_of(first.sales) != key_of(second.sales)
    settled = Settled()
    settled.keep([first.sales, second.sales])
    known = settled.sales_of("P1")
    assert known is not None
    assert all(is_among(known, sale_id) for sale_id in packed)
    assert not any(is_among(known, f"T{n}") for n in range(5_003))
    assert settled.weight("P1", "2026Q4")[:2] == (5003, 5003)


def test_what_stays_of_sales_has_their_hashes_in_order_and_the_first_of_them_in_its_key() -> None:
    bench = Bench().feed(a_partner(), *(a_sale(f"S{n}") for n in range(9)))
    (portion,) = portions("P1", bench.state.packed_lines("P1"), over_by(bench.programme, OVER))
    hashes = sorted(digest(f"S{n}").to_bytes(8, "big") for n in range(9))
    assert portion.sales.sales == b"".join(hashes)
    assert key_of(portion.sales) == f"P1/2026Q4/{hashes[0].hex()}"


def test_of_several_quarters_the_earliest_leaves_first() -> None:
    bench = Bench(START).feed(a_partner())
    days = [date(2026, month, 20) for month in (8, 2, 11, 5)]
    for number, day in enumerate(days):
        recorded_at = datetime(day.year, day.month, 21, tzinfo=UTC)
        bench.feed(a_sale(f"S{number}", on=day), recorded_at=recorded_at)
    found = portions("P1", bench.state.packed_lines("P1"), over_by(bench.programme, OVER))
    assert [portion.sales.quarter for portion in found] == ["2026Q1", "2026Q2", "2026Q3", "2026Q4"]


def test_large_lines_leave_in_portions_that_fit_into_a_transaction() -> None:
    """A portion ends with the line that makes it larger than four megabytes."""
    bench = Bench().feed(a_partner(), a_sale())
    line = bench.state.line("P1", "S1")
    assert line is not None
    megabyte, long = 1 << 20, 1 << 19
    missing = megabyte - len(pack(replace(line, product_id="x" * long)))
    packed = pack(replace(line, product_id="x" * (long + missing)))
    assert len(packed) == megabyte
    many = {f"S{n}": packed for n in range(11)}
    found = portions("P1", many, over_by(bench.programme, OVER))
    assert [len(portion.sale_ids) for portion in found] == [5, 5, 1]
