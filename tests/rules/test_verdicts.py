"""Rules 3 and 4: the verdict on each sale, and which of two reports stands."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from schemas.events import LineStatus, SaleReported
from services.portal.reasons import SALES
from streams.rules.lines import Reason
from tests.rules.facts import NOON, Bench, a_partner, a_return, a_sale


def line(bench: Bench, sale_id: str = "S1", partner: str = "P1"):  # type: ignore[no-untyped-def]
    found = bench.state.line(partner, sale_id)
    assert found is not None
    return found


def test_a_sale_of_a_registered_partner_is_counted() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=3))
    assert (line(bench).status, line(bench).units, line(bench).quarter) == (LineStatus.COUNTED, 3, "2026Q4")


@pytest.mark.parametrize(
    ("sale", "reason"),
    [
        (a_sale(product_id="XX-1"), Reason.PRODUCT_NOT_IN_PROGRAMME),
        (a_sale(units=0), Reason.QUANTITY_BELOW_ONE),
        (a_sale(units=-2), Reason.QUANTITY_BELOW_ONE),
        (a_sale(on=date(2026, 11, 22)), Reason.SOLD_IN_FUTURE),
        (a_sale(on=date(2026, 3, 31)), Reason.OLDER_THAN_HORIZON),
        (a_sale(on=date(2025, 12, 31)), Reason.BEFORE_PROGRAMME),
    ],
)
def test_a_sale_that_does_not_count_says_why(sale: SaleReported, reason: Reason) -> None:
    bench = Bench().feed(a_partner(), sale)
    assert (line(bench).status, line(bench).reason, line(bench).units) == (LineStatus.REJECTED, reason, 0)


def test_the_portal_has_words_for_each_code() -> None:
    """Codes are published: whoever reads events knows them by these names."""
    assert {*Reason, "conflicting-resend"} == SALES.keys()


def test_today_somewhere_on_earth_is_not_the_future() -> None:
    bench = Bench().feed(a_partner(), a_sale(on=date(2026, 11, 21)))  # it is noon of the 20th in UTC
    assert line(bench).status is LineStatus.COUNTED


def test_the_horizon_ends_180_days_after_the_quarter() -> None:
    bench = Bench().feed(
        a_partner(), a_sale("A", on=date(2026, 6, 30)), recorded_at=datetime(2026, 12, 27, 12, tzinfo=UTC)
    )
    bench.feed(a_sale("B", on=date(2026, 6, 30)), recorded_at=datetime(2026, 12, 28, 12, tzinfo=UTC))
    assert (line(bench, "A").status, line(bench, "B").reason) == (LineStatus.COUNTED, Reason.OLDER_THAN_HORIZON)


def test_a_country_outside_the_programme_is_rejected() -> None:
    bench = Bench().feed(a_partner(country="US"), a_sale())
    assert line(bench).reason == Reason.COUNTRY_NOT_IN_PROGRAMME


def test_sales_of_an_unregistered_partner_wait_and_are_counted_when_he_registers() -> None:
    bench = Bench().feed(a_sale("A", units=6), a_sale("B", units=6))
    assert {line(bench, s).reason for s in "AB"} == {Reason.PARTNER_NOT_REGISTERED}
    assert bench.state.tally("P1", "2026Q4").pending == 2
    bench.feed(a_partner())
    tally = bench.state.tally("P1", "2026Q4")
    assert (tally.units, tally.tier, tally.counted, tally.pending) == (12, 10, 2, 0)


def test_who_left_and_comes_back_is_counted_again() -> None:
    bench = Bench().feed(a_partner(left_on=date(2026, 11, 1)), a_sale("A", on=date(2026, 10, 31)), a_sale("B"))
    assert (line(bench, "A").status, line(bench, "B").reason) == (LineStatus.COUNTED, Reason.PARTNER_LEFT)
    bench.feed(a_partner())
    assert line(bench, "B").status is LineStatus.COUNTED


@pytest.mark.parametrize("minute", [0, 9])
def test_the_same_report_again_changes_nothing(minute: int) -> None:
    bench = Bench().feed(a_partner(), a_sale(units=3))
    before = line(bench)
    draft = bench.draft()
    draft.sale(a_sale(units=3, minute=minute), NOON, 99)
    assert not list(draft.lines)
    assert draft.results["duplicate", ""] == 1
    assert line(bench) == before


def test_of_two_reports_that_differ_the_one_reported_first_stands_and_the_other_is_seen() -> None:
    first, second = a_sale(units=3, minute=1), a_sale(units=7, minute=2)
    for order in ((first, second), (second, first)):
        bench = Bench().feed(a_partner(), *order)
        assert line(bench).units == 3
        assert len(line(bench).conflicts) == 1


def test_what_stands_is_never_its_own_conflict_and_what_is_known_is_nothing_new() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=7, minute=2), a_sale(units=3, minute=1))
    (seven,) = line(bench).conflicts
    bench.feed(a_sale(units=7, minute=0))
    assert (line(bench).units, line(bench).content_hash) == (7, seven)
    assert seven not in line(bench).conflicts
    assert len(line(bench).conflicts) == 1
    draft = bench.draft()
    draft.sale(a_sale(units=3, minute=5), NOON, 99)
    assert (list(draft.lines), draft.results["duplicate", ""]) == ([], 1)


def test_a_line_says_which_record_changed_it_last() -> None:
    """By that a state is held against the position of the sales it was made from."""
    steps = [a_sale(units=7, minute=2), a_sale(units=9, minute=3), a_sale(units=3, minute=1), a_return()]
    bench = Bench().feed(a_partner())
    for offset, step in enumerate(steps):
        assert line(bench.feed(step)).source_offset == offset
    assert line(bench.feed(a_sale(units=9, minute=4), a_return(minute=1))).source_offset == 3


def test_of_many_reports_that_differ_the_sixteen_smallest_are_kept_whatever_their_order() -> None:
    reports = [a_sale(units=units, minute=units) for units in range(1, 20)]
    one, other = Bench().feed(a_partner(), *reports), Bench().feed(a_partner(), *reversed(reports))
    assert len(line(one).conflicts) == 16
    assert line(one).conflicts == line(other).conflicts


def test_a_return_takes_its_units_out_of_the_quarter_of_the_sale() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=10), a_return(units=1))
    tally = bench.state.tally("P1", "2026Q4")
    assert (tally.units, tally.tier, tally.rebate_minor) == (9, 0, 0)


def test_a_return_may_come_before_its_sale() -> None:
    bench = Bench().feed(a_partner(), a_sale("S0"), a_return(units=1))
    assert (line(bench).content_hash, line(bench).source_offset) == ("", 1)
    assert (line(bench).status, line(bench).reason) == (LineStatus.PENDING, Reason.RETURN_BEFORE_SALE)
    assert (line(bench).quarter, line(bench).units, line(bench).quantity) == ("", 0, 0)
    bench.feed(a_sale(units=3))
    assert (line(bench).units, line(bench).status) == (2, LineStatus.COUNTED)


def test_a_return_of_all_there_is_leaves_nothing_and_is_in_order() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=2), a_return(units=2))
    assert (line(bench).units, line(bench).status, line(bench).returns[0].reason) == (0, LineStatus.RETURNED, None)


def test_a_return_larger_than_the_sale_takes_what_there_is() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=2), a_return(units=5))
    assert (line(bench).units, line(bench).status) == (0, LineStatus.RETURNED)
    assert line(bench).returns[0].reason == Reason.RETURN_EXCEEDS_SALE


@pytest.mark.parametrize(("first", "second"), [(("R2", 3), ("R1", 5)), (("R1", 3), ("R2", 3))])
def test_of_returns_that_exceed_the_sale_the_later_one_does_whatever_came_first(first: Any, second: Any) -> None:
    """The later by its day, and on one day by its id."""
    backs = [a_return(units=2, return_id=name, on=date(2026, 11, day)) for name, day in (first, second)]
    for order in (backs, backs[::-1]):
        bench = Bench().feed(a_partner(), a_sale(units=3), *order)
        assert [(r.return_id, r.reason) for r in line(bench).returns] == [
            (first[0], None),
            (second[0], Reason.RETURN_EXCEEDS_SALE),
        ]


def test_a_return_of_nothing_says_why_it_takes_nothing() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=5), a_return(units=0))
    assert (line(bench).units, line(bench).returns[0].reason) == (5, Reason.QUANTITY_BELOW_ONE)


def test_the_same_return_twice_takes_away_once() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=5), a_return(units=2), a_return(units=2, minute=5))
    assert line(bench).units == 3


@pytest.mark.parametrize("minute", [0, 5])
def test_the_same_return_again_is_nothing_new(minute: int) -> None:
    bench = Bench().feed(a_partner(), a_sale(units=5), a_return(units=2))
    draft = bench.draft()
    draft.sale(a_return(units=2, minute=minute), NOON + timedelta(minutes=minute), 99)
    assert (list(draft.lines), draft.results["duplicate", ""]) == ([], 1)


def test_of_one_return_recorded_twice_the_earlier_record_is_judged_whatever_the_order() -> None:
    back, later = a_return(on=date(2026, 11, 22)), NOON + timedelta(days=5)
    for order in ((NOON, later), (later, NOON)):
        bench = Bench().feed(a_partner(), a_sale(units=5))
        for recorded_at in order:
            bench.feed(back, recorded_at=recorded_at)
        assert line(bench).returns[0].reason == Reason.RETURNED_IN_FUTURE


LAST = datetime(2027, 6, 29, 22, tzinfo=UTC) - timedelta(milliseconds=1)
"""The last moment before the horizon of 2026Q4, which is midnight in Berlin."""


@pytest.mark.parametrize("late", [LAST + timedelta(milliseconds=1), NOON + timedelta(days=300)])
def test_after_the_horizon_nothing_changes_a_sale(late: datetime) -> None:
    bench = Bench().feed(a_partner(), a_sale(units=5), a_sale("S2", partner="P2"))
    before = line(bench), line(bench, "S2", "P2")
    bench.feed(a_return(on=date(2027, 6, 1)), a_sale(units=4, minute=-9), a_partner("P2"), recorded_at=late)
    bench.feed(a_sale(on=date(2027, 5, 1), minute=-10), recorded_at=late)
    assert (line(bench), line(bench, "S2", "P2")) == before


def test_until_the_horizon_everything_changes_a_sale() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=5), a_sale("S2", partner="P2"))
    bench.feed(a_return(on=date(2027, 6, 1)), a_sale(units=4, minute=-9), a_partner("P2"), recorded_at=LAST)
    assert (line(bench).units, line(bench, "S2", "P2").units) == (3, 1)


@pytest.mark.parametrize("late", [LAST + timedelta(milliseconds=1), NOON + timedelta(days=300)])
def test_a_return_recorded_after_the_horizon_and_before_its_sale_takes_nothing(late: datetime) -> None:
    bench = Bench().feed(a_partner(), a_return(on=date(2027, 6, 1)), a_sale(units=5), recorded_at=late)
    assert (line(bench).reason, line(bench).returns[0].reason) == (Reason.OLDER_THAN_HORIZON,) * 2


def test_the_same_sale_id_with_another_partner_is_another_sale() -> None:
    bench = Bench().feed(a_partner("P1"), a_partner("P2"), a_sale(), a_sale(partner="P2"))
    assert line(bench).units == line(bench, partner="P2").units == 1


def test_a_sale_of_the_last_day_belongs_to_its_quarter_whenever_it_arrives() -> None:
    bench = Bench().feed(a_partner(), a_sale(on=date(2026, 9, 30)), recorded_at=datetime(2026, 10, 20, tzinfo=UTC))
    assert line(bench).quarter == "2026Q3"
