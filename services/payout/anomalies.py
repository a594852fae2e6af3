"""What is unusual about a partner's quarter, as two rules that can be explained to him. Pure.

Nobody is accused: somebody looks before the money leaves, since it is hard to fetch back.
"""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from typing import NamedTuple

from schemas.values import Quarter
from streams.rules.terms import Terms

UNUSUAL_UNITS = "unusual-units"
LAST_DAYS = "last-days-reach-tier"
CODES = (UNUSUAL_UNITS, LAST_DAYS)
LAST_DAYS_COUNT = 2
_QUARTERS_MIN = 2
"""Of how many earlier quarters an average means something."""


class Rules(NamedTuple):
    """From when on something is unusual; 0 is never."""

    factor: float
    """So many times a partner's average earlier quarter."""
    last_days_percent: int
    """So many percent of the quarter's units."""


class Seen(NamedTuple):
    """A partner's quarter, as far as the rules look at it."""

    units: int
    last_days: int
    """Units of these that were sold on the quarter's last two days."""
    earlier: tuple[int, ...]
    """Units of each earlier quarter in which he sold any, the oldest first."""

    @property
    def average(self) -> float:
        """Units in an earlier quarter; 0 if there was none."""
        return sum(self.earlier) / len(self.earlier) if self.earlier else 0.0

    @property
    def facts(self) -> str:
        """Hash of all this: what somebody found in order was this, and not what it may become."""
        return hashlib.sha256(repr(tuple(self)).encode()).hexdigest()


def found(rules: Rules, terms: Terms, seen: Seen) -> list[str]:
    """The codes of what is unusual."""
    codes = []
    if rules.factor and len(seen.earlier) >= _QUARTERS_MIN and seen.units > rules.factor * seen.average:
        codes.append(UNUSUAL_UNITS)
    reached = terms.tier_for(seen.units).units > terms.tier_for(seen.units - seen.last_days).units
    if rules.last_days_percent and reached and seen.last_days * 100 >= rules.last_days_percent * seen.units:
        codes.append(LAST_DAYS)
    return codes


def first_of_last_days(quarter: Quarter) -> date:
    """The day on which a quarter's last two days begin."""
    return quarter.last_day - timedelta(days=LAST_DAYS_COUNT - 1)
