"""Writes the journals of a period into files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from deploy.runtime.errors import UsageError
from services.payout import chain
from services.payout.books import Format, beancount, chart, datev, earlier, period, table
from services.payout.books.chart import Chart
from services.payout.books.earlier import Late
from services.payout.books.period import Entry, Period
from services.payout.chain import Head
from services.payout.database import snapshot
from services.payout.spreadsheet import CRLF, Written, write
from streams.rules.terms import Programme


class Exported(NamedTuple):
    """What was written, and up to where the ledger went then."""

    files: list[Written]
    journals: int
    head: Head
    late: list[Late]
    """Other periods that were exported before and have changed since."""


def export(
    engine: Engine,
    programme: Programme,
    chosen: Format,
    wanted: Period,
    out: Path,
    now: datetime,
    numbers: Chart | None = None,
) -> Exported:
    """Write the journals of a period. DATEV's file needs ``numbers``, and a further one for every 99,999 bookings.

    Gives partners that appear in DATEV's file for the first time an account there. Raises UsageError for a period
    that DATEV can't have in one file.
    """
    partners: dict[str, int] = {}
    if chosen is Format.DATEV and numbers is not None:
        _refuse_two_years(numbers, wanted)
        with engine.begin() as connection:
            partners = chart.assign(connection, period.accounts(connection, programme, wanted))
    with snapshot(engine) as connection:
        counted = _Counted(period.entries(connection, programme, wanted))
        if chosen is Format.DATEV and numbers is not None:
            written = _datev(numbers, partners, wanted, counted, out)
        else:
            written = [write(out, *_plain(connection, programme, chosen, wanted, counted))]
        head = chain.head(connection)
    with engine.begin() as connection:
        earlier.remember(connection, chosen, wanted, head.sequence, now)
        return Exported(written, counted.number, head, earlier.late(connection, programme, chosen))


class _Counted:
    """Entries, counted as they pass."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries
        self.number = 0

    def __iter__(self) -> Iterator[Entry]:
        for entry in self._entries:
            self.number += 1
            yield entry


def _plain(
    connection: Connection, programme: Programme, chosen: Format, wanted: Period, entries: Iterable[Entry]
) -> tuple[Iterable[str], str, str]:
    if chosen is Format.CSV:
        return table.text(entries), "utf-8-sig", CRLF
    before = period.opening(connection, programme, wanted.first)
    return beancount.text(programme.name, wanted, before, entries), "utf-8", "\n"


def _datev(
    numbers: Chart, partners: dict[str, int], wanted: Period, entries: Iterable[Entry], out: Path
) -> list[Written]:
    lines = datev.rows(iter(entries), lambda account: numbers.number_of(account, partners))
    written = []
    for place, batch in enumerate(datev.batches(lines), 1):
        path = out if place == 1 else out.with_stem(f"{out.stem}-{place}")
        written.append(write(path, [datev.header(numbers, wanted), datev.columns(), *batch], "cp1252", CRLF))
    return written


def _refuse_two_years(numbers: Chart, wanted: Period) -> None:
    begins = numbers.fiscal_year(wanted.last)
    if wanted.first < begins:
        raise UsageError(
            f"the period crosses the start of a fiscal year, {begins}: DATEV's dates have no year",
            "export up to that day, and from it, on their own",
        )
