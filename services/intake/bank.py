"""Imports partners' bank details. They go to whoever keeps them, never to a topic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from services.intake import rows
from services.intake.importing import Request, Summary, take_rows
from services.intake.rows import BankDetails
from services.kit.csvfile import Refusal, Refused, Row, Sheet

REFUSED = "refused"


class Kept(NamedTuple):
    """What the keeper of bank details says to a row: ``new``, ``changed``, ``unchanged``, or ``refused`` and why."""

    result: str
    code: str = ""
    message: str = ""


Keep = Callable[[Sequence[BankDetails]], Iterable[Kept]]


def import_bank_details(request: Request, keep: Keep) -> Summary:
    """Import a file. ``keep`` enters all good rows in one step and answers one result each, in order; in a dry run it
    must only answer. Raises UsageError for a file or header that can't be read."""
    summary = Summary("bank-details", request, ("new", "changed", "unchanged", "repeated"))
    with closing(Sheet(request.path, rows.BANK_COLUMNS)) as sheet:
        taken = list(_without_repeats(sheet.rows(rows.bank_details)))
        fresh = [row.value for row in taken if isinstance(row, Row) and row.value is not None]
        answers = iter(keep(fresh))

        def accept(details: BankDetails | None, _line: int) -> str:
            if details is None:
                return "repeated"
            kept = next(answers)
            if kept.result == REFUSED:
                raise Refused(kept.code, kept.message, "correct the row")
            return kept.result

        take_rows(sheet, taken, request, summary, accept)
    return summary


def _without_repeats(found: Iterable[Row[BankDetails] | Refusal]) -> Iterator[Row[BankDetails | None] | Refusal]:
    """Rows that repeat an earlier one become None; those that contradict one are refused."""
    first: dict[str, Row[BankDetails]] = {}
    for row in found:
        if isinstance(row, Refusal):
            yield row
            continue
        earlier = first.setdefault(row.value.partner_id, row)
        if earlier is row:
            yield Row(row.line, row.cells, row.value)
        elif earlier.value == row.value:
            yield Row(row.line, row.cells, None)
        else:
            refused = Refused(
                "conflicting-duplicate",
                f"line {earlier.line} has the same partner and says something else",
                "decide which one is right and leave the other out",
            )
            yield Refusal.of(row.line, row.cells, refused)
