"""Checks of single cells. Each answers the cell's meaning or raises Refused with the reason and how to mend it.

Addresses and accounts are never repeated in a message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from schemas.values import PARTNER_ID, QUANTITY_MAX, SALE_ID_LENGTH_MAX
from services.kit.csvfile import Refused

NAME_LENGTH_MAX = 200
PARTNER_ID_HINT = "letters, digits, dot, dash and underscore, 64 at most, beginning with a letter or digit"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_EXAMPLE = "2026-10-31"
_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)
_NUMBER = re.compile(r"[0-9]+")
_MANGLED = re.compile(r"[0-9]+(?:[.,][0-9]+)?E\+[0-9]+", re.IGNORECASE)
_EMAIL = re.compile(r"[^@\s,;<>()\"]+@[^@\s,;<>()\"]+\.[^@\s,;<>()\"]+")
_EMAIL_LENGTH_MAX = 254
_LETTERS = re.compile(r"[A-Za-z]{2}")
_OFTEN_MISTAKEN = {"UK": "GB", "EL": "GR"}

Cells = Mapping[str, str]


def text(cells: Cells, column: str, longest: int = SALE_ID_LENGTH_MAX) -> str:
    """A cell that must say something printable."""
    value = cells[column]
    if not value:
        raise Refused("missing", f"{column} is empty")
    if len(value) > longest:
        raise Refused("too-long", f"{column} is longer than {longest} characters")
    if not value.isprintable():
        raise Refused("unprintable", f"{column} holds a character that can't be printed", "type the value anew")
    return value


def identifier(cells: Cells, column: str) -> str:
    """An id given by somebody else's system: anything printable, but not what a spreadsheet makes of long numbers."""
    value = text(cells, column)
    _refuse_mangled(column, value)
    return value


def partner_id(cells: Cells) -> str:
    """The id of a partner."""
    value = identifier(cells, "partner_id")
    if not PARTNER_ID.fullmatch(value):
        raise Refused(
            "bad-partner-id",
            f"partner_id {_show(value)} is not one",
            PARTNER_ID_HINT,
        )
    return value


def quantity(cells: Cells) -> int:
    """A number of units, at least 1."""
    value = text(cells, "quantity")
    if value.startswith("-") and _NUMBER.fullmatch(value[1:]):
        raise Refused("bad-quantity", f"quantity {_show(value)} is below 1", "a return is a row with event return")
    if not _NUMBER.fullmatch(value):
        raise Refused("bad-quantity", f"quantity {_show(value)} is not a whole number", "write it like 12")
    number = int(value) if len(value.lstrip("0")) <= len(str(QUANTITY_MAX)) else QUANTITY_MAX + 1
    if not 1 <= number <= QUANTITY_MAX:
        raise Refused("bad-quantity", f"quantity {_show(value)} is not between 1 and {QUANTITY_MAX}")
    return number


def day(cells: Cells, column: str) -> date:
    """A calendar date, ISO."""
    value = text(cells, column)
    try:
        if _DATE.fullmatch(value):
            found = date.fromisoformat(value)
            if 1900 <= found.year <= 2999:
                return found
    except ValueError:
        raise Refused("bad-date", f"{column} {value} is not in the calendar") from None
    raise Refused("bad-date", f"{column} {_show(value)} is not a date", f"write it like {_iso_guess(value)}")


def email(cells: Cells) -> str:
    """A mail address, by its shape."""
    value = text(cells, "email", _EMAIL_LENGTH_MAX)
    if not _EMAIL.fullmatch(value):
        raise Refused("bad-email", "email is not one mail address", "write it like name@company.example")
    return value


def language(cells: Cells) -> str:
    """A language, two letters."""
    value = text(cells, "language")
    if not _LETTERS.fullmatch(value):
        raise Refused("bad-language", f"language {_show(value)} is not a two-letter code", "write it like de")
    return value.lower()


def country(cells: Cells) -> str:
    """A country, ISO 3166 with two letters."""
    value = text(cells, "country").upper()
    if not _LETTERS.fullmatch(value) or value in _OFTEN_MISTAKEN:
        hint = f"write it like {_OFTEN_MISTAKEN.get(value, 'DE')}"
        raise Refused("bad-country", f"country {_show(value)} is not a two-letter ISO code", hint)
    return value


def serial_numbers(cells: Cells, units: int) -> tuple[str, ...]:
    """Serial numbers, separated by ``|``: none, or at most one for each unit."""
    found = tuple(filter(None, (serial.strip() for serial in cells["serial_numbers"].split("|"))))
    for serial in found:
        identifier({"serial_numbers": serial}, "serial_numbers")
    if len(set(found)) < len(found):
        raise Refused("repeated-serial", "a serial number is named twice", "name each unit's serial number once")
    if len(found) > units:
        raise Refused("too-many-serials", f"{len(found)} serial numbers for {units} units", "correct one of the two")
    return found


def _refuse_mangled(column: str, value: str) -> None:
    if _MANGLED.fullmatch(value):
        raise Refused(
            "mangled-number",
            f"{column} {_show(value)} is what a spreadsheet makes of a long number",
            "its digits are lost: take them from the source, and format the column as text",
        )


def _iso_guess(value: str) -> str:
    match = _DAY_FIRST.fullmatch(value)
    try:
        return date(int(match[3]), int(match[2]), int(match[1])).isoformat() if match else _DATE_EXAMPLE
    except ValueError:
        return _DATE_EXAMPLE


def _show(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:39] + "…")
