"""What stands on a partner's page: the facts of one quarter, ready for the template. The words are the voice's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row

from schemas.events import CloseKind, PayoutStatus, Phase
from schemas.values import Quarter
from services.kit.statements import Card
from services.portal.charts import Chart, Step, quarter_chart, staircase
from services.portal.projection import Projection, project
from services.portal.queries import PartnerRows, standing_of
from services.portal.todo import Todo, todos
from streams.rules.terms import NextTier, Programme, QuarterDates, Terms

_LATEST = 5
"""How many of his sales a partner's first page shows."""


class NotHere(Exception):
    """There is no such page for this visitor."""


def read_quarter(parameters: Mapping[str, str]) -> Quarter | None:
    """The quarter that an address asks for. Raises NotHere for what is none."""
    try:
        return Quarter.parse(parameters["quarter"]) if parameters.get("quarter") else None
    except ValueError:
        raise NotHere from None


@dataclass(frozen=True, slots=True)
class PartnerPage:
    """All that a partner's page shows."""

    programme: Programme
    partner_id: str
    partner: Row[Any] | None
    quarter: Quarter
    quarters: Sequence[Quarter]
    standing: Mapping[str, Any]
    as_of: datetime | None
    today: date
    sales_by_status: Mapping[str, int]
    latest: Sequence[Row[Any]]
    """His newest sales of the quarter."""
    days: Sequence[tuple[date, int]]
    weekly_mail: bool
    closes: Sequence[Row[Any]]
    payouts: Sequence[Row[Any]]
    todos: Sequence[Todo]
    """What is left for him to do, whatever the quarter."""

    @property
    def terms(self) -> Terms:
        return self.programme.terms_for(self.quarter)

    @property
    def dates(self) -> QuarterDates:
        return self.programme.dates(self.quarter)

    @property
    def final_on(self) -> date:
        return self.dates.final_at.astimezone(self.programme.zone).date()

    @property
    def next_tier(self) -> NextTier | None:
        return self.terms.next_tier(self.standing["units"])

    @property
    def rebate_at_next_minor(self) -> int:
        """The rebate with the next tier reached exactly."""
        above = self.next_tier
        return self.terms.rebate_minor(above.threshold) if above else 0

    @property
    def days_left(self) -> int:
        """Days of an open quarter, today included."""
        return max(0, (self.quarter.last_day - self.today).days + 1)

    @property
    def stairs(self) -> list[Step]:
        return staircase(self.terms.tiers, self.standing["units"])

    @property
    def charts(self) -> list[Chart]:
        """The chart for a wide window and for a narrow one."""
        return [
            quarter_chart(self.quarter, self.days, self.today, self.terms.tiers, *size)
            for size in ((760, 300), (330, 260))
        ]

    @property
    def cumulated(self) -> list[tuple[date, int, int]]:
        """Each day with sales: its units, and those of the quarter up to it."""
        rows, reached = [], 0
        for day, units in self.days:
            reached += units
            rows.append((day, units, reached))
        return rows

    @property
    def reported(self) -> int:
        """Number of sales of the quarter, whatever became of them."""
        return sum(self.sales_by_status.values())

    @property
    def projection(self) -> Projection | None:
        """Where an open quarter may end."""
        if not self.is_open:
            return None
        return project(self.quarter, self.days, self.standing["sales"]["counted"], self.today, self.terms)

    @property
    def provisional_close(self) -> Row[Any] | None:
        return next((close for close in self.closes if close.kind == CloseKind.PROVISIONAL), None)

    @property
    def settled_close(self) -> Row[Any] | None:
        """The latest close that counts: the final one or the last adjustment."""
        return next((close for close in reversed(self.closes) if close.kind != CloseKind.PROVISIONAL), None)

    @property
    def is_open(self) -> bool:
        return bool(self.standing["phase"] == Phase.OPEN)

    @property
    def is_final(self) -> bool:
        return bool(self.standing["phase"] == Phase.FINAL)

    @property
    def paid_minor(self) -> int:
        """Money that is on its way to his account, or there."""
        moved = (PayoutStatus.IN_PAYMENT, PayoutStatus.PAID)
        return sum(payout.amount_minor for payout in self.payouts if payout.status in moved)

    @property
    def set_off_minor(self) -> int:
        """Money of this quarter that was paid and taken back since, and is still to be set off."""
        taken_back = (payout.amount_minor for payout in self.payouts if payout.status == PayoutStatus.PAYABLE)
        return sum(-int(amount) for amount in taken_back if amount < 0)

    def product_name(self, product_id: str) -> str:
        product = self.programme.product(product_id)
        return product.name if product else ""


def partner_page(
    rows: PartnerRows,
    programme: Programme,
    partner_id: str,
    quarter: Quarter | None,
    now: datetime,
    statements: Sequence[Card] = (),
) -> PartnerPage:
    """Gather a partner's page. Raises NotHere for a quarter that he has nothing in."""
    quarter, known = choose_quarter(rows, programme, quarter, now)
    tally = rows.tally(quarter)
    payouts = rows.payouts()
    today = now.astimezone(programme.zone).date()
    return PartnerPage(
        programme=programme,
        partner_id=partner_id,
        partner=rows.partner(),
        quarter=quarter,
        quarters=known,
        standing=standing_of(tally, programme, partner_id, quarter, now),
        as_of=tally.as_of if tally else None,
        today=today,
        sales_by_status=rows.sales_by_status(quarter),
        latest=rows.latest_sales(quarter, _LATEST),
        days=rows.units_by_day(quarter),
        closes=rows.closes(quarter),
        payouts=[payout for payout in payouts if payout.quarter == str(quarter)],
        todos=todos(payouts, rows.questions(), statements, today),
        weekly_mail=rows.weekly_mail(),
    )


def choose_quarter(
    rows: PartnerRows, programme: Programme, wanted: Quarter | None, now: datetime
) -> tuple[Quarter, list[Quarter]]:
    """The quarter that is wanted, by default the current one, and all that a partner has something in, latest first.

    Raises NotHere if it is none of these.
    """
    current = Quarter.of(now.astimezone(programme.zone).date())
    known = sorted({*map(Quarter.parse, rows.quarters()), current}, reverse=True)
    quarter = wanted or current
    if quarter not in known:
        raise NotHere
    return quarter, known


def anchor(sale_id: str) -> str:
    """An id for a sale's place on the page, whatever characters its own holds."""
    return "sale-" + hashlib.blake2b(sale_id.encode(), digest_size=6).hexdigest()
