"""A partner's sales: what the list's address asks for, a page of it, the same as a file, and one sale's history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import urlencode

from sqlalchemy import Row

from schemas.events import LineStatus
from schemas.values import SALE_ID_LENGTH_MAX, Quarter
from services.portal import reasons
from services.portal.exports import Cell
from services.portal.queries import PartnerRows, Place, SalesFilter, SalesPage, standing_of
from services.portal.views import NotHere, choose_quarter
from services.portal.voice import Voice
from streams.rules.terms import Product, Programme, Terms

ALL = "all"
"""In an address: the sales of all quarters."""
_SEARCH_LENGTH_MAX = 100
STATUSES = (LineStatus.COUNTED, LineStatus.PENDING, LineStatus.REJECTED, LineStatus.RETURNED)


@dataclass(frozen=True, slots=True)
class SalesAddress:
    """What an address of the list asks for."""

    wanted: SalesFilter = SalesFilter()
    start: Place | None = None
    newer: bool = False

    def url(self, path: str = "/sales", **changes: Any) -> str:
        """The address with another filter, from its newest sale on."""
        return self._written(path, self.wanted._replace(**changes), {})

    def older(self, place: Place) -> str:
        """Where the list goes on."""
        return self._written("/sales", self.wanted, {"before": _say(place)})

    def newest(self, place: Place) -> str:
        """Where the list came from."""
        return self._written("/sales", self.wanted, {"after": _say(place)})

    @property
    def is_narrow(self) -> bool:
        """Whether more than quarter and verdict is asked for."""
        return bool(self.wanted.search or self.wanted.product_id or self.wanted.since or self.wanted.until)

    def _written(self, path: str, wanted: SalesFilter, place: Mapping[str, str]) -> str:
        facts = {
            "quarter": wanted.quarter or ALL,
            "status": wanted.status,
            "q": wanted.search,
            "product": wanted.product_id,
            "from": wanted.since,
            "to": wanted.until,
            **place,
        }
        return path + "?" + urlencode({name: str(value) for name, value in facts.items() if value})


def read_sales(parameters: Mapping[str, str], current: Quarter) -> SalesAddress:
    """Read the query of an address of the list. Raises NotHere for what no page of ours links to."""
    asked = parameters.get("quarter") or str(current)
    try:
        wanted = SalesFilter(
            quarter=None if asked == ALL else Quarter.parse(asked),
            status=LineStatus(parameters["status"]) if parameters.get("status") else None,
            search=_cleaned(parameters.get("q", "")),
            product_id=_cleaned(parameters.get("product", "")),
            since=_day(parameters.get("from", "")),
            until=_day(parameters.get("to", "")),
        )
        before, after = (_place(parameters.get(name, "")) for name in ("before", "after"))
    except ValueError:
        raise NotHere from None
    if wanted.status not in (None, *STATUSES):
        raise NotHere
    return SalesAddress(wanted, after or before, newer=after is not None)


@dataclass(frozen=True, slots=True)
class SalesList:
    """All that the page of the sales shows."""

    programme: Programme
    partner: Row[Any] | None
    address: SalesAddress
    quarters: Sequence[Quarter]
    sales_by_status: Mapping[str, int]
    sales: SalesPage

    @property
    def quarter(self) -> Quarter | None:
        return self.address.wanted.quarter

    @property
    def reported(self) -> int:
        """Number of sales, whatever became of them."""
        return sum(self.sales_by_status.values())

    @property
    def statuses(self) -> Sequence[LineStatus]:
        return STATUSES

    @property
    def products(self) -> Sequence[Product]:
        return self.programme.products

    def product_name(self, product_id: str) -> str:
        return product_name(self.programme, product_id)


def sales_list(rows: PartnerRows, programme: Programme, address: SalesAddress, now: datetime) -> SalesList:
    """Gather a page of the list. Raises NotHere for a quarter that he has nothing in."""
    _, known = choose_quarter(rows, programme, address.wanted.quarter, now)
    return SalesList(
        programme=programme,
        partner=rows.partner(),
        address=address,
        quarters=known,
        sales_by_status=rows.sales_by_status(address.wanted.quarter),
        sales=rows.sales(address.wanted, address.start, address.newer),
    )


def table_header(voice: Voice) -> list[str]:
    """The columns of the list as a file."""
    return [
        voice.say("Sale"),
        voice.say("Product number"),
        voice.say("Product"),
        voice.say("Sold on"),
        voice.say("Quarter"),
        voice.say("Quantity"),
        voice.say("Units that count"),
        voice.say("Verdict"),
        voice.say("Why it does not count"),
        voice.say("What can be done"),
        voice.say("Serial numbers"),
        voice.say("Reported by"),
        voice.say("Reported"),
        voice.say("Received"),
    ]


def table_rows(sales: Iterator[Row[Any]], programme: Programme, voice: Voice) -> Iterator[Sequence[Cell]]:
    """The list as a file, row by row."""
    verdicts = {status: voice.verdict(status) for status in STATUSES}
    for sale in sales:
        words = reasons.of_sale(sale.reason) if sale.reason else None
        yield (
            sale.sale_id,
            sale.product_id,
            product_name(programme, sale.product_id),
            sale.sold_on,
            sale.quarter,
            sale.quantity,
            sale.units,
            verdicts.get(sale.status, sale.status),
            voice.say(words.why) if words else "",
            voice.say(words.do) if words else "",
            sale.serial_numbers.replace("\n", ", "),
            voice.reporter(sale.reported_by),
            sale.reported_at.astimezone(voice.zone),
            sale.recorded_at.astimezone(voice.zone),
        )


class Happening(StrEnum):
    """What can happen to a sale."""

    REPORTED = "reported"
    RECEIVED = "received"
    RETURNED = "returned"
    TIER = "tier"


class Step(NamedTuple):
    """Something that happened, and when. ``facts`` are the return, or the tier change."""

    at: datetime
    what: Happening
    facts: Any = None


@dataclass(frozen=True, slots=True)
class SaleHistory:
    """All that is known of one sale."""

    programme: Programme
    partner: Row[Any] | None
    sale: Row[Any]
    quarter: Quarter | None
    standing: Mapping[str, Any] | None
    """Of the quarter that the sale counts in."""
    steps: Sequence[Step]

    @property
    def terms(self) -> Terms | None:
        return self.programme.terms_for(self.quarter) if self.quarter else None

    @property
    def at_rate_minor(self) -> int:
        """What its units bring at the rate reached now."""
        return int(self.sale.units * self.standing["rate_minor"]) if self.standing else 0

    @property
    def without_minor(self) -> int:
        """What the quarter's rebate would be without it."""
        if self.terms is None or self.standing is None:
            return 0
        return self.terms.rebate_minor(max(0, self.standing["units"] - self.sale.units))

    def product_name(self, product_id: str) -> str:
        return product_name(self.programme, product_id)


def sale_history(rows: PartnerRows, programme: Programme, partner_id: str, sale_id: str, now: datetime) -> SaleHistory:
    """Gather what is known of a sale. Raises NotHere if the partner has none with this number."""
    sale = rows.sale(sale_id) if 0 < len(sale_id) <= SALE_ID_LENGTH_MAX else None
    if sale is None:
        raise NotHere
    quarter = Quarter.parse(sale.quarter) if sale.quarter else None
    tally = rows.tally(quarter) if quarter else None
    return SaleHistory(
        programme=programme,
        partner=rows.partner(),
        sale=sale,
        quarter=quarter,
        standing=standing_of(tally, programme, partner_id, quarter, now) if quarter else None,
        steps=_steps(sale, rows.tier_changes(quarter) if quarter else ()),
    )


def product_name(programme: Programme, product_id: str) -> str:
    """A product's name, if it ever was on the list."""
    product = programme.product(product_id)
    return product.name if product else ""


def _steps(sale: Row[Any], tier_changes: Sequence[Row[Any]]) -> list[Step]:
    """What happened, in order. A tier change belongs to the record that has the very same time of the broker."""
    steps = [Step(sale.reported_at, Happening.REPORTED), Step(sale.recorded_at, Happening.RECEIVED)]
    if sale.sold_on is None:
        steps.clear()
    steps += [
        Step(datetime.fromisoformat(back["recorded_at"]), Happening.RETURNED, back)
        for back in sale.returns
        if "recorded_at" in back  # a line that was read before this was kept has none
    ]
    moments = {step.at for step in steps if step.what is not Happening.REPORTED}
    steps += [
        Step(change.occurred_at, Happening.TIER, change) for change in tier_changes if change.occurred_at in moments
    ]
    return sorted(steps, key=lambda step: step.at)


def _say(place: Place) -> str:
    return f"{place.quarter}.{place.day.isoformat()}.{place.sale_id}"


def _place(text: str) -> Place | None:
    if not text:
        return None
    quarter, day, sale_id = text.split(".", 2)
    return Place(quarter, date.fromisoformat(day), sale_id.replace("\0", ""))


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _cleaned(text: str) -> str:
    return text.replace("\0", "").strip()[:_SEARCH_LENGTH_MAX]
