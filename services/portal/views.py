"""What stands on a partner's page: the facts of one quarter, ready for the template. The words are the voice's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Row

from schemas.events import CloseKind, LineStatus, PayoutStatus, Phase
from schemas.values import Quarter
from services.kit.statements import Card
from services.portal.charts import Chart, Step, quarter_chart, staircase
from services.portal.queries import PartnerRows, SalesFilter, SalesPage, standing_of
from streams.rules.terms import NextTier, Programme, QuarterDates, Terms

_SEARCH_LENGTH_MAX = 100
_NOT_ACCEPTED = "bank-details-invalid"
_SHOWN = (LineStatus.COUNTED, LineStatus.PENDING, LineStatus.REJECTED, LineStatus.RETURNED)


class NotHere(Exception):
    """There is no such page for this visitor."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a page's address asks for."""

    quarter: Quarter | None = None
    wanted: SalesFilter = SalesFilter()

    def url(self, path: str = "/", **changes: object) -> str:
        """The address with something changed; whoever changes the filter begins at its first page again."""
        facts: dict[str, object] = {
            "quarter": self.quarter,
            "status": self.wanted.status,
            "q": self.wanted.search,
            **changes,
        }
        return path + "?" + urlencode({name: str(value) for name, value in facts.items() if value})


def read_address(parameters: Mapping[str, str]) -> Address:
    """Read the query of an address. Raises NotHere for what no page of ours links to."""
    try:
        quarter = Quarter.parse(parameters["quarter"]) if parameters.get("quarter") else None
        status = LineStatus(parameters["status"]) if parameters.get("status") else None
        page = int(parameters.get("page") or 1)
    except ValueError:
        raise NotHere from None
    if status not in (None, *_SHOWN) or not 0 < page < 10**9:
        raise NotHere
    search = parameters.get("q", "").replace("\0", "").strip()[:_SEARCH_LENGTH_MAX]
    return Address(quarter, SalesFilter(status, search, page))


@dataclass(frozen=True, slots=True)
class PartnerPage:
    """All that a partner's page shows."""

    programme: Programme
    partner_id: str
    partner: Row[Any] | None
    address: Address
    quarter: Quarter
    quarters: Sequence[Quarter]
    standing: Mapping[str, Any]
    as_of: datetime | None
    today: date
    sales_by_status: Mapping[str, int]
    sales: SalesPage
    days: Sequence[tuple[date, int]]
    weekly_mail: bool
    closes: Sequence[Row[Any]]
    payouts: Sequence[Row[Any]]
    statements: Sequence[Card]
    """Those that mention the quarter, the latest first."""

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
    def statuses(self) -> Sequence[LineStatus]:
        return _SHOWN

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
    def waiting_minor(self) -> int:
        """Money that only the partner's bank details are missing for, or other ones than a bank took."""
        return sum(payout.amount_minor for payout in self.payouts if payout.status == PayoutStatus.WAITING)

    @property
    def needs_other_account(self) -> bool:
        """Whether there are bank details, but a bank did not accept them."""
        return any(payout.status == PayoutStatus.WAITING and payout.reason == _NOT_ACCEPTED for payout in self.payouts)

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
    address: Address,
    now: datetime,
    statements: Sequence[Card] = (),
) -> PartnerPage:
    """Gather a partner's page. Raises NotHere for a quarter that he has nothing in."""
    quarter, known = choose_quarter(rows, programme, address, now)
    tally = rows.tally(quarter)
    return PartnerPage(
        programme=programme,
        partner_id=partner_id,
        partner=rows.partner(),
        address=address,
        quarter=quarter,
        quarters=known,
        standing=standing_of(tally, programme, partner_id, quarter, now),
        as_of=tally.as_of if tally else None,
        today=now.astimezone(programme.zone).date(),
        sales_by_status=rows.sales_by_status(quarter),
        sales=rows.sales(quarter, address.wanted),
        days=rows.units_by_day(quarter),
        closes=rows.closes(quarter),
        payouts=rows.payouts(quarter),
        statements=[card for card in statements if str(quarter) in card.quarters],
        weekly_mail=rows.weekly_mail(),
    )


def choose_quarter(
    rows: PartnerRows, programme: Programme, address: Address, now: datetime
) -> tuple[Quarter, list[Quarter]]:
    """The quarter that an address asks for, and all that a partner has something in, latest first.

    Raises NotHere if it is none of these.
    """
    current = Quarter.of(now.astimezone(programme.zone).date())
    known = sorted({*map(Quarter.parse, rows.quarters()), current}, reverse=True)
    quarter = address.quarter or current
    if quarter not in known:
        raise NotHere
    return quarter, known


def anchor(sale_id: str) -> str:
    """An id for a sale's place on the page, whatever characters its own holds."""
    return "sale-" + hashlib.blake2b(sale_id.encode(), digest_size=6).hexdigest()
