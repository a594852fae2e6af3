"""What the programme page shows that every sale must be looked at for: by product, by week, by verdict, and conflicts.

With a million sales that takes seconds, so the figures are kept, and made again only when they are older than a
multiple of the time that they took. With few sales they are as good as fresh.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Engine, Row

from deploy.runtime.clock import Clock
from schemas.values import Quarter
from services.portal.overview import Overview
from services.portal.queries import snapshot
from streams.rules.terms import Programme, Terms

_WORTH = 20
"""Figures are kept for so many times as long as they took to make: a twentieth of the time is spent on them."""


class Share(NamedTuple):
    """A product's or a week's part of the quarter."""

    key: str | date
    units: int
    rebate_minor: int
    """At the rate that each partner has reached now."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The figures of one quarter, and when they were made."""

    made_at: datetime
    products: Sequence[Share]
    """The one with most units first."""
    weeks: Sequence[Share]
    """By the Monday that each begins with, in order; also those without a sale in between."""
    verdicts: Sequence[Row[Any]]
    sale_conflicts: Sequence[Row[Any]]
    serial_conflicts: Sequence[Row[Any]]


class Breakdowns:
    """Makes and keeps them. Blocks: call it from a thread; who comes while they are being made waits for them."""

    def __init__(
        self, engine: Engine, programme: Programme, clock: Clock, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine, self._programme, self._clock, self._seconds = engine, programme, clock, seconds
        self._kept: dict[Quarter, tuple[float, Breakdown]] = {}
        self._making = threading.Lock()

    def of(self, quarter: Quarter) -> Breakdown:
        """The figures of a quarter that has any."""
        with self._making:
            until, found = self._kept.get(quarter, (0.0, None))
            began = self._seconds()
            if found is None or began >= until:
                found = self._make(quarter)
                took = self._seconds() - began
                self._kept[quarter] = (self._seconds() + _WORTH * took, found)
            return found

    def _make(self, quarter: Quarter) -> Breakdown:
        with snapshot(self._engine) as connection:
            overview = Overview(connection, self._programme.id, quarter)
            cells = overview.units_by_product_day_and_tier()
            terms = self._programme.terms_for(quarter)
            return Breakdown(
                made_at=self._clock.now(),
                products=_products(cells, terms),
                weeks=_weeks(cells, terms),
                verdicts=overview.by_verdict(),
                sale_conflicts=overview.sale_conflicts(),
                serial_conflicts=overview.serial_conflicts(),
            )


def _products(cells: Sequence[Row[Any]], terms: Terms) -> list[Share]:
    found = _summed(cells, terms, lambda cell: cell.product_id)
    return sorted(found.values(), key=lambda share: (-share.units, str(share.key)))


def _weeks(cells: Sequence[Row[Any]], terms: Terms) -> list[Share]:
    found = _summed(cells, terms, lambda cell: cell.listed_on - timedelta(days=cell.listed_on.weekday()))
    if not found:
        return []
    first, last = min(found), max(found)
    mondays = [first + timedelta(weeks=n) for n in range((last - first).days // 7 + 1)]
    return [found.get(monday, Share(monday, 0, 0)) for monday in mondays]


def _summed(cells: Sequence[Row[Any]], terms: Terms, key: Callable[[Row[Any]], Any]) -> dict[Any, Share]:
    sums: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for cell in cells:
        units = int(cell.units)
        sums[key(cell)][0] += units
        sums[key(cell)][1] += units * terms.tier_for(cell.tier).rate_minor
    return {name: Share(name, units, rebate_minor) for name, (units, rebate_minor) in sums.items()}
