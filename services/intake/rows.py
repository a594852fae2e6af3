"""What the rows of each kind of file mean. Pure: cells in, event or refusal out.

Whether a product is in the programme or a date too old is not decided here: the stream's verdict says so, to the
partner as well.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import NamedTuple

from schemas.events import Partner, SaleReported, SaleReturned
from schemas.values import PARTNER_ID
from services.kit import cells as cell
from services.kit.cells import Cells
from services.kit.csvfile import Columns, Refused

PARTNER_COLUMNS = Columns(("partner_id", "name", "email", "language", "country", "registered_on"), ("left_on",))
SALE_COLUMNS = Columns(
    ("event", "id", "sale_id", "partner_id", "product_id", "quantity", "sold_on", "serial_numbers"),
)
BANK_COLUMNS = Columns(("partner_id", "account_holder", "iban"), ("bic", "town", "country"))

Report = SaleReported | SaleReturned


class BankDetails(NamedTuple):
    """Where a partner's money goes. Not checked here: the payout service knows what an IBAN is."""

    partner_id: str
    account_holder: str
    iban: str
    bic: str = ""
    town: str = ""
    country: str = ""


def partner(cells: Cells) -> Partner:
    """A partner. Without a ``left_on`` cell he has not left. Raises Refused."""
    registered_on = cell.day(cells, "registered_on")
    left_on: date | None = cell.day(cells, "left_on") if cells.get("left_on") else None
    if left_on is not None and left_on < registered_on:
        raise Refused("left-before-registered", "left_on lies before registered_on", "correct one of the two")
    return Partner(
        partner_id=cell.partner_id(cells),
        name=_name(cells, "name"),
        email=cell.email(cells),
        language=cell.language(cells),
        country=cell.country(cells),
        registered_on=registered_on,
        left_on=left_on,
    )


def bank_details(cells: Cells) -> BankDetails:
    """Bank details. Raises Refused, with nothing of the cells in the message: columns get mixed up."""
    partner_id = cell.text(cells, "partner_id")
    if not PARTNER_ID.fullmatch(partner_id):
        raise Refused("bad-partner-id", "partner_id is not one", cell.PARTNER_ID_HINT)
    more = (cells.get(column, "") for column in BANK_COLUMNS.optional)
    return BankDetails(partner_id, _name(cells, "account_holder"), cell.text(cells, "iban"), *more)


def report_reader(reported_at: datetime, reported_by: str) -> Callable[[Cells], Report]:
    """What reads the rows of a report made at this instant, as events. The reader raises Refused."""

    def read(cells: Cells) -> Report:
        kind = cells["event"].lower()
        if kind not in ("sale", "return"):
            raise Refused("bad-event", f"event {cells['event'][:40]!r} is neither sale nor return")
        own_id, sale_id = cell.identifier(cells, "id"), cell.identifier(cells, "sale_id")
        if kind == "sale" and own_id != sale_id:
            raise Refused("id-differs", "a sale's id must be its sale_id", "write the same in both, or event return")
        partner_id = cell.partner_id(cells)
        product_id = cell.identifier(cells, "product_id")
        quantity = cell.quantity(cells)
        day = cell.day(cells, "sold_on")
        serials = cell.serial_numbers(cells, quantity)
        if kind == "sale":
            return SaleReported(
                sale_id, partner_id, product_id, quantity, day, reported_at, serials, reported_by=reported_by
            )
        return SaleReturned(
            own_id, sale_id, partner_id, product_id, quantity, day, reported_at, serials, reported_by=reported_by
        )

    return read


def _name(cells: Cells, column: str) -> str:
    # Hard and double spaces come out of every spreadsheet; in a name they mean one space.
    return cell.text({column: " ".join(cells[column].split())}, column, cell.NAME_LENGTH_MAX)
