"""A partition's state against itself, what a batch writes and what it does not, and what it says it did."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from schemas.events import LineStatus, Phase, QuarterClosed, SaleLine, TierChanged, WeeklySummary
from schemas.packed import pack
from streams.rules.calendar import due
from streams.rules.lines import Reason
from streams.rules.state import State
from streams.rules.terms import parse
from tests.rules.facts import NOON, Bench, a_partner, a_return, a_sale
from tests.rules.test_calendar import FINAL_AT, PROVISIONAL_AT, pass_time
from tests.rules.test_terms import TEXT

QUARTERS = ["2026Q1", "2026Q2", "2026Q3", "2026Q4"]
LATE = datetime(2027, 8, 1, tzinfo=UTC)


def a_year() -> State:
    """A state with a sale in each quarter of a year, recorded amid it."""
    bench = Bench().feed(a_partner())
    for number, month in enumerate((1, 4, 7, 10)):
        day = date(2026, month, 20)
        bench.feed(a_sale(f"S{number}", units=10, on=day), recorded_at=datetime(2026, month, 21, tzinfo=UTC))
    return bench.state


def line(state: State, sale_id: str) -> SaleLine:
    found = state.line("P1", sale_id)
    assert found is not None
    return found


def test_a_state_is_sound_up_to_its_position() -> None:
    assert a_year().check(3) == ([], 0)
    assert a_year().check(1) == ([], 2)


def test_lines_without_a_tally_are_named_in_order() -> None:
    state = State()
    for sale_id, packed in a_year().packed_lines("P1").items():
        state.keep_line("P1", sale_id, packed)
    assert state.check(9).differences == [f"P1 {quarter}: lines without a tally" for quarter in QUARTERS]


def test_a_line_that_no_quarter_counts_needs_no_tally() -> None:
    assert Bench().feed(a_return()).state.check(9) == ([], 0)


def test_what_a_tally_says_and_its_lines_do_not_is_named() -> None:
    state = a_year()
    state.drop_line("P1", "S0")
    state.keep_line("P1", "S9", pack(line(state, "S1")))
    assert state.check(9).differences == [
        "P1 2026Q1: tally says (10, 1, 0, 0, 0), lines say (0, 0, 0, 0, 0)",
        "P1 2026Q2: tally says (10, 1, 0, 0, 0), lines say (20, 2, 0, 0, 0)",
    ]


def test_what_is_not_there_can_be_dropped() -> None:
    state = a_year()
    state.drop_line("P2", "S1")
    state.keep_partner("P2", None)
    assert state.known() == {"P1"}


def test_a_programme_that_computes_quarters_otherwise_is_told_with_their_names() -> None:
    assert a_year().contradicted_by(parse(TEXT)) == []
    assert a_year().contradicted_by(parse(TEXT.replace('"2026-1"', '"2026-2"'))) == QUARTERS


def test_a_registration_that_changes_nothing_writes_no_tally() -> None:
    """Neither in a quarter that is open, nor in one whose rebate was made payable."""
    bench = Bench().feed(a_partner(), a_sale(units=10))
    for at in (NOON, PROVISIONAL_AT, FINAL_AT):
        pass_time(bench, at)
        draft = bench.draft()
        draft.partner("P1", a_partner(), at)
        assert (draft.tallies, list(draft.lines)) == ({}, [])


def test_a_batch_says_how_its_records_ended() -> None:
    bench = Bench().feed(a_partner(), a_sale("A"))
    draft = bench.draft()
    draft.sale(a_sale("B", on=date(2026, 12, 24)), NOON, 7)
    draft.sale(a_sale("C", units=10), NOON, 8)
    draft.sale(a_sale("C", units=10), NOON, 9)
    draft.sale(a_return("A"), LATE, 10)
    draft.sale(a_return("A", return_id="R2"), LATE, 11)
    assert draft.results == {
        (LineStatus.REJECTED, Reason.SOLD_IN_FUTURE): 1,
        (LineStatus.COUNTED, ""): 1,
        ("duplicate", ""): 1,
        (LineStatus.REJECTED, Reason.OLDER_THAN_HORIZON): 2,
    }


def test_units_are_counted_by_country_and_the_tier_they_lead_to_and_not_when_they_go() -> None:
    bench = Bench().feed(a_partner("P1"), a_partner("P2", country="AT"))
    draft = bench.draft()
    draft.sale(a_sale("A", units=9), NOON, 1)
    draft.sale(a_sale("B", units=16), NOON, 2)
    draft.sale(a_sale("X", product_id="XX-1"), NOON, 2)
    draft.sale(a_return("A", units=9), NOON, 3)
    draft.sale(a_sale("A", partner="P2", units=1), NOON, 4)
    assert dict(draft.units_counted) == {("DE", 0): 9, ("DE", 25): 16, ("AT", 0): 1}


def closes(bench: Bench) -> list[tuple[str, str, int, int]]:
    found = [e for e in bench.told if isinstance(e, QuarterClosed)]
    return [(e.partner_id, e.quarter, e.revision, e.payable_minor) for e in found]


def test_a_quarter_is_closed_for_who_was_a_partner_in_it() -> None:
    first, end = date(2026, 10, 1), date(2027, 1, 1)
    day = timedelta(days=1)
    bench = Bench().feed(
        a_partner("came", since=end - day),
        a_partner("came-later", since=end),
        a_partner("left", left_on=first),
        a_partner("left-later", left_on=first + day),
        a_sale(partner="left", units=10, on=date(2026, 9, 30)),
    )
    pass_time(bench, PROVISIONAL_AT)
    told = [(who, revision) for who, quarter, revision, _ in closes(bench) if quarter == "2026Q4"]
    assert told == [("came", 0), ("left-later", 0)]


def test_who_left_is_told_the_close_of_a_quarter_in_which_something_of_his_stands() -> None:
    bench = Bench().feed(a_sale(units=10), a_partner(left_on=date(2026, 10, 1)))
    pass_time(bench, PROVISIONAL_AT)
    assert ("P1", "2026Q4", 0, 0) in closes(bench)


def test_a_sale_that_moves_to_another_quarter_leaves_the_one_it_was_in() -> None:
    """An earlier report with another date stands."""
    bench = Bench().feed(a_partner(), a_sale(units=10, minute=2))
    bench.feed(a_sale(units=10, minute=1, on=date(2026, 9, 30)))
    found = [bench.state.tally("P1", quarter) for quarter in ("2026Q3", "2026Q4")]
    assert [(t.units, t.counted, t.tier) for t in found if t] == [(10, 1, 10), (0, 0, 0)]
    told = [e.quarter for e in bench.told if isinstance(e, TierChanged)]
    assert told == ["2026Q4", "2026Q3", "2026Q4"], "in the order of quarters"


@pytest.mark.parametrize("again", [True, False])
def test_who_is_forgotten_keeps_what_is_his_and_is_told_when_he_comes_back(again: bool) -> None:
    bench = Bench().feed(a_partner(), a_sale(units=10))
    draft = bench.draft()
    draft.partner("P1", None, NOON)
    draft.sale(a_sale("B", units=1), NOON, 8)
    bench.keep(draft)
    assert line(bench.state, "B").reason == Reason.PARTNER_NOT_REGISTERED
    assert bench.state.partners == {}
    pass_time(bench, FINAL_AT)
    assert closes(bench) == []
    if again:
        bench.feed(a_partner(), recorded_at=FINAL_AT)
    assert closes(bench) == ([("P1", "2026Q4", 1, 5500)] if again else [])


@pytest.mark.parametrize(("until", "number"), [(PROVISIONAL_AT, 1), (FINAL_AT, 2)])
def test_a_close_that_is_due_once_more_is_not_told_again(until: datetime, number: int) -> None:
    bench = Bench().feed(a_partner(), a_sale(units=10))
    pass_time(bench, until)
    assert closes(bench) == [("P1", "2026Q4", 0, 0), ("P1", "2026Q4", 1, 5000)][:number]
    bench.told, bench.at = [], NOON
    pass_time(bench, until)
    assert closes(bench) == []


def test_the_quarter_of_who_is_not_registered_goes_on_too() -> None:
    bench = Bench().feed(a_sale(units=10))
    for at, phase in ((PROVISIONAL_AT, Phase.PROVISIONAL), (FINAL_AT, Phase.FINAL)):
        pass_time(bench, at)
        tally = bench.state.tally("P1", "2026Q4")
        assert tally is not None
        assert tally.phase is phase


def test_quarters_that_are_closed_at_one_instant_are_not_mixed_up() -> None:
    bench = Bench()
    bench.programme = parse(TEXT.replace("grace_days = 28", "grace_days = 92"))
    bench.feed(a_partner(since=date(2026, 11, 1)))
    draft = bench.draft()
    for moment in due(bench.programme, PROVISIONAL_AT - timedelta(hours=1), PROVISIONAL_AT):
        draft.moment(moment)
    assert [(e.quarter, e.revision) for e in draft.events if isinstance(e, QuarterClosed)] == [("2026Q4", 0)]


def test_partners_are_told_in_the_order_of_their_ids() -> None:
    names = ["d", "b", "f", "a", "e", "c"]
    bench = Bench().feed(*(a_partner(name) for name in names))
    pass_time(bench, PROVISIONAL_AT)
    assert [who for who, *_ in closes(bench)] == sorted(names)
    assert [e.partner_id for e in bench.told if isinstance(e, WeeklySummary)] == sorted(names)


def test_sales_before_and_behind_a_registration_in_one_batch_are_all_in_the_sum() -> None:
    """Also if the quarter was closed before he was known."""
    bench = Bench().feed(a_sale("A", units=10), a_sale("B", partner="P2"))
    bench.feed(a_partner()).feed(a_sale("A2", units=1))
    forgotten = bench.draft()
    forgotten.partner("P1", None, NOON)
    bench.keep(forgotten)
    pass_time(bench, FINAL_AT)
    bench.feed(a_return("A2"), recorded_at=FINAL_AT)
    assert closes(bench) == [], "he is not known"
    bench.feed(a_sale("C", units=5), a_partner(), a_sale("D", units=5), recorded_at=FINAL_AT)
    tally = bench.state.tally("P1", "2026Q4")
    assert tally is not None
    assert (tally.units, tally.payable_minor) == (20, 10_000)
