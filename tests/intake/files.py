"""Files for importing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.intake.rows import PARTNER_COLUMNS, SALE_COLUMNS
from services.kit.csvfile import Columns, Refusal, Row, Sheet

SALES_HEADER = ",".join(SALE_COLUMNS.required)
PARTNERS_HEADER = ",".join(PARTNER_COLUMNS.required)


def write(path: Path, *lines: str, encoding: str = "utf-8") -> str:
    """A file with these lines; answers its path."""
    path.write_bytes("\n".join([*lines, ""]).encode(encoding))
    return str(path)


def sale(number: int, partner: str = "P-1", quantity: int | str = 1, **other: str) -> str:
    """The row of a sale."""
    fields = {"product_id": "TS-100", "sold_on": "2026-10-05", "serial_numbers": ""} | other
    facts = (partner, fields["product_id"], quantity, fields["sold_on"], fields["serial_numbers"])
    return ",".join(["sale", f"S-{number}", f"S-{number}", *map(str, facts)])


def partner(partner_id: str, name: str = "Rechner & Sohn", country: str = "DE") -> str:
    """The row of a partner."""
    return f"{partner_id},{name},{partner_id.lower()}@partner.example,de,{country},2026-01-01"


def understood(path: str, columns: Columns, read: Any) -> list[Row[Any] | Refusal]:
    """What the rows of a file mean."""

    def rows() -> Iterator[Row[Any] | Refusal]:
        sheet = Sheet(path, columns)
        try:
            yield from sheet.rows(read)
        finally:
            sheet.close()

    return list(rows())
