"""Statements that don't follow one another: one is missing, or one lacks a movement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, select, update

from deploy.runtime.errors import StaffelError
from services.payout.tables import bank_statements


class Gap(NamedTuple):
    """What is missing, told by the statement that shows it. Amounts are minor units, signed."""

    statement_id: str
    day: date | None
    what: str
    """``statement-missing``, ``number-twice``, ``balance-differs`` or ``movement-missing``."""
    difference_minor: int
    currency: str


def gaps(connection: Connection) -> list[Gap]:
    """All gaps that nobody has cleared. One closes by itself when what was missing is read."""
    rows = connection.execute(
        select(bank_statements).order_by(
            bank_statements.c.account,
            bank_statements.c.day.nulls_first(),
            bank_statements.c.sequence.nulls_first(),
            bank_statements.c.statement_id,
        )
    ).all()
    return [gap for _, group in groupby(rows, key=lambda row: row.account) for gap in _of_account(list(group))]


def clear(engine: Engine, statement_id: str, because: str, at: datetime) -> None:
    """Somebody looked into the gap that a statement shows. Raises StaffelError if there is no such gap."""
    with engine.begin() as connection:
        if statement_id not in {gap.statement_id for gap in gaps(connection)}:
            raise StaffelError(f"no statement {statement_id} shows a gap", "see ./staffel bank status")
        connection.execute(
            update(bank_statements)
            .where(bank_statements.c.statement_id == statement_id)
            .values(cleared_at=at, because=because)
        )


def _of_account(rows: Sequence[Row[Any]]) -> Iterator[Gap]:
    for before, row in pairwise([None, *rows]):
        assert row is not None
        if row.cleared_at is None:
            yield from _within(row)
            if before is not None:
                yield from _between(before, row)


def _within(row: Row[Any]) -> Iterator[Gap]:
    if row.opening_minor is not None and row.closing_minor is not None:
        missing = row.closing_minor - row.opening_minor - row.net_minor
        if missing:
            yield Gap(row.statement_id, row.day, "movement-missing", missing, row.currency)


def _between(before: Row[Any], row: Row[Any]) -> Iterator[Gap]:
    what = _numbers(before, row)
    jump = 0
    if before.closing_minor is not None and row.opening_minor is not None:
        jump = row.opening_minor - before.closing_minor
    if what or jump:
        yield Gap(row.statement_id, row.day, what or "balance-differs", jump, row.currency)


def _numbers(before: Row[Any], row: Row[Any]) -> str | None:
    if before.sequence is None or row.sequence is None:
        return None
    new_year = row.sequence == 1 and before.day and row.day and row.day.year > before.day.year
    if row.sequence == before.sequence + 1 or new_year:
        return None
    return "number-twice" if row.sequence == before.sequence else "statement-missing"
