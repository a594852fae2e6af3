"""The journals of a period, in the order in which they were booked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select

from services.payout import ledger
from services.payout.ledger import Posting
from services.payout.tables import journals, postings
from streams.rules.terms import Programme

_DAY = timedelta(days=1)


class Period(NamedTuple):
    """Days of the programme's calendar, the last one included."""

    first: date
    last: date


class Entry(NamedTuple):
    """A journal, as booked."""

    sequence: int
    key: str
    at: datetime
    day: date
    chain: str
    postings: tuple[Posting, ...]


def entries(connection: Connection, programme: Programme, period: Period) -> Iterator[Entry]:
    """The journals booked on these days."""
    rows = connection.execute(
        select(journals, postings.c.account, postings.c.amount_minor, postings.c.currency)
        .join(postings, postings.c.journal == journals.c.key)
        .where(*_within(programme, period))
        .order_by(journals.c.sequence, postings.c.position)
        .execution_options(yield_per=1000)
    )
    for _, group in groupby(rows, key=attrgetter("sequence")):
        own = list(group)
        row = own[0]
        lines = tuple(Posting(row.account, row.amount_minor, row.currency) for row in own)
        day = row.booked_at.astimezone(programme.zone).date()
        yield Entry(row.sequence, row.key, row.booked_at, day, row.chain, lines)


def opening(connection: Connection, programme: Programme, day: date) -> dict[tuple[str, str], int]:
    """What each account and currency held when a day began, in the order of their names, without the empty ones."""
    total = func.sum(postings.c.amount_minor)
    rows = connection.execute(
        select(postings.c.account, postings.c.currency, total)
        .join(journals, journals.c.key == postings.c.journal)
        .where(journals.c.booked_at < programme.starts_at(day))
        .group_by(postings.c.account, postings.c.currency)
        .having(total != 0)
    )
    return {(account, currency): int(held) for account, currency, held in sorted(map(tuple, rows))}


def accounts(connection: Connection, programme: Programme, period: Period) -> list[str]:
    """The accounts that journals of a period touch, in the order in which they first do."""
    first: Any = func.min(journals.c.sequence).label("first")
    rows = connection.execute(
        select(postings.c.account, first)
        .join(journals, journals.c.key == postings.c.journal)
        .where(*_within(programme, period))
        .group_by(postings.c.account)
    )
    return [account for account, _ in sorted(rows, key=lambda row: (row.first, row.account))]


def partner_of(account: str) -> str | None:
    """The partner whose account it is, if it is one's."""
    prefix = ledger.payable("")
    return account.removeprefix(prefix) if account.startswith(prefix) else None


def booked_since(connection: Connection, programme: Programme, period: Period, sequence: int) -> int:
    """How many journals were booked into these days after the one with this number."""
    return connection.execute(
        select(func.count()).select_from(journals).where(*_within(programme, period), journals.c.sequence > sequence)
    ).scalar_one()


def _within(programme: Programme, period: Period) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (
        journals.c.booked_at >= programme.starts_at(period.first),
        journals.c.booked_at < programme.starts_at(period.last + _DAY),
    )
