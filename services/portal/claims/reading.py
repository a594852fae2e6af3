"""What a partner says of a sale, in a form or in a row of a file. Pure: fields in, a claimed sale or reasons out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from schemas.values import Quarter
from services.kit import cells
from services.kit.csvfile import Columns, Refused
from streams.rules.terms import Programme

COLUMNS = Columns(
    ("sale_id", "product_id", "quantity", "sold_on"), ("event", "id", "partner_id", "serial_numbers", "note")
)
"""Those of the reports that distributors send, of which a partner need not fill in who he is."""
FILE_ROWS_MAX = 500
SERIALS_MAX = 500
NOTE_LENGTH_MAX = 1000
_EARLIEST_ZONE = timedelta(hours=14)


class Claimed(NamedTuple):
    """A sale as its partner reports it."""

    sale_id: str
    product_id: str
    quantity: int
    sold_on: date
    serial_numbers: tuple[str, ...]
    note: str


def from_form(form: Mapping[str, str], programme: Programme, now: datetime) -> tuple[Claimed | None, dict[str, str]]:
    """The sale that a form names; or None, and of each field that is wrong the code of why."""
    fields = {name: form.get(name, "").strip() for name in (*COLUMNS.required, *COLUMNS.optional)}
    fields["serial_numbers"] = "|".join(form.get("serial_numbers", "").replace(",", "\n").splitlines())
    wrong: dict[str, str] = {}
    for field, check in _CHECKS.items():
        try:
            check(fields)
        except Refused as refused:
            wrong[field] = refused.code
    if not wrong.keys() & {"product_id", "sold_on"}:
        wrong |= _against(programme, now, fields["product_id"], cells.day(fields, "sold_on"))
    return (None, wrong) if wrong else (_claimed(fields), {})


def row_reader(partner_id: str, programme: Programme, now: datetime) -> Callable[[Mapping[str, str]], Claimed]:
    """What reads the rows of this partner's file. The reader raises Refused."""

    def read(row: Mapping[str, str]) -> Claimed:
        row = {name: row.get(name, "") for name in (*COLUMNS.required, *COLUMNS.optional)}
        if row["event"].lower() not in ("", "sale"):
            raise Refused("bad-event", "only sales can be claimed")
        if row["partner_id"] not in ("", partner_id):
            raise Refused("other-partner", "the row is another partner's")
        sale_id = cells.identifier(row, "sale_id")
        if row["id"] not in ("", sale_id):
            raise Refused("id-differs", "a sale's id must be its sale_id")
        claimed = _claimed(row)
        for code in _against(programme, now, claimed.product_id, claimed.sold_on).values():
            raise Refused(code, "it would not count")
        return claimed

    return read


def why_not(programme: Programme, now: datetime, product_id: str, sold_on: date) -> str | None:
    """Why such a sale would not count now, as a code; None if nothing speaks against it."""
    dates, product = programme.dates(Quarter.of(sold_on)), programme.product(product_id)
    if sold_on > (now + _EARLIEST_ZONE).date():
        return "sold-in-future"
    if not dates.covered:
        return "before-programme"
    if now >= dates.horizon_at:
        return "older-than-horizon"
    return "product-not-in-programme" if product is None or not product.on_list(sold_on) else None


def free_text(text: str) -> str:
    """A text of several lines. Raises Refused."""
    kept = "\n".join(line.rstrip() for line in text.strip().splitlines())
    if len(kept) > NOTE_LENGTH_MAX:
        raise Refused("too-long", f"longer than {NOTE_LENGTH_MAX} characters")
    if not all(c.isprintable() or c == "\n" for c in kept):
        raise Refused("unprintable", "a character that can't be printed")
    return kept


def _against(programme: Programme, now: datetime, product_id: str, sold_on: date) -> dict[str, str]:
    code = why_not(programme, now, product_id, sold_on)
    if code is None:
        return {}
    return {"product_id" if code == "product-not-in-programme" else "sold_on": code}


def _serials(fields: Mapping[str, str]) -> tuple[str, ...]:
    try:
        units = cells.quantity(fields)
    except Refused:
        units = SERIALS_MAX  # it is wrong itself, and said so
    found = cells.serial_numbers(fields, units)
    if len(found) > SERIALS_MAX:
        raise Refused("too-many-serials", f"more than {SERIALS_MAX} serial numbers")
    return found


_CHECKS: dict[str, Callable[[Mapping[str, str]], object]] = {
    "sale_id": lambda fields: cells.identifier(fields, "sale_id"),
    "product_id": lambda fields: cells.identifier(fields, "product_id"),
    "quantity": cells.quantity,
    "sold_on": lambda fields: cells.day(fields, "sold_on"),
    "serial_numbers": _serials,
    "note": lambda fields: free_text(fields["note"]),
}


def _claimed(fields: Mapping[str, str]) -> Claimed:
    return Claimed(
        sale_id=cells.identifier(fields, "sale_id"),
        product_id=cells.identifier(fields, "product_id"),
        quantity=cells.quantity(fields),
        sold_on=cells.day(fields, "sold_on"),
        serial_numbers=_serials(fields),
        note=free_text(fields["note"]),
    )
