"""What every import has in common: rows are taken one by one, refused ones are told and kept, and all are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from services.intake.rejects import Rejects
from services.kit.csvfile import Refusal, Refused, Row, Sheet

PROGRESS_EVERY = 500
T = TypeVar("T")


def _ignore(_: Any) -> None:
    return None


class Request(NamedTuple):
    """What the user asked for. ``path`` may be ``-``; ``rejects`` is where refused rows go; both callables are told
    what happens as it happens: a refused row, and every few hundred rows their number so far."""

    path: str
    dry_run: bool = False
    rejects: Path | None = None
    on_refusal: Callable[[Refusal], None] = _ignore
    on_rows: Callable[[int], None] = _ignore


class Summary:
    """How an import went: rows by outcome, refused rows by code. A dry run's says what the real run's would say."""

    def __init__(self, kind: str, request: Request, outcomes: tuple[str, ...]) -> None:
        self.kind, self.file, self.dry_run = kind, request.path, request.dry_run
        self.rows = 0
        self.outcomes: Counter[str] = Counter(dict.fromkeys(outcomes, 0))
        self.reasons: Counter[str] = Counter()

    @property
    def refused(self) -> int:
        """Number of refused rows."""
        return self.reasons.total()

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "kind": self.kind,
            "file": self.file,
            "dry_run": self.dry_run,
            "rows": self.rows,
            **self.outcomes,
            "refused": self.refused,
            "reasons": dict(sorted(self.reasons.items())),
        }


def take_rows(
    sheet: Sheet,
    rows: Iterable[Row[T] | Refusal],
    request: Request,
    summary: Summary,
    accept: Callable[[T, int], str],
) -> None:
    """Take all rows of the sheet. ``accept`` gets each good one and its line and answers the outcome to count, or
    raises Refused."""
    with Rejects(request.rejects, request.path, sheet) if request.rejects else nullcontext() as rejects:
        for found in rows:
            summary.rows += 1
            refusal = _accept(found, accept, summary) if isinstance(found, Row) else found
            if refusal is not None:
                summary.reasons[refusal.code] += 1
                request.on_refusal(refusal)
                if rejects is not None:
                    rejects.write(refusal)
            if summary.rows % PROGRESS_EVERY == 0:
                request.on_rows(summary.rows)
    request.on_rows(summary.rows)


def _accept(row: Row[T], accept: Callable[[T, int], str], summary: Summary) -> Refusal | None:
    try:
        outcome = accept(row.value, row.line)
    except Refused as refused:
        return Refusal.of(row.line, row.cells, refused)
    summary.outcomes[outcome] += 1
    return None
