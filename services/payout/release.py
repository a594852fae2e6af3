"""Approval and release of a payment run: four eyes, then one transaction in which everything is paid.

Between a run's preparation and its release, days may pass and facts may change. So the release looks again at each
thing that the payment depends on; if one does not hold any more, nothing is paid and the run is given up.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from deploy.runtime.errors import StaffelError
from services.payout import bank_details, holds, invariants, ledger
from services.payout.chunks import chunks
from services.payout.obligations import Move, move
from services.payout.recount import CLAWBACK
from services.payout.runs import SYSTEM, WAITING, locked, void
from services.payout.states import PaymentState, RunState, State
from services.payout.tables import approvals, obligations, payments, run_files, runs, settlements
from services.payout.vault import Vault
from streams.rules.terms import Programme

AUTOMATIC = "automatic"
"""Who approves and releases what the settings say needs no person."""
RESERVED = (SYSTEM, AUTOMATIC)
"""Names that no person may go by."""


class Limits(NamedTuple):
    """What needs whose eyes, in cents."""

    automatic_minor: int
    """Up to this sum a run prepared by the system is released by itself; 0 is never."""
    second_minor: int
    """Above this sum a second person must approve."""

    def approvals_needed(self, total_minor: int) -> int:
        """How many persons must approve a run of this sum."""
        return 2 if total_minor > self.second_minor else 1


class Released(NamedTuple):
    """A run that was handed over to be paid."""

    msg_id: str
    payments: int
    total_minor: int


def people(names: Iterable[str]) -> set[str]:
    """Those of these names that persons go by."""
    return {name for name in names if name not in RESERVED}


def approve(engine: Engine, msg_id: str, by: str, limits: Limits, now: datetime) -> int:
    """Approve the bytes of a run's file; answers how many more approvals it needs.

    Raises StaffelError if the run does not wait for approval, ``by`` has prepared it, or has approved it already.
    """
    try:
        with engine.begin() as connection:
            run = locked(connection, msg_id)
            if run.state not in WAITING:
                raise StaffelError(f"run {msg_id} is {run.state}: there is nothing to approve", code="not-waiting")
            if by == run.prepared_by:
                raise StaffelError(
                    f"{by} has prepared run {msg_id} and can't approve it", "somebody else must", code="own-run"
                )
            sha256 = connection.execute(select(run_files.c.sha256).where(run_files.c.msg_id == msg_id)).scalar_one()
            connection.execute(
                insert(approvals).values(
                    msg_id=msg_id, approved_by=by, prepared_by=run.prepared_by, sha256=sha256, at=now
                )
            )
            missing = _approvals_missing(connection, run, limits)
            if not missing:
                connection.execute(update(runs).where(runs.c.msg_id == msg_id).values(state=RunState.APPROVED))
            return missing
    except IntegrityError:
        raise StaffelError(
            f"{by} has approved run {msg_id} already",
            "a second approval is a second person's",
            code="approved-before",
        ) from None


def release(
    engine: Engine, vault: Vault, programme: Programme, msg_id: str, by: str, limits: Limits, now: datetime
) -> Released:
    """Pay: journals, states and events of every payment in one transaction, after a last look at each.

    Raises StaffelError if the run is not approved, or had to be given up because something does not hold any more.
    """
    with engine.begin() as connection:
        run = locked(connection, msg_id)
        if run.state != RunState.APPROVED or _approvals_missing(connection, run, limits):
            raise StaffelError(f"run {msg_id} is {run.state}: it must be approved before", code="not-approved")
        broken = invariants.violations(connection)
        if broken:  # not the run's fault: it stays as it is, and nothing is booked into books in doubt
            raise StaffelError(f"run {msg_id} was not released: an invariant is broken: {broken[0]}", code="in-doubt")
        today = now.astimezone(programme.zone).date()
        covered, paid = _covered(connection, msg_id), _payments(connection, msg_id)
        why = _objection(connection, vault, run, covered, paid, today)
        if why is None:
            _pay(connection, run, covered, paid, by, now)
        else:
            void(connection, msg_id, why, by, now)
    if why is not None:
        raise StaffelError(
            f"run {msg_id} was given up, nothing was paid: {why}",
            "what is still payable goes into the next run; ./staffel runs prepare makes one now",
            code="run-void",
        )
    return Released(msg_id, run.payments, run.total_minor)


def waiting_for_nobody(engine: Engine, limits: Limits) -> list[str]:
    """Runs prepared by the system that are released without a person."""
    with engine.connect() as connection:
        found = connection.execute(
            select(runs.c.msg_id)
            .where(
                runs.c.state.in_(WAITING),
                runs.c.prepared_by == SYSTEM,
                runs.c.total_minor <= limits.automatic_minor,
            )
            .order_by(runs.c.msg_id)
        )
        return list(found.scalars())


def release_automatically(
    engine: Engine, vault: Vault, programme: Programme, msg_id: str, limits: Limits, now: datetime
) -> Released:
    """Approve and release a run as the settings say. Safe to repeat after a crash in between."""
    with engine.connect() as connection:
        known = select(approvals.c.msg_id).where(approvals.c.msg_id == msg_id, approvals.c.approved_by == AUTOMATIC)
        approved = connection.execute(known).first() is not None
    if not approved:
        approve(engine, msg_id, AUTOMATIC, limits, now)
    return release(engine, vault, programme, msg_id, AUTOMATIC, limits, now)


def _approvals_missing(connection: Connection, run: Row[Any], limits: Limits) -> int:
    names = set(connection.execute(select(approvals.c.approved_by).where(approvals.c.msg_id == run.msg_id)).scalars())
    if AUTOMATIC in names and run.prepared_by == SYSTEM and run.total_minor <= limits.automatic_minor:
        return 0
    return max(0, limits.approvals_needed(run.total_minor) - len(people(names)))


def _objection(
    connection: Connection,
    vault: Vault,
    run: Row[Any],
    covered: Sequence[Row[Any]],
    paid: Sequence[Row[Any]],
    today: date,
) -> str | None:
    """Why a run can't be paid as it was prepared, or None."""
    if run.execution_date <= today:
        return "its day is over: the bank could not pay on it any more"
    file = connection.execute(select(run_files).where(run_files.c.msg_id == run.msg_id)).one()
    if hashlib.sha256(vault.open(file.sealed, run.msg_id)).hexdigest() != file.sha256:
        return "the stored file is not the one that was approved"
    sums: Counter[str] = Counter()
    for row in covered:
        if row.state != State.PAYABLE:
            return f"{row.id} is {row.state} by now"
        sums[row.end_to_end_id] += row.amount_minor
    if sums != Counter({row.end_to_end_id: row.amount_minor for row in paid}):
        return "something that it covers was paid otherwise by now"
    for some in chunks(paid):
        ids = [row.partner_id for row in some]
        accounts, usable = bank_details.accounts(connection, ids), holds.may_receive(connection, ids, today)
        for row in some:
            if row.partner_id not in usable or accounts[row.partner_id].version != row.bank_version:
                return f"the bank details of {row.partner_id} have changed, or nothing may be paid to them"
    return None


def _pay(
    connection: Connection,
    run: Row[Any],
    covered: Sequence[Row[Any]],
    paid: Sequence[Row[Any]],
    by: str,
    now: datetime,
) -> None:
    connection.execute(update(payments).where(payments.c.msg_id == run.msg_id).values(state=PaymentState.RELEASED))
    connection.execute(
        update(runs).where(runs.c.msg_id == run.msg_id).values(state=RunState.RELEASED, closed_by=by, closed_at=now)
    )
    for some in chunks(paid):
        ledger.book(connection, [_journal(row) for row in some], now)
    moves = [_move(row, run) for row in covered]
    for few in chunks(moves):
        move(connection, few, now)


def _payments(connection: Connection, msg_id: str) -> Sequence[Row[Any]]:
    found = select(payments).where(payments.c.msg_id == msg_id).order_by(payments.c.partner_id)
    return connection.execute(found).all()


def _covered(connection: Connection, msg_id: str) -> Sequence[Row[Any]]:
    """What a run's payments cover, locked in the order in which whoever moves obligations locks them."""
    return connection.execute(
        select(obligations, payments.c.end_to_end_id)
        .join(settlements, settlements.c.obligation_id == obligations.c.id)
        .join(payments, payments.c.end_to_end_id == settlements.c.end_to_end_id)
        .where(payments.c.msg_id == msg_id, settlements.c.active)
        .order_by(obligations.c.partner_id, obligations.c.quarter, obligations.c.revision)
        .with_for_update(of=obligations)
    ).all()


def _journal(payment: Row[Any]) -> ledger.Journal:
    account = ledger.payable(payment.partner_id)
    return ledger.transfer(
        f"payment:{payment.end_to_end_id}", account, ledger.IN_TRANSIT, payment.amount_minor, payment.currency
    )


def _move(row: Row[Any], run: Row[Any]) -> Move:
    paid = row.amount_minor > 0
    return Move(
        row,
        State.IN_PAYMENT if paid else State.NETTED,
        None if paid else CLAWBACK,
        run.msg_id,
        row.end_to_end_id,
        run.execution_date,
    )
