"""What a bank's message says, as far as we need it, in plain records. Money is minor units beside its currency."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple


class Refused(ValueError):
    """The file is none of the bank's answers, or can't be read. The text is fit for an operator."""


class Verdict(NamedTuple):
    """A status of ISO's list (ACCP, RJCT …) and, where the bank refuses, its code (AC04 …)."""

    status: str
    reason: str | None = None


class Transaction(NamedTuple):
    """What a status report says of one payment."""

    end_to_end_id: str
    verdict: Verdict


class Batch(NamedTuple):
    """What it says of one batch (PmtInf) of our file, and of single payments in it."""

    batch_id: str
    verdict: Verdict
    transactions: Sequence[Transaction]


class StatusReport(NamedTuple):
    """A pain.002: what it says of the whole of our file ``original_id``, and of its parts."""

    message_id: str
    original_id: str
    verdict: Verdict
    batches: Sequence[Batch]


class Line(NamedTuple):
    """A movement of the account, or a part of one: what a single payment made of it."""

    position: str
    """Where in the statement it stands."""
    end_to_end_id: str
    """Empty if the bank names no single payment."""
    batch_id: str
    """Our batch or file, where the bank gives only the sum of a batch; empty otherwise."""
    debit: bool
    amount_minor: int
    """At least 0; which way it went is ``debit``."""
    currency: str
    booked_on: date | None
    valued_on: date | None
    reference: str
    """The bank's own reference of the movement; may be empty."""
    returned: bool = False
    """A credit that says it is money coming back, or the reversal of a debit."""
    reason: str | None = None
    """Why it came back, as a code."""
    problem: str | None = None
    """Why the line can't be relied on, or None."""


class Statement(NamedTuple):
    """A statement (or notice, or report) of one account."""

    kind: str
    """camt.052, camt.053 or camt.054."""
    account: str
    """A code that stands for the account; it can't be turned back into an IBAN."""
    statement_id: str
    sequence: int | None
    day: date | None
    opening_minor: int | None
    closing_minor: int | None
    net_minor: int
    """The sum of all booked movements in it."""
    currency: str
    lines: Sequence[Line]


class Answer(NamedTuple):
    """One file from the bank."""

    kind: str
    message_id: str
    reports: Sequence[StatusReport] = ()
    statements: Sequence[Statement] = ()
