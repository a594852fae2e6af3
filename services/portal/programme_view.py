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
from services.portal.breakdown import Breakdown, Breakdowns
from services.portal.charts import Column, columns, shares
from services.portal.directory import Directory, PartnersFilter, Standing
from services.portal.exports import Cell, major
from services.portal.overview import SHOWN_MAX, Overview
from services.portal.views import NotHere
from services.portal.voice import Voice
from streams.rules.terms import Programme, Terms

_WEEKS = 14
"""So many weeks a quarter touches."""


@dataclass(frozen=True, slots=True)
class ProgrammePage:
    """All that the programme page shows."""

    programme: Programme
    quarter: Quarter
    quarters: Sequence[Quarter]
    tiers: Sequence[Row[Any]]
    countries: Sequence[Row[Any]]
    tier_changes: Sequence[Row[Any]]
    closes: Sequence[Row[Any]]
    payouts: Sequence[Row[Any]]
    near: Sequence[Standing]
    """Partners whom few units part from the next tier, the fewest first."""
    near_in_all: int
    breakdown: Breakdown

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
    def payable_minor(self) -> int:
        """What closes have made payable of it."""
        return sum(int(row.payable_minor) for row in self.tiers)

    @property
    def open_minor(self) -> int:
        """What is earned and no close has made payable yet: finance accrues it."""
        return int(self.rebate_minor) - self.payable_minor

    @property
    def tier_shares(self) -> list[tuple[float, float]]:
        """Start and width of each tier's partners on a bar."""
        return shares([row.partners for row in self.tiers])

    @property
    def most_units(self) -> int:
        """Units of the strongest country, the measure of the bars."""
        return max((row.units for row in self.countries), default=0) or 1

    @property
    def most_of_a_product(self) -> int:
        """The same for products."""
        return max((share.units for share in self.breakdown.products), default=0) or 1

    @property
    def columns(self) -> list[Column]:
        """The chart of the weeks, with room for those to come."""
        units = [max(0, share.units) for share in self.breakdown.weeks]
        return columns(units + [0] * (_WEEKS - len(units)))

    def product_name(self, product_id: str) -> str:
        product = self.programme.product(product_id)
        return product.name if product else ""

    @property
    def sales_by_status(self) -> list[tuple[LineStatus, int]]:
        """Number of sales of each status."""
        counted: Counter[str] = Counter()
        for row in self.breakdown.verdicts:
            counted[row.status] += row.sales
        return [(status, counted[status]) for status in LineStatus if status is not LineStatus.UNKNOWN]

    @property
    def reasons(self) -> list[Row[Any]]:
        """Why sales don't count, the most frequent reason first."""
        return [row for row in self.breakdown.verdicts if row.reason]


def programme_page(
    connection: Connection,
    breakdowns: Breakdowns,
    programme: Programme,
    wanted: Quarter | None,
    now: datetime,
    near_units: int,
) -> ProgrammePage:
    """Gather the page. Raises NotHere for a quarter without anything in it."""
    quarter, known = programme_quarter(connection, programme, wanted, now)
    overview = Overview(connection, programme.id, quarter)
    near = Directory(connection, programme, quarter).page(PartnersFilter(near_units=near_units))
    return ProgrammePage(
        programme=programme,
        quarter=quarter,
        quarters=known,
        tiers=overview.by_tier(),
        countries=overview.by_country(),
        tier_changes=overview.latest_tier_changes(),
        closes=overview.closes(),
        payouts=overview.payouts(),
        near=near.standings[:SHOWN_MAX],
        near_in_all=near.total,
        breakdown=breakdowns.of(quarter),
    )


def programme_quarter(
    connection: Connection, programme: Programme, wanted: Quarter | None, now: datetime
) -> tuple[Quarter, list[Quarter]]:
    """The quarter that is wanted, by default the current one, and all that have anything in them, latest first.

    Raises NotHere if it is none of these.
    """
    current = Quarter.of(now.astimezone(programme.zone).date())
    quarter = wanted or current
    known = sorted({*map(Quarter.parse, Overview(connection, programme.id, quarter).quarters()), current}, reverse=True)
    if quarter not in known:
        raise NotHere
    return quarter, known


def table_of(page: ProgrammePage, name: str, voice: Voice) -> tuple[list[str], list[list[Cell]]]:
    """One of the page's tables as a file: its header and rows. Raises NotHere if there is none of this name."""
    amounts = [voice.say("Units"), voice.say("Rebate")]
    match name:
        case "countries":
            header = [voice.say("Country"), voice.say("Partners")]
            rows = [[row.country, row.partners, *_sums(row, page)] for row in page.countries]
        case "tiers":
            header = [voice.say("Tier"), voice.say("Partners")]
            rows = [[row.tier, row.partners, *_sums(row, page)] for row in page.tiers]
        case "products":
            header = [voice.say("Product number"), voice.say("Product")]
            rows = [[s.key, page.product_name(str(s.key)), *_sums(s, page)] for s in page.breakdown.products]
        case "weeks":
            header = [voice.say("Week from")]
            rows = [[s.key, *_sums(s, page)] for s in page.breakdown.weeks]
        case _:
            raise NotHere
    return header + amounts, rows


def _sums(row: Any, page: ProgrammePage) -> list[Cell]:
    return [int(row.units), major(int(row.rebate_minor), page.terms.currency)]
