"""The estimate of a quarter: when there is one, and that it promises no more than it keeps."""

from __future__ import annotations

import math
import random
from datetime import date, timedelta

import pytest

from schemas.values import Quarter
from services.portal.projection import project
from streams.rules.terms import Programme
from tests.portal.conftest import Site
from tests.portal.feeding import a_line, a_tally, feed
from tests.portal.test_pages import words

Q4 = Quarter(2026, 4)
FIRST = Q4.first_day
DAYS = [FIRST + timedelta(n) for n in range(92)]


@pytest.mark.parametrize(
    ("today", "sales", "expected"),
    [
        (FIRST + timedelta(9), 3, False),
        (FIRST + timedelta(10), 3, True),
        (FIRST + timedelta(10), 2, False),
        (Q4.last_day, 3, True),
        (Q4.next.first_day, 3, False),
    ],
)
def test_there_is_none_before_there_is_something_to_go_by(
    programme: Programme, today: date, sales: int, expected: bool
) -> None:
    found = project(Q4, [(FIRST, 3)], sales, today, programme.terms[0])
    assert (found is not None) == expected


def test_who_sells_the_same_each_selling_day_is_expected_to_go_on(programme: Programme) -> None:
    sold = [(day, 2) for day in DAYS[:40] if day.weekday() < 5]
    found = project(Q4, sold, len(sold), DAYS[40], programme.terms[0])
    assert found is not None
    whole = 2 * sum(day.weekday() < 5 for day in DAYS)
    assert found.low.units < whole < found.high.units
    assert (found.low.tier.units, found.high.rebate_minor) == (50, found.high.units * 1500)


def test_a_weekend_belongs_to_its_friday_and_the_first_one_to_its_monday(programme: Programme) -> None:
    quarter = Quarter(2027, 1)  # begins on a Friday
    weekday = [(date(2027, 1, 8), 9), (date(2027, 1, 15), 6)]
    weekend = [(date(2027, 1, 8), 4), (date(2027, 1, 10), 5), (date(2027, 1, 16), 6)]
    assert project(quarter, weekday, 9, date(2027, 1, 20), programme.terms[0]) == project(
        quarter, weekend, 9, date(2027, 1, 20), programme.terms[0]
    )
    assert project(Quarter(2028, 1), [(date(2028, 1, 1), 9)], 9, date(2028, 1, 20), programme.terms[0])


def test_what_is_sold_already_is_not_doubted(programme: Programme) -> None:
    sold = [(FIRST, 1), (DAYS[-1], 500)]
    found = project(Q4, sold, 3, DAYS[-1], programme.terms[0])
    assert found is not None
    assert found.low.units >= 501


@pytest.mark.parametrize(("rate", "size"), [(0.3, 6), (1.0, 1), (1.0, 6), (5.0, 3)])
@pytest.mark.parametrize("at", [14, 30, 60, 80])
def test_four_quarters_out_of_five_end_within_the_range(programme: Programme, rate: float, size: int, at: int) -> None:
    chance, kept, made = random.Random(f"{rate}/{size}/{at}"), 0, 0
    for _ in range(300):
        sales = {
            day: [chance.randint(1, size) for _ in range(poisson(chance, rate))] for day in DAYS if day.weekday() < 5
        }
        seen = [(day, sum(units)) for day, units in sales.items() if units and day < DAYS[at]]
        number = sum(len(units) for day, units in sales.items() if day < DAYS[at])
        found = project(Q4, seen, number, DAYS[at], programme.terms[0])
        if found is not None:
            made += 1
            kept += found.low.units <= sum(map(sum, sales.values())) <= found.high.units
    assert 0.78 <= kept / made <= 0.97


def poisson(chance: random.Random, mean: float) -> int:
    number, product = 0, chance.random()
    while product > math.exp(-mean):
        number, product = number + 1, product * chance.random()
    return number


def test_the_page_says_that_it_is_an_estimate_and_how_it_was_made(site: Site) -> None:
    assert "Estimate" not in words(site.signed_in("P1").get("/").text)
    feed(site.engine, a_line("P1", "S-5", 1), a_tally(site.programme, "P1", 49, counted=3, rejected=1))
    said = words(site.signed_in("P1").get("/").text)
    assert "Estimate for 31 December 2026" in said
    assert "four times out of five the quarter should end within this range" in said
    assert "Estimate" not in words(site.signed_in("P2").get("/").text)
