"""The ledger as a table for a spreadsheet. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from services.payout.books.period import Entry, partner_of
from services.payout.spreadsheet import decimal, line

COLUMNS = {
    "journal": "number of the journal; counts up without a gap",
    "date": "its day, programme time",
    "instant": "its instant, UTC",
    "key": "what it books: an obligation, a payment, …",
    "line": "number of the posting within the journal, from 1",
    "account": "the account",
    "partner": "whose account it is, if a partner's",
    "debit": "amount, if it debits the account",
    "credit": "amount, if it credits the account",
    "currency": "of the amount",
    "chain": "hash over this journal and all before it",
}
"""The columns, and what each says."""


def text(entries: Iterable[Entry]) -> Iterator[str]:
    """The lines of the file, one a posting."""
    yield line(COLUMNS)
    for entry in entries:
        for number, posting in enumerate(entry.postings, 1):
            yield line(
                (
                    *(entry.sequence, entry.day.isoformat(), entry.at.isoformat(timespec="milliseconds"), entry.key),
                    *(number, posting.account, partner_of(posting.account) or ""),
                    decimal(posting.amount_minor) if posting.amount_minor > 0 else "",
                    decimal(-posting.amount_minor) if posting.amount_minor < 0 else "",
                    *(posting.currency, entry.chain),
                )
            )
