"""Where a quarter may end if a partner goes on as he began. Pure; an estimate, and never more than that.

What he sold on each selling day so far (Monday to Friday; a weekend's sales belong to the Friday before) is taken as a
sample of the days that are left. Their sum has the sample's mean, and a spread from two sources: days differ from each
other, and so few of them say only roughly what the mean is. The range is meant to hold four times out of five.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from math import ceil, floor, sqrt
from typing import NamedTuple

from schemas.values import Quarter
from streams.rules.terms import Terms, Tier

_DAYS_MIN = 10
"""Days of the quarter that must have passed; before, a single sale would decide."""
_SALES_MIN = 3
_WIDTH = 1.4
"""Standard deviations on either side: 1.28 for four in five, and some for how few and how uneven the days are."""
_WEEKEND = 5


class Outcome(NamedTuple):
    """What a number of units would bring."""

    units: int
    tier: Tier
    rebate_minor: int


class Projection(NamedTuple):
    """The lower and the upper end of what to expect at the quarter's end."""

    low: Outcome
    high: Outcome


def project(
    quarter: Quarter, days: Sequence[tuple[date, int]], sales: int, today: date, terms: Terms
) -> Projection | None:
    """Project a quarter from its units by day. None if it has ended, or if there is too little to go by."""
    passed = (today - quarter.first_day).days
    if passed < _DAYS_MIN or today > quarter.last_day or sales < _SALES_MIN:
        return None
    sample = _by_selling_day(quarter, days, today)
    left = sum(_sells(today + timedelta(days=ahead)) for ahead in range((quarter.last_day - today).days + 1))
    sold, number = sum(sample), len(sample)
    mean = sold / number
    variance = max(sum((units - mean) ** 2 for units in sample) / (number - 1), mean)
    spread = _WIDTH * sqrt(left * variance * (1 + left / number))
    now = sum(units for _, units in days)
    low = max(now, floor(sold + left * mean - spread))
    high = max(low, ceil(sold + left * mean + spread))
    return Projection(_outcome(low, terms), _outcome(high, terms))


def _by_selling_day(quarter: Quarter, days: Sequence[tuple[date, int]], today: date) -> list[int]:
    """Units of each selling day that is over, those without a sale included."""
    first = quarter.first_day
    whole = {first + timedelta(days=n): 0 for n in range((today - first).days) if _sells(first + timedelta(days=n))}
    for day, units in days:
        if day < today:
            friday = day - timedelta(days=max(0, day.weekday() - _WEEKEND + 1))
            whole[friday if friday in whole else min(whole)] += units
    return list(whole.values())


def _sells(day: date) -> bool:
    return day.weekday() < _WEEKEND


def _outcome(units: int, terms: Terms) -> Outcome:
    return Outcome(units, terms.tier_for(units), terms.rebate_minor(units))
