"""Remembers what a file has already said, so that memory stays flat however long the file is."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import NamedTuple

from schemas.events import SaleReturned, content_hash
from services.intake.rows import Report


class Met(NamedTuple):
    """An earlier row with the same identity."""

    line: int
    same: bool
    """Whether it said the same."""


class Found(NamedTuple):
    """How the rows of a file compare with what was reported before."""

    new: int
    known: int
    conflicting: int


class Seen:
    """The reports of one file, by identity and content. Kept in a temporary database that spills to disk."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute(
            "CREATE TABLE seen (identity BLOB PRIMARY KEY, content TEXT, line INTEGER, found INTEGER DEFAULT 0)"
            " WITHOUT ROWID"
        )
        self._database.execute("BEGIN")

    def meet(self, report: Report, line: int) -> Met | None:
        """Remember a report. Answers the earlier row with the same identity, if there was one."""
        identity, content = _identity(report), content_hash(report)
        added = self._database.execute(
            "INSERT OR IGNORE INTO seen (identity, content, line) VALUES (?, ?, ?)", (identity, content, line)
        )
        if added.rowcount:
            return None
        found_content, found_line = self._database.execute(
            "SELECT content, line FROM seen WHERE identity = ?", (identity,)
        ).fetchone()
        return Met(found_line, found_content == content)

    def compare(self, earlier: Report) -> None:
        """Take note of a report that was made before this file."""
        self._database.execute(
            "UPDATE seen SET found = max(found, CASE content WHEN ? THEN 2 ELSE 1 END) WHERE identity = ?",
            (content_hash(earlier), _identity(earlier)),
        )

    def found(self) -> Found:
        """How many of the file's reports are new, known, or say something else than what was reported before."""
        counts = dict(self._database.execute("SELECT found, count(*) FROM seen GROUP BY found"))
        return Found(new=counts.get(0, 0), known=counts.get(2, 0), conflicting=counts.get(1, 0))

    def close(self) -> None:
        """Forget all of it."""
        self._database.close()


def _identity(report: Report) -> bytes:
    own = ("return", report.return_id) if isinstance(report, SaleReturned) else ("sale", "")
    return hashlib.blake2b("\x1f".join((*own, report.partner_id, report.sale_id)).encode(), digest_size=16).digest()
