"""What a quarter will probably come to, from its pace so far."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.values import Quarter
from streams.rules.accrual import days_of, elapsed_days, outlook
from tests.rules.facts import programme
from tests.rules.recount import rebate_cents

TERMS = programme().terms[0]
QUARTER = Quarter(2026, 4)
FIRST = QUARTER.first_day
days = st.integers(0, 91).map(lambda number: FIRST + timedelta(days=number))
pace = st.dictionaries(days, st.integers(1, 40), max_size=20)


def test_an_even_pace_goes_on_and_leaves_no_range() -> None:
    today = FIRST + timedelta(days=45)  # the 46th of 92 days
    found = outlook({FIRST + timedelta(days=n): 1 for n in range(46)}, TERMS, QUARTER, today)
    assert (found.units, found.rebate_minor) == (46, 46_000)
    assert (found.low_units, found.expected_units, found.high_units) == (92, 92, 92)
    assert (found.expected_tier, found.expected_minor) == (50, 138_000)
    assert found.accrued_minor == 46 * 1500, "the units so far cost the rate that is expected"


def test_one_big_sale_says_little_about_the_rest() -> None:
    found = outlook({FIRST: 46}, TERMS, QUARTER, FIRST + timedelta(days=45))
    assert (found.low_units, found.expected_units, found.high_units) == (46, 92, 138)


def test_the_range_is_one_standard_error_rounded_away_from_what_is_expected() -> None:
    # Three days with 1, 2 and 0 units: mean 1, standard deviation 1; 89 days are left.
    found = outlook({FIRST: 1, FIRST + timedelta(days=1): 2}, TERMS, QUARTER, FIRST + timedelta(days=2))
    assert (found.low_units, found.expected_units, found.high_units) == (3 + 37, 92, 3 + 141)
    # Two days with 2 and 6: mean 4, standard deviation √8, so 2 of error; and two with nothing between.
    found = outlook({FIRST: 2, FIRST + timedelta(days=1): 6}, TERMS, QUARTER, FIRST + timedelta(days=1))
    assert (found.low_units, found.expected_units, found.high_units) == (8 + 180, 8 + 360, 8 + 540)
    found = outlook({FIRST: 4, FIRST + timedelta(days=3): 4}, TERMS, QUARTER, FIRST + timedelta(days=3))
    assert (found.expected_units, found.high_units) == (8 + 176, 8 + 278)


def test_what_is_dated_tomorrow_counts_as_todays() -> None:
    today, tomorrow = FIRST + timedelta(days=1), FIRST + timedelta(days=2)
    dated = outlook({FIRST: 1, today: 1, tomorrow: 2}, TERMS, QUARTER, today)
    assert dated == outlook({FIRST: 1, today: 3}, TERMS, QUARTER, today)


def test_on_the_first_day_anything_from_nothing_to_twice_as_much_may_come() -> None:
    found = outlook({FIRST: 2}, TERMS, QUARTER, FIRST)
    assert (found.low_units, found.expected_units, found.high_units) == (2, 184, 366)


def test_when_the_quarter_is_over_nothing_is_left_to_expect() -> None:
    found = outlook({FIRST: 12}, TERMS, QUARTER, date(2027, 2, 1))
    assert {found.low_units, found.expected_units, found.high_units} == {12}
    assert found.rebate_minor == found.expected_minor == found.accrued_minor == 6_000


def test_who_has_sold_nothing_is_expected_to_sell_nothing() -> None:
    assert set(outlook({}, TERMS, QUARTER, date(2026, 11, 1))) == {0}


@pytest.mark.parametrize(
    ("day", "elapsed"),
    [(date(2026, 9, 30), 0), (FIRST, 1), (date(2026, 12, 31), 92), (date(2027, 1, 1), 92)],
)
def test_days_are_counted_with_today_and_not_beyond_the_end(day: date, elapsed: int) -> None:
    assert elapsed_days(QUARTER, day) == elapsed
    assert days_of(QUARTER) == 92


@given(pace, days)
def test_the_range_holds_what_is_expected_and_never_less_than_there_is(by_day: dict[date, int], today: date) -> None:
    found = outlook(by_day, TERMS, QUARTER, today)
    assert found.units == sum(by_day.values())
    assert found.units <= found.low_units <= found.expected_units <= found.high_units
    assert found.rebate_minor <= found.low_minor <= found.expected_minor <= found.high_minor
    assert found.expected_minor == rebate_cents(found.expected_units)
    assert found.rebate_minor <= found.accrued_minor <= found.expected_minor
