"""A sale's line: what is known of one sale, merged from reports in any order, and the verdict on it.

Merging picks, among reports that disagree, the least by (reported at, content, broker time, reporter); so any order,
repetition or delay of the same records ends in the same line (rules 4 and 5). What is recorded past the horizon of a
sale that is known changes nothing (``settled``); it comes last in any order, since a broker's time never goes back.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from msgspec.structs import replace

from schemas.events import (
    LineReturn,
    LineStatus,
    Partner,
    SaleLine,
    SaleReported,
    SaleReturned,
    content_hash,
)
from schemas.values import Quarter
from streams.rules.terms import Programme, QuarterDates

_CONFLICTS_KEPT = 16
_EARLIEST_ZONE = timedelta(hours=14)
"""Where on earth a day begins first."""


class Reason(StrEnum):
    """Why a sale, or a return, does not count (yet)."""

    PARTNER_NOT_REGISTERED = "partner-not-registered"
    RETURN_BEFORE_SALE = "return-before-sale"
    QUANTITY_BELOW_ONE = "quantity-below-one"
    BEFORE_PROGRAMME = "before-programme"
    SOLD_IN_FUTURE = "sold-in-future"
    RETURNED_IN_FUTURE = "returned-in-future"
    OLDER_THAN_HORIZON = "older-than-horizon"
    PRODUCT_NOT_IN_PROGRAMME = "product-not-in-programme"
    COUNTRY_NOT_IN_PROGRAMME = "country-not-in-programme"
    PARTNER_LEFT = "partner-left"
    RETURN_EXCEEDS_SALE = "return-exceeds-sale"


def first_report(
    sale: SaleReported, recorded_at: datetime, offset: int, partner: Partner | None, programme: Programme
) -> SaleLine:
    """The line of a sale of which nothing was known, with its verdict: the ordinary case, at one go.

    The same as ``judged(with_sale(None, …), …)``.
    """
    dates = _dates_on(programme, sale.sold_on)
    status, reason = _verdict(sale, sale.sold_on, recorded_at, dates, partner, programme)
    return SaleLine(
        partner_id=sale.partner_id,
        sale_id=sale.sale_id,
        status=status,
        reason=reason,
        quarter=dates.name,
        product_id=sale.product_id,
        quantity=sale.quantity,
        units=sale.quantity if status is LineStatus.COUNTED else 0,
        sold_on=sale.sold_on,
        serial_numbers=sale.serial_numbers,
        reported_at=sale.reported_at,
        recorded_at=recorded_at,
        content_hash=content_hash(sale),
        source_offset=offset,
        reported_by=sale.reported_by,
    )


def with_sale(line: SaleLine | None, sale: SaleReported, recorded_at: datetime, offset: int) -> SaleLine:
    """The line after a report of its sale. The very same object if the report says nothing new."""
    digest = content_hash(sale)
    if line is None or line.sold_on is None:
        return _line_of(sale, digest, recorded_at, offset, line.returns if line else ())
    standing = (line.reported_at, line.content_hash, line.recorded_at, line.reported_by)
    if (sale.reported_at, digest, recorded_at, sale.reported_by) >= standing:
        if digest == line.content_hash or digest in line.conflicts:
            return line
        return replace(line, conflicts=_least(line.conflicts, digest), source_offset=offset)
    conflicts = line.conflicts
    if digest != line.content_hash:
        conflicts = _least(tuple(c for c in conflicts if c != digest), line.content_hash)
    return replace(_line_of(sale, digest, recorded_at, offset, line.returns), conflicts=conflicts)


def with_return(line: SaleLine | None, back: SaleReturned, recorded_at: datetime, offset: int) -> SaleLine:
    """The line after a report that units of its sale came back. The very same object if that is nothing new."""
    new = LineReturn(
        return_id=back.return_id,
        quantity=back.quantity,
        returned_on=back.returned_on,
        reported_at=back.reported_at,
        recorded_at=recorded_at,
        content_hash=content_hash(back),
    )
    if line is None:
        return _line_of_return(back, new, offset)
    others = tuple(r for r in line.returns if r.return_id != back.return_id)
    if len(others) < len(line.returns):
        known = next(r for r in line.returns if r.return_id == back.return_id)
        if (new.reported_at, new.content_hash, new.recorded_at) >= (
            known.reported_at,
            known.content_hash,
            known.recorded_at,
        ):
            return line
    returns = tuple(sorted((*others, new), key=lambda r: (r.returned_on, r.return_id)))
    return replace(line, returns=returns, source_offset=offset)


def settled(line: SaleLine, programme: Programme, at: datetime) -> bool:
    """Whether what is recorded at ``at`` comes too late for a sale that is known: past the horizon of its quarter.

    Then nothing changes its line any more: no return, no correction, no registration.
    """
    return line.sold_on is not None and at >= _dates_on(programme, line.sold_on).horizon_at


def judged(line: SaleLine, partner: Partner | None, programme: Programme) -> SaleLine:
    """The line with its verdict (rule 3). Depends on the facts in the line, the partner and the programme alone."""
    if line.sold_on is None:
        return line  # waits for its sale
    dates = _dates_on(programme, line.sold_on)
    status, reason = _verdict(line, line.sold_on, line.recorded_at, dates, partner, programme)
    returns, came_back = _judged_returns(line, dates) if line.returns else ((), 0)
    units = line.quantity - came_back if status is LineStatus.COUNTED else 0
    if status is LineStatus.COUNTED and units == 0:
        status = LineStatus.RETURNED
    return replace(line, status=status, reason=reason, quarter=dates.name, units=units, returns=returns)


def _verdict(
    said: SaleReported | SaleLine,
    sold_on: date,
    recorded_at: datetime,
    dates: QuarterDates,
    partner: Partner | None,
    programme: Programme,
) -> tuple[LineStatus, str | None]:
    if said.quantity < 1:
        return LineStatus.REJECTED, Reason.QUANTITY_BELOW_ONE
    refused = _refused(programme, said.product_id, sold_on, recorded_at)
    if refused is not None:
        return LineStatus.REJECTED, refused
    if partner is None:
        return LineStatus.PENDING, Reason.PARTNER_NOT_REGISTERED
    if partner.country not in dates.terms.countries:
        return LineStatus.REJECTED, Reason.COUNTRY_NOT_IN_PROGRAMME
    if partner.left_on is not None and sold_on >= partner.left_on:
        return LineStatus.REJECTED, Reason.PARTNER_LEFT
    return LineStatus.COUNTED, None


def _judged_returns(line: SaleLine, dates: QuarterDates) -> tuple[tuple[LineReturn, ...], int]:
    """The returns, each with the reason why it takes nothing away if so; and how many units came back in all."""
    left = line.quantity
    returns = []
    for back in line.returns:
        reason = None
        if back.quantity < 1:
            reason = Reason.QUANTITY_BELOW_ONE
        elif back.returned_on > _latest_day(back.recorded_at):
            reason = Reason.RETURNED_IN_FUTURE
        elif back.recorded_at >= dates.horizon_at:
            reason = Reason.OLDER_THAN_HORIZON
        elif back.quantity > left:
            reason = Reason.RETURN_EXCEEDS_SALE  # takes away what is left
        if reason in (None, Reason.RETURN_EXCEEDS_SALE):
            left -= min(left, back.quantity)
        returns.append(back if back.reason == reason else replace(back, reason=reason))
    return tuple(returns), line.quantity - left


@lru_cache(maxsize=4096)
def _refused(programme: Programme, product_id: str, sold_on: date, recorded_at: datetime) -> Reason | None:
    """Why nobody's sale of this product and day would count, if so. Remembered, since sales come in heaps."""
    dates = _dates_on(programme, sold_on)
    if not dates.covered:
        return Reason.BEFORE_PROGRAMME
    if sold_on > _latest_day(recorded_at):
        return Reason.SOLD_IN_FUTURE
    if recorded_at >= dates.horizon_at:
        return Reason.OLDER_THAN_HORIZON
    product = programme.product(product_id)
    if product is None or not product.on_list(sold_on):
        return Reason.PRODUCT_NOT_IN_PROGRAMME
    return None


@lru_cache(maxsize=4096)
def _dates_on(programme: Programme, sold_on: date) -> QuarterDates:
    return programme.dates(Quarter.of(sold_on))


@lru_cache(maxsize=4096)
def _latest_day(instant: datetime) -> date:
    """The date where on earth it is latest. What is dated later lies in the future everywhere."""
    return (instant + _EARLIEST_ZONE).date()


def _least(conflicts: tuple[str, ...], digest: str) -> tuple[str, ...]:
    return tuple(sorted({*conflicts, digest})[:_CONFLICTS_KEPT])


def _line_of(
    sale: SaleReported, digest: str, recorded_at: datetime, offset: int, returns: tuple[LineReturn, ...]
) -> SaleLine:
    return SaleLine(
        partner_id=sale.partner_id,
        sale_id=sale.sale_id,
        status=LineStatus.PENDING,
        reason=None,
        quarter="",
        product_id=sale.product_id,
        quantity=sale.quantity,
        units=0,
        sold_on=sale.sold_on,
        serial_numbers=sale.serial_numbers,
        reported_at=sale.reported_at,
        recorded_at=recorded_at,
        content_hash=digest,
        returns=returns,
        source_offset=offset,
        reported_by=sale.reported_by,
    )


def _line_of_return(back: SaleReturned, new: LineReturn, offset: int) -> SaleLine:
    return SaleLine(
        partner_id=back.partner_id,
        sale_id=back.sale_id,
        status=LineStatus.PENDING,
        reason=Reason.RETURN_BEFORE_SALE,
        quarter="",
        product_id=back.product_id,
        quantity=0,
        units=0,
        sold_on=None,
        serial_numbers=back.serial_numbers,
        reported_at=back.reported_at,
        recorded_at=new.recorded_at,
        content_hash="",
        returns=(new,),
        source_offset=offset,
    )
