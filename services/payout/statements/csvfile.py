"""The statement for a spreadsheet: a row for each serial number, or for the units of a sale that have none.

Comma-separated, CRLF, UTF-8 with a byte order mark (without it Excel takes it for another encoding). Rates are integers
of minor units, so that no reader's decimal comma spoils them. The units of a quarter sum to what its lines count.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from services.kit.spreadsheet import plain
from services.payout.statements.facts import Facts, Line

COLUMNS = (
    *("statement", "issued_on", "partner_id", "quarter", "terms_version", "entry", "entry_id", "sale_id", "date"),
    *("product_id", "product", "serial_number", "units", "rate_minor", "currency"),
)


class _Entry(NamedTuple):
    entry: str
    entry_id: str
    day: date
    serial_number: str
    units: int


def render(facts: Facts) -> bytes:
    """The file's bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for part in facts.quarters:
        for line in part.lines:
            for entry in _entries(line):
                row = (
                    *(facts.number, facts.issued_on, facts.partner_id, part.quarter, part.terms_version),
                    *(entry.entry, entry.entry_id, line.sale_id, entry.day),
                    *(line.product_id, facts.products.get(line.product_id, ""), entry.serial_number),
                    *(entry.units, part.rate_minor, facts.currency),
                )
                writer.writerow([plain(cell) if isinstance(cell, str) else cell for cell in row])
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _entries(line: Line) -> Iterator[_Entry]:
    serials = line.serial_numbers
    if len(serials) > line.quantity:  # which of them are the units nobody knows
        yield _Entry("sale", line.sale_id, line.sold_on, " ".join(serials), line.quantity)
    else:
        for serial in serials:
            yield _Entry("sale", line.sale_id, line.sold_on, serial, 1)
        if rest := line.quantity - len(serials):
            yield _Entry("sale", line.sale_id, line.sold_on, "", rest)
    for back in line.returns:  # nor which of them came back
        yield _Entry("return", back.return_id, back.returned_on, "", -back.units)
