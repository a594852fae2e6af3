"""Lists as files: what a spreadsheet makes of them."""

from __future__ import annotations

import asyncio
import csv
import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from lxml import etree
from starlette.responses import StreamingResponse

from services.portal import exports
from services.portal.exports import csv_response, xlsx_response

BERLIN = ZoneInfo("Europe/Berlin")
HEADER = ("Sale", "Units", "Rebate", "Sold on", "Reported")
ROW = ("S-1", -3, Decimal("-12.50"), date(2026, 11, 2), datetime(2026, 11, 3, 9, 30, tzinfo=BERLIN))
NAMES = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


def body(response: StreamingResponse) -> bytes:
    async def read() -> bytes:
        return b"".join([bytes(piece) async for piece in response.body_iterator])  # type: ignore[arg-type]

    return asyncio.run(read())


def cells(workbook: bytes, sheet: int = 1) -> list[list[str]]:
    """What each cell of a sheet holds, with its type before a text."""
    with zipfile.ZipFile(io.BytesIO(workbook)) as parts:
        tree = etree.fromstring(parts.read(f"xl/worksheets/sheet{sheet}.xml"))
        assert not tree.findall(".//m:f", NAMES), "there is a formula"
        assert not tree.findall(".//m:hyperlink", NAMES)
    return [["".join(cell.itertext()) for cell in row.findall("m:c", NAMES)] for row in tree.findall(".//m:row", NAMES)]


def test_a_csv_is_what_a_spreadsheet_reads() -> None:
    response = csv_response("sales-2026Q4", HEADER, [ROW, ("", None, Decimal(0), None, None)])
    assert response.headers["content-disposition"] == 'attachment; filename="sales-2026Q4.csv"'
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    text = body(response).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text, newline=""), delimiter=";")) == [
        list(HEADER),
        ["S-1", "-3", "-12,50", "2026-11-02", "2026-11-03 09:30:00"],
        ["", "", "0", "", ""],
    ]


def test_a_workbook_holds_numbers_as_numbers_and_days_as_days() -> None:
    response = xlsx_response("sales", HEADER, [ROW, ("", None, Decimal(0), None, None)])
    assert response.headers["content-disposition"] == 'attachment; filename="sales.xlsx"'
    assert cells(body(response))[:2] == [list(HEADER), ["S-1", "-3", "-12.50", "46328", "46329.39583333334"]]


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"])
def test_no_spreadsheet_takes_a_cell_or_a_title_for_a_formula(cell: str) -> None:
    text = body(csv_response("x", (cell,), [(cell,)])).decode("utf-8-sig")
    assert [row[0] for row in csv.reader(io.StringIO(text, newline=""), delimiter=";")] == [f"'{cell}"] * 2
    cells(body(xlsx_response("x", (cell,), [(cell,)])))


def test_a_cell_that_looks_like_a_link_or_is_too_long_is_only_text() -> None:
    rows = [("https://evil.example",), ("x" * 40_000,), ("a\x00\x1bb",)]
    found = cells(body(xlsx_response("x", ("What",), rows)))
    assert found[1] == ["https://evil.example"]
    assert found[2] == ["x" * 32_767]
    assert len(found) == 4


def test_many_rows_need_no_more_memory_than_few(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> Iterator[tuple[str, int]]:
        return (("S" * 200 + str(number), number) for number in range(50_000))

    for respond in (csv_response, xlsx_response):
        tracemalloc.start()
        size = sum(map(len, _iterate(respond("x", ("Sale", "Units"), rows()))))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size > 100_000
        assert peak < 8 * 1024 * 1024


def test_a_full_sheet_goes_on_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "_SHEET_ROWS_MAX", 3)
    workbook = body(xlsx_response("x", ("N",), [(number,) for number in range(5)]))
    assert [cells(workbook, sheet) for sheet in (1, 2, 3)] == [
        [["N"], ["0"], ["1"]],
        [["N"], ["2"], ["3"]],
        [["N"], ["4"]],
    ]


def _iterate(response: StreamingResponse) -> Iterator[bytes]:
    iterator = response.body_iterator

    async def step() -> bytes | None:
        return await anext(iterator, None)  # type: ignore[arg-type,return-value]

    with asyncio.Runner() as runner:
        while (piece := runner.run(step())) is not None:
            yield piece
