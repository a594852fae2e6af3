"""What stands on the programme page: the whole programme in one quarter, ready for the template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from schemas.events import LineStatus
from schemas.values import Quarter
from services.portal.charts import shares
from services.portal.overview import Overview
from services.portal.views import Address, NotHere
from streams.rules.terms import Programme, Terms


@dataclass(frozen=True, slots=True)
class ProgrammePage:
    """All that the programme page shows."""

    programme: Programme
    address: Address
    quarter: Quarter
    quarters: Sequence[Quarter]
    tiers: Sequence[Row[Any]]
    countries: Sequence[Row[Any]]
    verdicts: Sequence[Row[Any]]
    tier_changes: Sequence[Row[Any]]
    closes: Sequence[Row[Any]]
    payouts: Sequence[Row[Any]]
    sale_conflicts: Sequence[Row[Any]]
    serial_conflicts: Sequence[Row[Any]]

    @property
    def terms(self) -> Terms:
        return self.programme.terms_for(self.quarter)

    @property
    def partners(self) -> int:
        return sum(row.partners for row in self.tiers)

    @property
    def selling(self) -> int:
        """Partners with at least one unit."""
        return sum(row.selling for row in self.tiers)

    @property
    def units(self) -> int:
        return sum(row.units for row in self.tiers)

    @property
    def rebate_minor(self) -> int:
        """What the partners have earned so far; paid is only what a final close makes payable."""
        return sum(row.rebate_minor for row in self.tiers)

    @property
    def tier_shares(self) -> list[tuple[float, float]]:
        """Start and width of each tier's partners on a bar."""
        return shares([row.partners for row in self.tiers])

    @property
    def most_units(self) -> int:
        """Units of the strongest country, the measure of the bars."""
        return max((row.units for row in self.countries), default=0) or 1

    @property
    def sales_by_status(self) -> list[tuple[LineStatus, int]]:
        """Number of sales of each status."""
        counted: Counter[str] = Counter()
        for row in self.verdicts:
            counted[row.status] += row.sales
        return [(status, counted[status]) for status in LineStatus if status is not LineStatus.UNKNOWN]

    @property
    def reasons(self) -> list[Row[Any]]:
        """Why sales don't count, the most frequent reason first."""
        return [row for row in self.verdicts if row.reason]


def programme_page(connection: Connection, programme: Programme, address: Address, now: datetime) -> ProgrammePage:
    """Gather the page. Raises NotHere for a quarter without anything in it."""
    current = Quarter.of(now.astimezone(programme.zone).date())
    quarter = address.quarter or current
    overview = Overview(connection, programme.id, quarter)
    known = sorted({*map(Quarter.parse, overview.quarters()), current}, reverse=True)
    if quarter not in known:
        raise NotHere
    return ProgrammePage(
        programme=programme,
        address=address,
        quarter=quarter,
        quarters=known,
        tiers=overview.by_tier(),
        countries=overview.by_country(),
        verdicts=overview.by_verdict(),
        tier_changes=overview.latest_tier_changes(),
        closes=overview.closes(),
        payouts=overview.payouts(),
        sale_conflicts=overview.sale_conflicts(),
        serial_conflicts=overview.serial_conflicts(),
    )
