"""Double entry. Amounts are signed minor units: above zero debits an account, below zero credits it.

A journal's postings sum to zero in each currency. It is known by its key: booking the same again does nothing, booking
something else under a known key is an error. Nothing is ever changed; a correction is another journal. Each hangs on
the one before it (``services.payout.chain``), so that a change behind our back shows.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select

from deploy.runtime.errors import StaffelError
from services.payout import chain
from services.payout.chunks import chunks
from services.payout.tables import journals, postings

EXPENSE = "expense:rebate"
IN_TRANSIT = "asset:bank:in_transit"
BANK = "asset:bank"
_PAYABLE = "liability:payable:"


class Unbalanced(ValueError):
    """The postings of a journal don't sum to zero."""


class KeyReused(StaffelError):
    """A journal with this key was booked before and says something else."""


class Posting(NamedTuple):
    """One line of a journal."""

    account: str
    amount_minor: int
    currency: str


class Journal(NamedTuple):
    """Postings that belong together. ``key`` names the fact that is booked, and never another one."""

    key: str
    postings: tuple[Posting, ...]
    reverses: str | None = None
    """Key of the journal that this one takes back."""

    @property
    def fingerprint(self) -> str:
        """Hash of what is booked."""
        return hashlib.sha256(json.dumps(self.postings).encode()).hexdigest()


def payable(partner_id: str) -> str:
    """The account of what is owed to a partner."""
    return _PAYABLE + partner_id


def transfer(key: str, debit: str, credit: str, amount_minor: int, currency: str) -> Journal:
    """A journal between two accounts. An amount below zero goes the other way."""
    return Journal(key, (Posting(debit, amount_minor, currency), Posting(credit, -amount_minor, currency)))


def check(journal: Journal) -> None:
    """Raise Unbalanced unless the postings sum to zero in each currency, and none is empty."""
    sums: defaultdict[str, int] = defaultdict(int)
    for posting in journal.postings:
        sums[posting.currency] += posting.amount_minor
    if not journal.postings or any(sums.values()):
        raise Unbalanced(f"journal {journal.key} is out of balance: {dict(sums)}")


def book(connection: Connection, entries: Sequence[Journal], at: datetime) -> int:
    """Write journals; returns how many were new. Raises Unbalanced or KeyReused, and then nothing must be committed.

    From here to the end of the transaction nobody else can book: lock whatever rows it needs before.
    """
    if not entries:
        return 0
    before = head = chain.locked(connection)
    for chunk in chunks(entries):
        fresh = _unknown(connection, chunk)
        if not fresh:
            continue
        rows = []
        for journal in fresh:
            head = chain.after(head, journal.key, at, journal.postings)
            rows.append(
                {
                    "key": journal.key,
                    "fingerprint": journal.fingerprint,
                    "booked_at": at,
                    "reverses": journal.reverses,
                    **head._asdict(),
                }
            )
        connection.execute(insert(journals), rows)
        connection.execute(
            insert(postings),
            [
                {"journal": journal.key, "position": position, **posting._asdict()}
                for journal in fresh
                for position, posting in enumerate(journal.postings)
            ],
        )
    chain.move(connection, head)
    return head.sequence - before.sequence


def reverse(connection: Connection, key: str, new_key: str, at: datetime) -> None:
    """Take a journal back by one with the opposite postings, once.

    Raises LookupError if there is none of this key, Unbalanced if it takes back another one itself; the database
    refuses a second reversal under another key.
    """
    booked = connection.execute(
        select(postings.c.account, postings.c.amount_minor, postings.c.currency, journals.c.reverses)
        .join(journals, journals.c.key == postings.c.journal)
        .where(postings.c.journal == key)
        .order_by(postings.c.position)
    ).all()
    if not booked:
        raise LookupError(f"the ledger holds no {key}")
    if booked[0].reverses is not None:
        raise Unbalanced(f"{key} takes back {booked[0].reverses}; book the original anew instead")
    opposite = tuple(Posting(row.account, -row.amount_minor, row.currency) for row in booked)
    book(connection, [Journal(new_key, opposite, key)], at)


def trial_balance(connection: Connection) -> dict[str, int]:
    """The sum of all postings in each currency: zero, or the ledger was tampered with."""
    rows = connection.execute(
        select(postings.c.currency, func.sum(postings.c.amount_minor)).group_by(postings.c.currency)
    )
    return {currency: int(total) for currency, total in rows}


def balances(connection: Connection) -> dict[tuple[str, str], int]:
    """The balance of every account and currency."""
    rows = connection.execute(
        select(postings.c.account, postings.c.currency, func.sum(postings.c.amount_minor)).group_by(
            postings.c.account, postings.c.currency
        )
    )
    return {(account, currency): int(total) for account, currency, total in rows}


def owed(connection: Connection, partner_id: str) -> dict[str, int]:
    """What is owed to a partner by currency, where that is not zero; below zero he owes it."""
    rows = connection.execute(
        select(postings.c.currency, func.sum(postings.c.amount_minor))
        .where(postings.c.account == payable(partner_id))
        .group_by(postings.c.currency)
    )
    return {currency: -int(amount) for currency, amount in rows if amount}


def _unknown(connection: Connection, entries: Sequence[Journal]) -> list[Journal]:
    wanted: dict[str, Journal] = {}
    for journal in entries:
        check(journal)
        _refuse_reuse(journal, wanted.setdefault(journal.key, journal).fingerprint)
    known = connection.execute(select(journals.c.key, journals.c.fingerprint).where(journals.c.key.in_(wanted)))
    for key, fingerprint in known:
        _refuse_reuse(wanted.pop(key), fingerprint)
    return list(wanted.values())


def _refuse_reuse(journal: Journal, fingerprint: str) -> None:
    if journal.fingerprint != fingerprint:
        raise KeyReused(
            f"the ledger holds {journal.key} with other content", "nothing was booked; look into the ledger"
        )
