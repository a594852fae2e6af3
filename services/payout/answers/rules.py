"""What a statement of the bank means for a payment, by the state that the payment is in. Pure.

The money decides. A debit settles a payment even if a report refused it, and a return that comes before its debit
implies it; so the order in which the bank's statements are read makes no difference to where a payment ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from services.payout.states import PaymentState, RunState


class Fact(StrEnum):
    """What the bank says of one payment."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DEBITED = "debited"
    RETURNED = "returned"


class Effect(StrEnum):
    """What is to be done."""

    NOTHING = "nothing"
    ACCEPT = "accept"
    REJECT = "reject"
    SETTLE = "settle"
    SETTLE_REJECTED = "settle-rejected"
    """The bank debited what it had refused: settle it, unless it was paid again since."""
    DATE = "date"
    """The debit of a payment that is back already: note its day."""
    RETURN = "return"
    RETURN_REJECTED = "return-rejected"
    """Money came back that was never taken, as far as we know: nothing is to be booked."""


class Unmatched(StrEnum):
    """Why a line or a status is left to somebody to look at."""

    UNKNOWN_PAYMENT = "unknown-payment"
    """It names a payment or a run of ours that is not in the database."""
    UNKNOWN_RETURN = "unknown-return"
    """Money came back, and the bank does not say of which payment."""
    NOT_RELEASED = "not-released"
    """It speaks of a payment that was never handed to the bank."""
    AMOUNT_DIFFERS = "amount-differs"
    CURRENCY_DIFFERS = "currency-differs"
    AMOUNT_UNREADABLE = "amount-unreadable"
    DETAILS_DIFFER = "details-differ"
    """The payments of a movement don't sum to the movement."""
    BATCH_DIFFERS = "batch-differs"
    """One debit for a whole batch that is not the sum of its payments."""
    TWICE = "twice"
    """A second debit, or a second return, of one payment."""
    REJECTED_AND_DEBITED = "rejected-and-debited"
    """The bank said that it refused a payment, and money moved."""
    DEBITED_AFTER_RETRY = "debited-after-retry"
    """The same, and the payment was made again since: it is paid twice."""
    CREDIT_UNEXPLAINED = "credit-unexplained"
    """A credit under our reference that does not say that it is a return."""
    REVERSAL = "reversal"
    """A debit that takes a credit back."""
    DUPLICATE = "duplicate"
    """The bank says that it has had this file or payment before; what it said then counts."""
    UNKNOWN_STATUS = "unknown-status"


ACCEPTING = frozenset({"ACCP", "ACTC", "ACSP", "ACSC", "ACWC", "ACCC", "ACFC", "PART"})
"""PART says it of those payments that the report does not name."""
UNDECIDED = frozenset({"", "RCVD", "PDNG"})

_P = PaymentState
_EFFECTS: dict[Fact, dict[PaymentState, Effect]] = {
    Fact.ACCEPTED: {_P.RELEASED: Effect.ACCEPT},
    Fact.REJECTED: {_P.RELEASED: Effect.REJECT, _P.ACCEPTED: Effect.REJECT},
    Fact.DEBITED: {
        _P.RELEASED: Effect.SETTLE,
        _P.ACCEPTED: Effect.SETTLE,
        _P.REJECTED: Effect.SETTLE_REJECTED,
        _P.RETURNED: Effect.DATE,
    },
    Fact.RETURNED: {
        _P.RELEASED: Effect.RETURN,
        _P.ACCEPTED: Effect.RETURN,
        _P.SETTLED: Effect.RETURN,
        _P.REJECTED: Effect.RETURN_REJECTED,
    },
}


def effect(state: PaymentState, fact: Fact) -> tuple[Effect, Unmatched | None]:
    """What follows from a fact for a payment in this state, and what somebody must look at."""
    if state in (_P.PREPARED, _P.VOID):
        return Effect.NOTHING, Unmatched.NOT_RELEASED
    moved = fact in (Fact.DEBITED, Fact.RETURNED) and state is _P.REJECTED
    if moved or (fact is Fact.REJECTED and state in (_P.SETTLED, _P.RETURNED)):
        return _EFFECTS[fact].get(state, Effect.NOTHING), Unmatched.REJECTED_AND_DEBITED
    return _EFFECTS[fact].get(state, Effect.NOTHING), None


def run_state(states: Iterable[PaymentState]) -> RunState:
    """Where a released run stands, by its payments."""
    found = set(states)
    if found == {_P.REJECTED}:
        return RunState.REJECTED
    if _P.REJECTED in found:
        return RunState.PARTLY
    return RunState.RELEASED if _P.RELEASED in found else RunState.ACCEPTED


class Mention(NamedTuple):
    """One place where the bank speaks of a debit or return of a payment. ``times`` counts which one it is, from 1."""

    kind: str
    account: str
    statement_id: str
    position: str
    reference: str
    booked_on: date | None
    times: int = 0


def which(known: Sequence[Mention], new: Mention) -> int:
    """Which debit (or return) of a payment a mention speaks of: one that is known, or the next.

    A notice and the statement speak of the same movement. One statement never speaks of it at two places.
    """
    elsewhere = [mention for mention in known if not _same_statement(mention, new)]
    beside = {mention.times for mention in known if _same_statement(mention, new)}
    for alike in (_same_reference, _same_day):
        for mention in elsewhere:
            if mention.times not in beside and alike(mention, new):
                return mention.times
    return max((mention.times for mention in known), default=0) + 1


def _same_statement(one: Mention, other: Mention) -> bool:
    return one[:3] == other[:3]


def _same_reference(one: Mention, other: Mention) -> bool:
    return bool(one.reference) and one.reference == other.reference


def _same_day(one: Mention, other: Mention) -> bool:
    # Two statements of one kind with two references speak of two movements; a notice may have a reference of its own.
    told_apart = one.kind == other.kind and one.reference and other.reference
    return not told_apart and one.booked_on == other.booked_on
