"""Reads CSV files as they come out of other people's systems: line by line, so that a broken row ruins itself only.

A row is one physical line. A line break inside quotes has no meaning in any of our formats, and taking it for one would
let a single forgotten quote swallow the rest of the file.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Generic, NamedTuple, TypeVar

from deploy.runtime.errors import UsageError

LINE_LENGTH_MAX = 100_000
REJECT_COLUMNS = ("code", "message", "hint")
"""What a rejects file has beside the original columns. Accepted and ignored, so that it can be imported when mended."""
_RAW_LENGTH_KEPT = 500
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
T = TypeVar("T")


class Columns(NamedTuple):
    """The columns of a kind of file. ``optional`` ones may be missing from the header."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


class Refused(ValueError):
    """A row does not say what it must. ``code`` is fit for counting, ``hint`` tells how to mend the row."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Row(NamedTuple, Generic[T]):
    """A row that was understood: its line number, its cells as they stand in the file, and what they mean."""

    line: int
    cells: tuple[str, ...]
    value: T


class Refusal(NamedTuple):
    """A row that was not. ``cells`` holds the whole line in its first cell if the line could not be split."""

    line: int
    cells: tuple[str, ...]
    code: str
    message: str
    hint: str

    @classmethod
    def of(cls, line: int, cells: tuple[str, ...], refused: Refused) -> Refusal:
        """The refusal of a row for this reason."""
        return cls(line, cells, refused.code, refused.message, refused.hint)


class Sheet:
    """An open CSV file whose header is known to be good. ``path`` may be ``-`` for standard input.

    UTF-8 with or without a byte order mark; the delimiter, ``,`` or ``;``, is the one that the header uses.
    Raises UsageError if the file can't be read or its header names other columns than it should.
    """

    def __init__(self, path: str, columns: Columns) -> None:
        self._file = _open(path)
        header = self._file.readline(LINE_LENGTH_MAX).rstrip("\n")
        self.delimiter = ";" if header.count(";") > header.count(",") else ","
        self._header = _read_header(header, self.delimiter, columns, path)
        self.columns = tuple(name for name in self._header if name not in REJECT_COLUMNS)

    def rows(self, read: Callable[[Mapping[str, str]], T]) -> Iterator[Row[T] | Refusal]:
        """Each row as ``read`` understands it, or refused. Blank lines are no rows."""
        for number, line in self._lines():
            cells: tuple[str, ...] = (line[:_RAW_LENGTH_KEPT], *[""] * (len(self.columns) - 1))
            try:
                found = self._split(line)
                if not any(cell.strip() for cell in found.values()):
                    continue
                cells = tuple(found[name] for name in self.columns)
                if _NOT_UTF8.search(line):
                    raise Refused("not-utf8", "the row is not UTF-8", "save the file as CSV UTF-8")
                value = read({name: cell.strip() for name, cell in found.items()})
            except Refused as refused:
                yield Refusal.of(number, cells, refused)
            else:
                yield Row(number, cells, value)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _lines(self) -> Iterator[tuple[int, str]]:
        number = 1
        while line := self._file.readline(LINE_LENGTH_MAX):
            number += 1
            start = line
            while len(line) == LINE_LENGTH_MAX and not line.endswith("\n"):  # too long: passed over piece by piece
                line = self._file.readline(LINE_LENGTH_MAX)
            yield number, start.rstrip("\n")

    def _split(self, line: str) -> dict[str, str]:
        if len(line) >= LINE_LENGTH_MAX:
            raise Refused("line-too-long", f"the line is longer than {LINE_LENGTH_MAX} characters", "")
        try:
            cells = next(csv.reader((line,), delimiter=self.delimiter, strict=True), [])
        except csv.Error:
            raise Refused(
                "quotes", "the quotes on this line don't match", "a cell ends on the line on which it begins"
            ) from None
        wanted = len(self._header)
        if any(cell.strip() for cell in cells[wanted:]):
            hint = f'put a cell that holds a "{self.delimiter}" in double quotes'
            raise Refused("too-many-cells", f"{len(cells)} cells instead of {wanted}", hint)
        return dict(zip(self._header, cells + [""] * (wanted - len(cells)), strict=False))


def _open(path: str) -> io.TextIOWrapper:
    try:
        binary: BinaryIO = sys.stdin.buffer if path == "-" else Path(path).open("rb")  # noqa: SIM115  # Sheet closes it
        start = binary.peek(4)[:4]  # type: ignore[attr-defined]  # both are BufferedReaders
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror}") from None
    if start.startswith((b"\xff\xfe", b"\xfe\xff", b"PK\x03\x04")):
        kind = "an Excel workbook" if start.startswith(b"PK") else "UTF-16 text"
        raise UsageError(f"{path} is {kind}", "save it as CSV UTF-8")
    # Bytes that are not UTF-8 are carried along, so that only the rows that hold them are refused.
    return io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape")


def _read_header(line: str, delimiter: str, columns: Columns, path: str) -> tuple[str, ...]:
    wanted = f"the first line must name the columns: {','.join([*columns.required])}"
    try:
        found = tuple(cell.strip() for cell in next(csv.reader((line,), delimiter=delimiter), []))
    except csv.Error:
        raise UsageError(f"the header of {path} can't be read", wanted) from None
    while found and not found[-1]:
        found = found[:-1]
    known = {*columns.required, *columns.optional, *REJECT_COLUMNS}
    missing = [name for name in columns.required if name not in found]
    unknown = [name for name in found if name not in known]
    twice = sorted({name for name in found if found.count(name) > 1})
    if not (missing or unknown or twice):
        return found
    if not set(found) & known:
        raise UsageError(f"{path} has no header", wanted)
    faults = []
    for name in unknown:
        near = difflib.get_close_matches(name, known, 1)
        faults.append(f"unknown column {name[:40]!r}" + (f" (did you mean {near[0]}?)" if near else ""))
    faults += [f"missing column {name}" for name in missing] + [f"column {name} is there twice" for name in twice]
    raise UsageError(f"the header of {path}: {'; '.join(faults)}", wanted)
