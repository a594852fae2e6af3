"""Beancount's text: accounts, an opening entry, the journals, and the balances that it then checks itself. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from deploy.runtime.errors import StaffelError
from services.payout import ledger
from services.payout.books.period import Entry, Period, partner_of

_NAMES = {
    ledger.EXPENSE: "Expenses:Rebate",
    ledger.IN_TRANSIT: "Assets:Bank:InTransit",
    # Not Assets:Bank: a balance there would be the sum of both.
    "asset:bank": "Assets:Bank:Account",
}
_ROOTS = {"asset": "Assets", "liability": "Liabilities", "expense": "Expenses", "income": "Income"}
_PARTNERS = "Liabilities:Payable:P-"
_ESCAPES = {"-": "--", ".": "-d", "_": "-u"}
_MEANINGS = {escape[1]: character for character, escape in _ESCAPES.items()}


def account_name(account: str) -> str:
    """Beancount's name for an account of ours. Only letters, digits and ``-`` are allowed in one.

    A partner's is ``Liabilities:Payable:P-`` and his id with ``--`` for ``-``, ``-d`` for ``.`` and ``-u`` for ``_``.
    """
    partner_id = partner_of(account)
    if partner_id is not None:
        return _PARTNERS + "".join(_ESCAPES.get(character, character) for character in partner_id)
    if account in _NAMES:
        return _NAMES[account]
    root, *rest = account.split(":")
    if root not in _ROOTS:
        raise StaffelError(f"beancount has no kind of account for {account}")
    parts = ["".join(c if c.isalnum() else "-" for c in part).strip("-").capitalize() for part in rest]
    return ":".join([_ROOTS[root], *parts])


def partner_in(name: str) -> str:
    """The partner's id in an account's name. Raises ValueError for the name of another account."""
    if not name.startswith(_PARTNERS):
        raise ValueError(f"{name} is no partner's account")
    characters = iter(name.removeprefix(_PARTNERS))
    return "".join(_MEANINGS[next(characters)] if c == "-" else c for c in characters)


def text(
    programme: str, period: Period, opening: Mapping[tuple[str, str], int], entries: Iterable[Entry]
) -> Iterator[str]:
    """The lines of the file."""
    day, opened = period.first, set[str]()
    held: defaultdict[tuple[str, str], int] = defaultdict(int, opening)
    yield f"; The rebate ledger from {period.first} to {period.last}, made by Staffel. Don't edit it: export it again."
    yield f'option "title" {_string(f"{programme}, rebate ledger")}'
    yield from _open([account for account, _ in opening], period, opened)
    if opening:
        yield ""
        yield f'{day} * "Opening balances"'
        yield from (_posting(account, amount, currency) for (account, currency), amount in opening.items())
    for entry in entries:
        yield from _open([posting.account for posting in entry.postings], period, opened)
        for posting in entry.postings:
            held[posting.account, posting.currency] += posting.amount_minor
        yield ""
        yield f"{entry.day} * {_string(entry.key)}"
        yield f"  journal: {entry.sequence}"
        yield f'  chain: "{entry.chain}"'
        yield from (_posting(posting.account, posting.amount_minor, posting.currency) for posting in entry.postings)
    yield ""
    after = period.last + timedelta(days=1)
    for (account, currency), amount in sorted(held.items()):
        yield f"{after} balance {account_name(account)}  {_amount(amount)} {currency}"


def _open(accounts: Iterable[str], period: Period, opened: set[str]) -> Iterator[str]:
    fresh = [account for account in dict.fromkeys(accounts) if account not in opened]
    opened.update(fresh)
    if fresh:
        yield ""
    for account in fresh:
        yield f"{period.first} open {account_name(account)}"
        yield f"  ledger: {_string(account)}"


def _posting(account: str, amount_minor: int, currency: str) -> str:
    return f"  {account_name(account)}  {_amount(amount_minor)} {currency}"


def _amount(minor: int) -> str:
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"


def _string(content: str) -> str:
    return json.dumps(content, ensure_ascii=False)
