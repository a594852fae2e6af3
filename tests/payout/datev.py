"""A checker for DATEV's batch files, written from the published format and sharing nothing with the writer."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import date
from typing import Any, NamedTuple

# Number of a column, and what may stand in it, with quotes as in the file. What is not listed must be empty here.
FIELDS = {
    1: r"(?!0{1,10},00$)\d{1,10},\d\d",
    2: r'"[SH]"',
    3: r'"[A-Z]{3}"',
    7: r"(?!0{1,9}$)\d{1,9}",
    8: r"(?!0{1,9}$)\d{1,9}",
    10: r"(0[1-9]|[12]\d|3[01])(0[1-9]|1[0-2])",
    11: r'"[A-Za-z0-9$&%*+\-/]{0,36}"',
    14: r'"(?:[^"\x00-\x1f]|""){0,60}"',
    114: r"[01]",
}
HEADER = (
    r'"EXTF";700;21;"Buchungsstapel";13;(?P<created>\d{17});;"\w{0,2}";"\w{0,25}";"\w{0,25}";'
    r"(?P<advisor>[1-9]\d{3,6});(?P<client>[1-9]\d{0,4});(?P<year>\d{8});(?P<length>[4-8]);"
    r'(?P<first>\d{8});(?P<last>\d{8});"[\w.\-/ ]{0,30}";"([A-Z]{2})?";[12];(0|30|40|50|64);[01];'
    r'"(?P<currency>[A-Z]{3})";;"[A-Z]{0,2}";;;"(\d\d)?";;;"";"[^"]{0,16}"'
)
SPLIT = re.compile(r';(?=(?:[^"]*"[^"]*")*[^"]*$)')


class Batch(NamedTuple):
    """What a file says."""

    header: dict[str, Any]
    balances: dict[int, int]
    """Of each account in cents, debits above zero."""
    rows: list[list[str]]


def read(content: bytes) -> Batch:
    """Read a file. Fails the test for anything that the published rules forbid."""
    text = content.decode("cp1252")
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")
    head, names, *lines = text[:-2].split("\r\n")
    match = re.fullmatch(HEADER, head)
    assert match, head
    header = match.groupdict()
    year, first, last = (_day(header[name]) for name in ("year", "first", "last"))
    assert year <= first <= last < year.replace(year=year.year + 1)
    assert len(names.split(";")) == 125
    assert len(lines) <= 99_999
    balances: defaultdict[int, int] = defaultdict(int)
    rows = []
    for line in lines:
        cells = SPLIT.split(line)
        assert len(cells) == 125
        for number, cell in enumerate(cells, 1):
            assert re.fullmatch(FIELDS.get(number, ""), cell), f"column {number}: {cell}"
        _date(cells[9], year, first, last)
        amount = int(cells[0].replace(",", ""))
        amount = amount if cells[1] == '"S"' else -amount
        length = int(header["length"])
        assert all(len(cells[place]) in (length, length + 1) for place in (6, 7))
        assert cells[6] != cells[7]
        balances[int(cells[6])] += amount
        balances[int(cells[7])] -= amount
        rows.append(cells)
    return Batch(header, dict(balances), rows)


def _date(cell: str, year: date, first: date, last: date) -> None:
    """A date without a year lies in the fiscal year, and so in the period."""
    days = [date(number, int(cell[2:]), int(cell[:2])) for number in (year.year, year.year + 1)]
    assert any(first <= day <= last for day in days)


def _day(digits: str) -> date:
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
