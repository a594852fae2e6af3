"""Whether the ledger is what was booked: chain, sums and trial balance recomputed from the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.exc import MultipleResultsFound, NoResultFound

from services.payout import chain, ledger
from services.payout.chain import Head
from services.payout.ledger import Journal, Posting
from services.payout.tables import journals, postings

_TOLD = 20
"""How many differences are told one by one."""


class Audit(NamedTuple):
    """What a look at the whole ledger found. ``differences`` are sentences, in the order of the journals."""

    journals: int
    head: Head
    """Where the journals end."""
    balance: dict[str, int]
    """The trial balance: all postings of each currency, in minor units."""
    differences: list[str]


class _Booked(NamedTuple):
    """A journal as it stands in the database."""

    head: Head
    row: Row[Any]
    journal: Journal


def verify(connection: Connection, noted: Head | None = None) -> Audit:
    """Recompute everything. ``noted`` is a head from earlier: the ledger must still hold it."""
    found: list[str] = []
    last, count, held = chain.START, 0, noted in (None, chain.START)
    balance: defaultdict[str, int] = defaultdict(int)
    for booked in _journals(connection):
        found += _links(last, booked)
        found += _sums(booked)
        for posting in booked.journal.postings:
            balance[posting.currency] += posting.amount_minor
        held = held or booked.head == noted
        last, count = booked.head, count + 1
    found += _head(connection, last)
    if not held and noted is not None:
        found.append(f"journal {noted.sequence} is gone or is not the one that was noted")
    found += [f"the trial balance is {total} {currency} cents, not 0" for currency, total in balance.items() if total]
    if strays := _strays(connection):
        found.append(f"{strays} postings belong to no journal")
    if len(found) > _TOLD:
        found[_TOLD:] = [f"and {len(found) - _TOLD} more"]
    return Audit(count, last, dict(balance), found)


def _links(last: Head, booked: _Booked) -> Iterator[str]:
    number, row = booked.head.sequence, booked.row
    if number > last.sequence + 1:
        first, missing = last.sequence + 1, number - last.sequence - 1
        yield f"journal {first} is missing" if missing == 1 else f"journals {first} to {number - 1} are missing"
    elif chain.link(last.chain, number, row.key, row.booked_at, booked.journal.postings) != booked.head.chain:
        yield f"the chain breaks at journal {number} ({row.key}): it, or what is before it, is not what was booked"


def _head(connection: Connection, last: Head) -> Iterator[str]:
    try:
        told = chain.head(connection)
    except (NoResultFound, MultipleResultsFound):
        yield "the row that says where the ledger ends is gone, or not the only one"
        return
    if told.sequence != last.sequence:
        yield f"the ledger ends at journal {last.sequence}, and its head says that it ends at {told.sequence}"
    elif told != last:
        yield f"journal {last.sequence} is not the one that the ledger's head names"


def _sums(booked: _Booked) -> Iterator[str]:
    number, row = booked.head.sequence, booked.row
    try:
        ledger.check(booked.journal)
    except ledger.Unbalanced:
        yield f"the postings of journal {number} ({row.key}) do not sum to zero"
    if booked.journal.fingerprint != row.fingerprint:
        yield f"the postings of journal {number} ({row.key}) are not those of its fingerprint"


def _journals(connection: Connection) -> Iterator[_Booked]:
    rows = connection.execute(
        select(journals, postings.c.account, postings.c.amount_minor, postings.c.currency)
        .join(postings, postings.c.journal == journals.c.key, isouter=True)
        .order_by(journals.c.sequence, journals.c.key, postings.c.position)
        .execution_options(yield_per=1000)
    )
    for (_, key), group in groupby(rows, key=attrgetter("sequence", "key")):
        own = list(group)
        lines = tuple(Posting(row.account, row.amount_minor, row.currency) for row in own if row.account is not None)
        yield _Booked(Head(own[0].sequence, own[0].chain), own[0], Journal(key, lines))


def _strays(connection: Connection) -> int:
    return connection.execute(
        select(func.count())
        .select_from(postings)
        .join(journals, journals.c.key == postings.c.journal, isouter=True)
        .where(journals.c.key.is_(None))
    ).scalar_one()
