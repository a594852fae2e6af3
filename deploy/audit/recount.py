"""A recount from the reports themselves: no batches, no phases, and no code shared with the rules that it checks.

It reads the programme file on its own, keeps of each sale and each return the report that stands, and adds up at the
end. The contract alone is common ground: what an event says, and the hash that decides between reports of one instant.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from schemas.events import Partner, SaleReported, SaleReturned, content_hash

Report = tuple[datetime, str, datetime, SaleReported | SaleReturned]
"""Ordered so that the least one stands: reported at, hash of the content, broker time."""


class Standing(NamedTuple):
    """What a partner comes to in a quarter. The last four are numbers of sales."""

    units: int = 0
    tier: int = 0
    rebate_minor: int = 0
    counted: int = 0
    pending: int = 0
    rejected: int = 0
    returned: int = 0


class Recount:
    """Give it every report, then ask for the standings."""

    def __init__(self, programme: str) -> None:
        """``programme``: the text of the programme file, known to be sound."""
        self._programme: Mapping[str, Any] = tomllib.loads(programme)
        self._zone = ZoneInfo(self._programme["time_zone"])
        self._products = {product["id"]: product for product in self._programme["products"]}
        self._sales: dict[tuple[str, str], Report] = {}
        self._returns: defaultdict[tuple[str, str], dict[str, Report]] = defaultdict(dict)

    def add(self, event: SaleReported | SaleReturned, recorded_at: datetime) -> None:
        """One report, as often and in whatever order it comes until the horizon of its quarter; then as recorded."""
        sale = event.partner_id, event.sale_id
        report = event.reported_at, content_hash(event), recorded_at, event
        known_sale = self._sales.get(sale)
        if known_sale is not None and recorded_at >= self._horizon(*_quarter_of(known_sale)):
            return  # nothing changes a sale that is known any more
        if isinstance(event, SaleReported):
            self._sales[sale] = _standing_one(known_sale, report)
        else:
            known = self._returns[sale]
            known[event.return_id] = _standing_one(known.get(event.return_id), report)

    def settled(self, quarter: str, at: datetime) -> bool:
        """Whether nothing that is said at an instant changes a quarter any more."""
        return at >= self._horizon(int(quarter[:4]), int(quarter[5]))

    def standings(self, partners: Mapping[str, Partner]) -> dict[tuple[str, str], Standing]:
        """By partner and quarter, wherever a sale was reported."""
        sums: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for (partner_id, sale_id), report in self._sales.items():
            _, _, at, sale = report
            assert isinstance(sale, SaleReported)
            quarter = _quarter_of(report)
            status, units = self._judge(sale, at, partners.get(partner_id), quarter), 0
            if status == "counted":
                units = max(0, sale.quantity - self._came_back(partner_id, sale_id, quarter))
                status = "counted" if units else "returned"
            total = sums[partner_id, f"{quarter[0]}Q{quarter[1]}"]
            total["units"] += units
            total[status] += 1
        return {key: self._with_rebate(key[1], total) for key, total in sums.items()}

    def _judge(self, sale: SaleReported, at: datetime, partner: Partner | None, quarter: tuple[int, int]) -> str:
        product, day, terms = self._products.get(sale.product_id), sale.sold_on, self._terms(*quarter)
        possible = (
            sale.quantity >= 1
            and self._programme["terms"][0]["valid_from"] < _end(*quarter)
            and day <= (at + timedelta(hours=14)).date()
            and at < self._horizon(*quarter)
            and product is not None
            and product["valid_from"] <= day <= product.get("valid_to", date.max)
        )
        if not possible:
            return "rejected"
        if partner is None:
            return "pending"
        left = partner.left_on is not None and day >= partner.left_on
        return "rejected" if left or partner.country not in terms["countries"] else "counted"

    def _came_back(self, partner_id: str, sale_id: str, quarter: tuple[int, int]) -> int:
        return sum(
            back.quantity
            for _, _, at, back in self._returns.get((partner_id, sale_id), {}).values()
            if isinstance(back, SaleReturned)
            and back.quantity >= 1
            and back.returned_on <= (at + timedelta(hours=14)).date()
            and at < self._horizon(*quarter)
        )

    def _with_rebate(self, quarter: str, total: Mapping[str, int]) -> Standing:
        terms = self._terms(int(quarter[:4]), int(quarter[5]))
        reached = max((t for t in terms["tiers"] if t["units"] <= total["units"]), key=lambda t: int(t["units"]))
        rebate = total["units"] * reached["rate_minor"]
        return Standing(total["units"], reached["units"], rebate, *(total[name] for name in Standing._fields[3:]))

    def _terms(self, year: int, number: int) -> Mapping[str, Any]:
        first_day = date(year, 3 * number - 2, 1)
        versions = self._programme["terms"]
        found: Mapping[str, Any] = next((t for t in reversed(versions) if t["valid_from"] <= first_day), versions[0])
        return found

    def _horizon(self, year: int, number: int) -> datetime:
        day = _end(year, number) + timedelta(days=self._terms(year, number)["horizon_days"])
        return datetime(day.year, day.month, day.day, tzinfo=self._zone)


def _quarter_of(report: Report) -> tuple[int, int]:
    sale = report[3]
    assert isinstance(sale, SaleReported)
    return sale.sold_on.year, (sale.sold_on.month + 2) // 3


def _end(year: int, number: int) -> date:
    return date(year + 1, 1, 1) if number == 4 else date(year, 3 * number + 1, 1)


def _standing_one(known: Report | None, report: Report) -> Report:
    return report if known is None else min(known, report, key=lambda r: r[:3])
