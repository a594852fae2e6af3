"""What a report must keep to, beyond its schema: values that no sale can have would break who computes with them.

Not whether a sale counts, which the programme's rules say: what is unfit is no report at all.
"""

from __future__ import annotations

from schemas.events import SaleReported, SaleReturned
from schemas.values import PARTNER_ID, QUANTITY_MAX, SALE_ID_LENGTH_MAX

Unfit = tuple[str, str]
"""Why something is no report: a short code, and a sentence."""

SERIAL_NUMBERS_MAX = 10_000
_FIRST_YEAR, _LAST_YEAR = 1900, 2999
"""Calendars, time zones and quarters can be computed for these without reaching the end of what a date can be."""
UNFIT_PARTNER: Unfit = (
    "bad-partner-id",
    "partner_id may hold letters, digits, dot, dash and underscore, 64 at most",
)


def unfit(event: SaleReported | SaleReturned) -> Unfit | None:
    """Why this is no report; None if it is one."""
    return unfit_content(event) if PARTNER_ID.fullmatch(event.partner_id) else UNFIT_PARTNER


def unfit_content(event: SaleReported | SaleReturned) -> Unfit | None:
    """The same of a report whose partner's id is known to be one."""
    ids: tuple[str, ...]
    if isinstance(event, SaleReported):
        ids, day = (event.sale_id,), event.sold_on
    else:
        ids, day = (event.sale_id, event.return_id), event.returned_on
    for text in ids:
        if not text or len(text) > SALE_ID_LENGTH_MAX or not text.isprintable():
            return "bad-id", f"an id must be printable and 1 to {SALE_ID_LENGTH_MAX} characters long"
    for text in (event.product_id, event.reported_by, *event.serial_numbers):
        if len(text) > SALE_ID_LENGTH_MAX or not text.isprintable():
            return (
                "bad-text",
                f"product, serial numbers and reporter must be printable, {SALE_ID_LENGTH_MAX} characters at most",
            )
    if len(event.serial_numbers) > SERIAL_NUMBERS_MAX:
        return "out-of-range", f"a report may name {SERIAL_NUMBERS_MAX} serial numbers at most"
    if not -QUANTITY_MAX <= event.quantity <= QUANTITY_MAX:
        return "bad-quantity", f"a quantity can't be above {QUANTITY_MAX}"
    if not (_FIRST_YEAR <= day.year <= _LAST_YEAR and _FIRST_YEAR <= event.reported_at.year <= _LAST_YEAR):
        return "out-of-range", f"a date must lie between {_FIRST_YEAR} and {_LAST_YEAR}"
    return None
