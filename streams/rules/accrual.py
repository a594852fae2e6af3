"""What a quarter will probably cost, while it still runs. For the vendor's books, never for a payment. Pure.

*Method.* The pace so far goes on: units at the quarter's end = units so far ÷ days elapsed × days of the quarter, every
calendar day a selling day. The range is that of one standard error of the daily pace: with d days elapsed, their mean m
and standard deviation s, the days that are left bring between (m − s/√d) and (m + s/√d) units each, never below zero;
on the first day between 0 and 2m. At the end of the quarter nothing is left to expect, and all three are the units so
far.

*Accrued* is what the units so far will have cost at the rate that the expected units reach. An all-units rebate makes
it jump with the tier expected, not with the one reached: 40 units on the way to 80 already cost 15 EUR each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple

from schemas.values import Quarter
from streams.rules.terms import Terms


class Outlook(NamedTuple):
    """Units and rebate of one partner's quarter: now, and at its end."""

    units: int
    rebate_minor: int
    expected_units: int
    low_units: int
    high_units: int
    expected_tier: int
    expected_minor: int
    low_minor: int
    high_minor: int
    accrued_minor: int
    """What the units so far cost at the rate expected: what belongs into the books today."""


def elapsed_days(quarter: Quarter, today: date) -> int:
    """How many days of a quarter have begun, today included."""
    return min(max((today - quarter.first_day).days + 1, 0), days_of(quarter))


def days_of(quarter: Quarter) -> int:
    """How many days a quarter has."""
    return (quarter.last_day - quarter.first_day).days + 1


def outlook(by_day: Mapping[date, int], terms: Terms, quarter: Quarter, today: date) -> Outlook:
    """A partner's outlook from his counted units by day of sale.

    Sales dated later than today (it is tomorrow elsewhere) count as today's.
    """
    units, elapsed = sum(by_day.values()), max(elapsed_days(quarter, today), 1)
    left = days_of(quarter) - elapsed
    pace = units / elapsed
    error = _error(by_day, quarter, elapsed, pace)
    expected = units + _rounded(left * pace)
    low = units + math.floor(left * max(0.0, pace - error))
    high = units + math.ceil(left * (pace + error))
    tier = terms.tier_for(expected)
    return Outlook(
        units=units,
        rebate_minor=terms.rebate_minor(units),
        expected_units=expected,
        low_units=low,
        high_units=high,
        expected_tier=tier.units,
        expected_minor=terms.rebate_minor(expected),
        low_minor=terms.rebate_minor(low),
        high_minor=terms.rebate_minor(high),
        accrued_minor=units * tier.rate_minor,
    )


def _error(by_day: Mapping[date, int], quarter: Quarter, elapsed: int, pace: float) -> float:
    """One standard error of the daily pace."""
    if elapsed < 2:
        return pace
    today = quarter.first_day + timedelta(days=elapsed - 1)
    daily: dict[date, int] = {}
    for day, units in by_day.items():
        daily[min(day, today)] = daily.get(min(day, today), 0) + units
    squares = sum((units - pace) ** 2 for units in daily.values()) + (elapsed - len(daily)) * pace**2
    return math.sqrt(squares / (elapsed - 1) / elapsed)


def _rounded(units: float) -> int:
    return math.floor(units + 0.5)
