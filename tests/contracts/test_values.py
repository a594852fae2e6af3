"""Quarters, weeks and ids: what they are, how they are written, and what is none."""

from __future__ import annotations

from datetime import date

import pytest

from schemas.values import PARTNER_ID, Quarter, iso_week


@pytest.mark.parametrize(
    ("day", "name", "first", "last"),
    [
        (date(2026, 1, 1), "2026Q1", date(2026, 1, 1), date(2026, 3, 31)),
        (date(2026, 3, 31), "2026Q1", date(2026, 1, 1), date(2026, 3, 31)),
        (date(2026, 4, 1), "2026Q2", date(2026, 4, 1), date(2026, 6, 30)),
        (date(2028, 9, 30), "2028Q3", date(2028, 7, 1), date(2028, 9, 30)),
        (date(2026, 12, 31), "2026Q4", date(2026, 10, 1), date(2026, 12, 31)),
        (date(27, 5, 5), "0027Q2", date(27, 4, 1), date(27, 6, 30)),
    ],
)
def test_a_day_lies_in_one_quarter(day: date, name: str, first: date, last: date) -> None:
    quarter = Quarter.of(day)
    assert (str(quarter), quarter.first_day, quarter.last_day) == (name, first, last)
    assert Quarter.parse(name) == quarter


def test_quarters_follow_each_other() -> None:
    assert Quarter(2026, 3).next == Quarter(2026, 4) < Quarter(2026, 4).next == Quarter(2027, 1)


@pytest.mark.parametrize(("year", "number"), [(1, 1), (9998, 4)])
def test_the_first_and_the_last_quarter(year: int, number: int) -> None:
    assert Quarter(year, number).first_day.year == year


@pytest.mark.parametrize(("year", "number"), [(2026, 0), (2026, 5), (0, 1), (9999, 1), (0, 5)])
def test_there_are_no_other_quarters(year: int, number: int) -> None:
    with pytest.raises(ValueError, match="no such quarter"):
        Quarter(year, number)


@pytest.mark.parametrize("text", ["", "2026", "2026Q0", "2026Q5", "2026q4", "2026Q4 ", "x2026Q4", "26Q4", "0000Q1"])
def test_what_is_no_quarter_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quarter"):
        Quarter.parse(text)


def test_a_week_is_that_of_the_calendar_with_the_year_it_belongs_to() -> None:
    assert iso_week(date(2026, 11, 23)) == "2026-W48"
    assert iso_week(date(2027, 1, 3)) == "2026-W53"
    assert iso_week(date(2026, 1, 1)) == "2026-W01"
    assert iso_week(date(27, 1, 7)) == "0027-W01"


@pytest.mark.parametrize("good", ["P", "9", "a.b_c-D", "x" * 64])
def test_a_partner_id(good: str) -> None:
    assert PARTNER_ID.fullmatch(good)


@pytest.mark.parametrize("bad", ["", "x" * 65, "-P", ".P", "a/b", "a b", "a\n", "ä"])
def test_no_partner_id(bad: str) -> None:
    assert not PARTNER_ID.fullmatch(bad)
