"""Where obligations, runs and payments stand; the package's docstring tells how they move."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where an obligation stands; the package's docstring says what each means."""

    RECORDED = "recorded"
    HELD = "held"
    WAITING = "waiting"
    PAYABLE = "payable"
    IN_PAYMENT = "in_payment"
    NETTED = "netted"
    PAID = "paid"
    RETURNED = "returned"


OPEN = (State.RECORDED, State.HELD, State.WAITING, State.PAYABLE, State.RETURNED)
"""States in which the money has not moved."""


class RunState(StrEnum):
    """Where a payment run stands."""

    DRAFT = "draft"
    APPROVED = "approved"
    RELEASED = "released"
    ACCEPTED = "accepted"
    PARTLY = "partly"
    REJECTED = "rejected"
    VOID = "void"


UNRELEASED = (RunState.DRAFT, RunState.APPROVED, RunState.VOID)
"""States of a run that nobody outside has seen."""


class RunKind(StrEnum):
    """What a run's file is."""

    SEPA = "sepa"
    """A pain.001."""
    CSV = "csv"
    """A list for accounts that SEPA does not reach."""


class PaymentState(StrEnum):
    """Where one payment of a run stands."""

    PREPARED = "prepared"
    """In a run that is not released yet: nothing is booked."""
    RELEASED = "released"
    ACCEPTED = "accepted"
    """The bank has said that it takes it; the money has not left yet."""
    SETTLED = "settled"
    """The account was debited."""
    REJECTED = "rejected"
    """The bank refused it: no money has moved."""
    RETURNED = "returned"
    """The money came back after it had left."""
    VOID = "void"
    """The run was given up before its release."""


BOOKED = (PaymentState.RELEASED, PaymentState.ACCEPTED, PaymentState.SETTLED)
"""States in which a payment takes from what is owed."""
