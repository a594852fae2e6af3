"""Lists as files: CSV as it is made, row by row, and XLSX. No cell is taken for a formula, whoever wrote it."""

from __future__ import annotations

import codecs
import csv
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import IO, Any

import xlsxwriter
from babel.numbers import get_currency_precision
from starlette.responses import StreamingResponse

from services.kit.spreadsheet import plain

Cell = str | int | Decimal | date | datetime | None
"""What a cell may hold. An instant is written as the time of day in the zone that it carries."""
Rows = Iterable[Sequence[Cell]]

_CSV = "text/csv; charset=utf-8"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_PIECE = 64 * 1024
_SHEET_ROWS_MAX = 1_048_576
_CELL_LENGTH_MAX = 32_767
_SPOOLED = 4 * 1024 * 1024
"""Up to here a workbook is kept in memory, from here on in a file without a name."""


def csv_response(name: str, header: Sequence[str], rows: Rows) -> StreamingResponse:
    """A CSV file to be saved as ``name.csv``: UTF-8 with a mark, semicolons and decimal commas, as spreadsheets in
    most of the programme's countries want them. ``rows`` are read while the answer is on its way."""
    return StreamingResponse(_csv(header, rows), headers=_saved_as(f"{name}.csv"), media_type=_CSV)


def xlsx_response(name: str, header: Sequence[str], rows: Rows) -> StreamingResponse:
    """The same as a workbook ``name.xlsx``, with real numbers and dates. Blocks until all rows are read, and needs no
    more memory for many rows than for few: call it from a thread."""
    return StreamingResponse(_pieces(_workbook(header, rows)), headers=_saved_as(f"{name}.xlsx"), media_type=_XLSX)


def major(minor: int, currency: str) -> Decimal:
    """An amount of minor units as a cell."""
    return Decimal(minor).scaleb(-get_currency_precision(currency))


def _saved_as(file_name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{file_name}"'}


def _csv(header: Sequence[str], rows: Rows) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=";", lineterminator="\r\n")
    yield codecs.BOM_UTF8
    writer.writerow(map(plain, header))
    for row in rows:
        writer.writerow(map(_text, row))
        if buffer.tell() >= _PIECE:
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    piece = buffer.getvalue().encode("utf-8", "replace")
    buffer.seek(0)
    buffer.truncate()
    return piece


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return plain(cell)
        case Decimal():
            return f"{cell:f}".replace(".", ",")
        case datetime():
            return cell.replace(tzinfo=None).isoformat(" ", "seconds")
    return str(cell)


def _workbook(header: Sequence[str], rows: Rows) -> IO[bytes]:
    """The workbook as an open file, at its start."""
    file = tempfile.SpooledTemporaryFile(max_size=_SPOOLED)  # noqa: SIM115  # closed by whoever sends it
    book = xlsxwriter.Workbook(file, {"constant_memory": True})
    bold = book.add_format({"bold": True})
    formats = {
        Decimal: book.add_format({"num_format": "#,##0.00"}),
        date: book.add_format({"num_format": "yyyy-mm-dd"}),
        datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
    }
    sheet, number = _new_sheet(book, header, bold), 0
    for row in rows:
        number += 1
        if number == _SHEET_ROWS_MAX:  # a sheet holds no more: the next one goes on
            sheet, number = _new_sheet(book, header, bold), 1
        for column, cell in enumerate(row):
            _put(sheet, number, column, cell, formats)
    book.close()
    file.seek(0)
    return file


def _new_sheet(book: Any, header: Sequence[str], bold: Any) -> Any:
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    for column, title in enumerate(header):
        sheet.set_column(column, column, max(12, min(40, len(title) + 2)))
        sheet.write_string(0, column, title, bold)
    return sheet


def _put(sheet: Any, row: int, column: int, cell: Cell, formats: dict[type, Any]) -> None:
    match cell:
        case None:
            pass
        case str():
            sheet.write_string(row, column, cell[:_CELL_LENGTH_MAX])  # never a formula, never a link
        case datetime():
            sheet.write_datetime(row, column, cell.replace(tzinfo=None), formats[datetime])
        case date():
            sheet.write_datetime(row, column, cell, formats[date])
        case Decimal():
            sheet.write_number(row, column, cell, formats[Decimal])
        case _:
            sheet.write_number(row, column, cell)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
