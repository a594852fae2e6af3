"""An independent recount of a scenario, on one page: terms as literals, no code shared with the stream or a service.

It reads what was sent, once, at the end, and knows nothing of batches, phases or tallies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from deploy.demo.scenario import Moment
from schemas.events import Partner, SaleReported, SaleReturned

TIERS = ((50, 1500), (25, 1000), (10, 500), (0, 0))
PRODUCTS = {"TS-100", "TS-200", "TS-300", "TS-400", "TS-500", "TS-600", "TS-700", "TS-800", "TS-900"}
COUNTRIES = {"AT", "BE", "CH", "DE", "DK", "ES", "FI", "FR", "GB", "IE", "IT", "LU", "NL", "NO", "PT", "SE"}
REPORTABLE_FROM = "2026Q3"
"""Older quarters are past their 180 days when the scenario begins."""


class Expected(NamedTuple):
    """What a partner must come to in a quarter."""

    units: int = 0
    tier: int = 0
    rebate_minor: int = 0


def recount(registered: Iterable[Partner], moments: Iterable[Moment]) -> dict[tuple[str, str], Expected]:
    """For each (partner, quarter) with a sale that counts or counted, what it must come to."""
    partners = {partner.partner_id: partner for partner in registered}
    sales: dict[tuple[str, str], list[tuple[datetime, SaleReported]]] = defaultdict(list)
    returns: dict[tuple[str, str], dict[str, SaleReturned]] = defaultdict(dict)
    for at, _, record in moments:
        match record:
            case Partner():
                partners[record.partner_id] = record
            case SaleReported():
                sales[record.partner_id, record.sale_id].append((at, record))
            case SaleReturned():
                first = returns[record.partner_id, record.sale_id].setdefault(record.return_id, record)
                if record.reported_at < first.reported_at:
                    returns[record.partner_id, record.sale_id][record.return_id] = record
    units: dict[tuple[str, str], int] = defaultdict(int)
    for (partner_id, sale_id), reports in sales.items():
        at, sale = min(reports, key=lambda r: r[1].reported_at)
        quarter = f"{sale.sold_on.year}Q{(sale.sold_on.month - 1) // 3 + 1}"
        if partner_id in partners and _counts(sale, quarter, at, partners[partner_id]):
            came_back = sum(back.quantity for back in returns[partner_id, sale_id].values())
            units[partner_id, quarter] += max(0, sale.quantity - came_back)
    return {key: expected(n) for key, n in units.items()}


def expected(units: int) -> Expected:
    """What so many units must come to: every unit at the rate of the tier reached."""
    tier, rate_minor = next((threshold, rate) for threshold, rate in TIERS if units >= threshold)
    return Expected(units, tier, units * rate_minor)


def _counts(sale: SaleReported, quarter: str, at: datetime, partner: Partner) -> bool:
    return (
        sale.product_id in PRODUCTS
        and sale.quantity >= 1
        and quarter >= REPORTABLE_FROM
        and sale.sold_on <= (at + timedelta(days=1)).date()
        and partner.country in COUNTRIES
        and (partner.left_on is None or sale.sold_on < partner.left_on)
    )
