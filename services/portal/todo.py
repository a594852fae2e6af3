"""What is left for a partner to do, as the box on his page lists it. Pure.

Each thing leads to the page where it is done. What a later page needs of him is one more function here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from schemas.events import PayoutStatus
from services.kit.statements import Card

BANK_DETAILS = "/details"
"""The page on which he enters his bank details."""
_NEW_FOR = timedelta(days=14)
"""How long a statement counts as new."""
_NOT_ACCEPTED = "bank-details-invalid"


class Task(StrEnum):
    """What there is to do."""

    BANK_DETAILS = "bank-details"
    """Money is earned, and nobody knows where to pay it."""
    OTHER_BANK_DETAILS = "other-bank-details"
    """A bank did not take the money."""
    QUESTION = "question"
    """The vendor asked about sales that he had missed."""
    STATEMENT = "statement"
    """A statement was issued only just."""


class Todo(NamedTuple):
    """One thing to do."""

    task: Task
    link: str
    amount_minor: int
    currency: str
    number: str = ""
    """A statement's, or how many things there are."""


def todos(payouts: Iterable[Any], questions: int, statements: Sequence[Card], today: date) -> list[Todo]:
    """All that is to do, the most urgent first. ``payouts`` tell where the money of each obligation is now."""
    asked = [Todo(Task.QUESTION, "/claims", 0, "", str(questions))] if questions else []
    return [*_bank_details(payouts), *asked, *_statements(statements, today)]


def _bank_details(payouts: Iterable[Any]) -> list[Todo]:
    waiting = [payout for payout in payouts if payout.status == PayoutStatus.WAITING]
    amount_minor = sum(payout.amount_minor for payout in waiting)
    if amount_minor <= 0:
        return []
    refused = any(payout.reason == _NOT_ACCEPTED for payout in waiting)
    task = Task.OTHER_BANK_DETAILS if refused else Task.BANK_DETAILS
    return [Todo(task, BANK_DETAILS, amount_minor, waiting[0].currency)]


def _statements(statements: Sequence[Card], today: date) -> list[Todo]:
    return [
        Todo(Task.STATEMENT, f"/quarters#{max(card.quarters)}", card.amount_minor, card.currency, card.number)
        for card in statements
        if today - _NEW_FOR <= card.issued_on <= today
    ]
