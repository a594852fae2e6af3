"""What follows from the bank's statements: payments, obligations and the ledger move on together, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, select, update

from services.payout import bank_details, ledger
from services.payout.answers.codes import WRONG_ACCOUNT
from services.payout.answers.rules import run_state
from services.payout.obligations import Move, look_again, move
from services.payout.recount import CLAWBACK
from services.payout.states import BOOKED, OPEN, PaymentState, State
from services.payout.tables import obligations, payments, runs, settlements


class Told(NamedTuple):
    """A payment, as its row was, and what the bank said of it."""

    payment: Row[Any]
    reason: str | None
    day: date | None
    """Value date of the money's movement, if it moved."""

    @property
    def id(self) -> str:
        """The payment's end-to-end id."""
        return str(self.payment.end_to_end_id)


def accept(connection: Connection, told: Sequence[Told]) -> None:
    """The bank takes them. No money has moved."""
    connection.execute(
        update(payments).where(payments.c.end_to_end_id.in_([t.id for t in told])).values(state=PaymentState.ACCEPTED)
    )


def reject(connection: Connection, told: Sequence[Told], at: datetime) -> None:
    """The bank does not make them: what was booked at their release is taken back and they are owed again."""
    for t in told:
        ledger.reverse(connection, f"payment:{t.id}", f"rejected:{t.id}", at)
    _change(connection, told, PaymentState.REJECTED)
    _reopen(connection, told, at)


def settle(connection: Connection, told: Sequence[Told], at: datetime) -> None:
    """The account was debited: they are paid."""
    ledger.book(connection, [_settled(t, ledger.IN_TRANSIT) for t in told], at)
    _change(connection, told, PaymentState.SETTLED)
    _pay(connection, told, at)


def settle_rejected(connection: Connection, told: Sequence[Told], at: datetime) -> None:
    """The account was debited although the bank had refused them. None may be ``paid_again``."""
    ledger.book(connection, [_settled(t, ledger.payable(t.payment.partner_id)) for t in told], at)
    _change(connection, told, PaymentState.SETTLED)
    ids = [t.id for t in told]
    covered = select(settlements.c.obligation_id).where(settlements.c.end_to_end_id.in_(ids))
    # A run that is prepared and not released may cover them by now. Without them its release is refused.
    connection.execute(update(settlements).where(settlements.c.obligation_id.in_(covered)).values(active=False))
    connection.execute(update(settlements).where(settlements.c.end_to_end_id.in_(ids)).values(active=True))
    _pay(connection, told, at)


def paid_again(connection: Connection, end_to_end_id: str) -> bool:
    """Whether something that a rejected payment covers has been paid or set off since."""
    other = settlements.alias()
    elsewhere = (
        select(settlements.c.obligation_id)
        .join(other, other.c.obligation_id == settlements.c.obligation_id)
        .join(payments, payments.c.end_to_end_id == other.c.end_to_end_id)
        .where(settlements.c.end_to_end_id == end_to_end_id, other.c.active, payments.c.state.in_(BOOKED))
    )
    gone = (
        select(settlements.c.obligation_id)
        .join(obligations, obligations.c.id == settlements.c.obligation_id)
        .where(settlements.c.end_to_end_id == end_to_end_id, obligations.c.state.not_in(OPEN))
    )
    return connection.execute(elsewhere.union(gone)).first() is not None


def date_debit(connection: Connection, told: Sequence[Told]) -> None:
    """The debit of payments that came back before it was read: only its day is new."""
    connection.execute(_PAYMENTS.values(settled_on=bindparam("day")), [{"of": t.id, "day": t.day} for t in told])


def give_back(connection: Connection, told: Sequence[Told], at: datetime) -> None:
    """The money came back: they are owed again."""
    unsettled = [t for t in told if t.payment.state != PaymentState.SETTLED]
    ledger.book(connection, [_settled(t, ledger.IN_TRANSIT) for t in unsettled], at)
    ledger.book(
        connection,
        [
            ledger.transfer(
                f"returned:{t.id}",
                ledger.BANK,
                ledger.payable(t.payment.partner_id),
                t.payment.amount_minor,
                t.payment.currency,
            )
            for t in told
        ],
        at,
    )
    _change(connection, told, PaymentState.RETURNED)
    _reopen(connection, told, at)


def give_back_rejected(connection: Connection, told: Sequence[Told], at: datetime) -> None:
    """Money came back that the bank had not taken, as far as we knew: it is owed already, nothing is booked."""
    _change(connection, told, PaymentState.RETURNED)
    _invalidate(connection, told, at)


def update_run(connection: Connection, msg_id: str) -> None:
    """Let a run stand where its payments do."""
    states = connection.execute(select(payments.c.state).where(payments.c.msg_id == msg_id).distinct()).scalars()
    now = run_state(PaymentState(state) for state in states)
    connection.execute(update(runs).where(runs.c.msg_id == msg_id).values(state=now))


_PAYMENTS = update(payments).where(payments.c.end_to_end_id == bindparam("of"))


def _change(connection: Connection, told: Sequence[Told], state: PaymentState) -> None:
    moved = {PaymentState.SETTLED: "settled_on", PaymentState.RETURNED: "returned_on"}.get(state)
    new = {"state": state, "reason": bindparam("why")} | ({moved: bindparam("day")} if moved else {})
    connection.execute(_PAYMENTS.values(new), [{"of": t.id, "why": t.reason, "day": t.day} for t in told])


def _settled(told: Told, debit: str) -> ledger.Journal:
    payment = told.payment
    return ledger.transfer(f"settled:{told.id}", debit, ledger.BANK, payment.amount_minor, payment.currency)


def _pay(connection: Connection, told: Sequence[Told], at: datetime) -> None:
    by_id = {t.id: t for t in told}
    moves = []
    for row in _covered(connection, list(by_id)):
        state, reason = (State.PAID, None) if row.amount_minor > 0 else (State.NETTED, CLAWBACK)
        if row.state != state:
            of = by_id[row.end_to_end_id]
            moves.append(Move(row, state, reason, of.payment.msg_id, of.id, of.day))
    move(connection, moves, at)


def _reopen(connection: Connection, told: Sequence[Told], at: datetime) -> None:
    by_id = {t.id: t for t in told}
    moves = [
        Move(row, State.RETURNED, by_id[row.end_to_end_id].reason, row.msg_id, row.end_to_end_id)
        for row in _covered(connection, list(by_id))
    ]
    connection.execute(update(settlements).where(settlements.c.end_to_end_id.in_(by_id)).values(active=False))
    move(connection, moves, at)
    _invalidate(connection, told, at)
    look_again(connection, {t.payment.partner_id for t in told})


def _invalidate(connection: Connection, told: Sequence[Told], at: datetime) -> None:
    for t in told:
        if t.reason in WRONG_ACCOUNT:
            payment = t.payment
            bank_details.invalidate(connection, payment.partner_id, payment.bank_version, t.reason, at)


def _covered(connection: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
    """What these payments cover, in the order in which whoever moves obligations locks them."""
    return connection.execute(
        select(obligations, payments.c.msg_id, payments.c.end_to_end_id)
        .join(settlements, settlements.c.obligation_id == obligations.c.id)
        .join(payments, payments.c.end_to_end_id == settlements.c.end_to_end_id)
        .where(settlements.c.end_to_end_id.in_(ids), settlements.c.active)
        .order_by(obligations.c.partner_id, obligations.c.quarter, obligations.c.revision)
        .with_for_update(of=obligations)
    ).all()
