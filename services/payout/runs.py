"""A payment run: all payable obligations of a moment become payments in one file, in one transaction."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from services.kit.database import upsert
from services.payout import bank_details, holds, ledger
from services.payout.bank_days import next_bank_day
from services.payout.bank_details import BankDetails
from services.payout.chunks import chunks
from services.payout.obligations import Move, move
from services.payout.pain001 import Debtor, Order, Transfer, euros, render
from services.payout.recount import CLAWBACK
from services.payout.tables import (
    PaymentState,
    RunState,
    State,
    obligations,
    payments,
    run_days,
    run_files,
    runs,
    settlements,
)
from services.payout.vault import Vault
from streams.rules.terms import Programme

_REMITTANCE_MAX = 140


class Made(NamedTuple):
    """A run, as released."""

    msg_id: str
    payments: int
    total_minor: int


class _Payment(NamedTuple):
    end_to_end_id: str
    partner_id: str
    amount_minor: int
    details: BankDetails
    covers: Sequence[Row[Any]]


def latest_day(engine: Engine) -> date | None:
    """The latest bank day for which it was decided whether there is a run."""
    with engine.connect() as connection:
        return connection.execute(select(func.max(run_days.c.day))).scalar()


def begin(engine: Engine, day: date, now: datetime) -> None:
    """Let a new database's first run come after this day: an hour that passed before it existed is not caught up."""
    with engine.begin() as connection:
        if connection.execute(select(func.max(run_days.c.day))).scalar() is None:
            _claim(connection, day, now)


def make(engine: Engine, vault: Vault, programme: Programme, debtor: Debtor, day: date, now: datetime) -> Made | None:
    """Make the run of a bank day: file, payments, journals and events, all or nothing.

    Answers None if nothing is payable, or the day's run was decided before, here or by another process.
    """
    with engine.begin() as connection:
        if not _claim(connection, day, now):
            return None
        due = _payments(connection, vault, programme, day)
        if not due:
            return None
        run = Made(run_id(programme.id, day), len(due), sum(payment.amount_minor for payment in due))
        execution = next_bank_day(max(day, now.astimezone(programme.zone).date()))
        _store(connection, vault, run, _order(run, programme, debtor, execution, now, due), day)
        _pay(connection, run, execution, now, due)
    return run


def run_id(programme_id: str, day: date) -> str:
    """The id of a day's run: the file's MsgId. The same bank sees the same id should the same day come twice."""
    return f"RB-{day:%Y%m%d}-{_code(4, programme_id)}"


def end_to_end_id(programme_id: str, partner_id: str, day: date, attempt: int = 0) -> str:
    """The id under which a bank reports on a payment: 16 of A-Z, 0-9 and -, the most that every bank gives back."""
    return f"{day:%y%m%d}-{_code(9, programme_id, partner_id, *([str(attempt)] if attempt else []))}"


def remittance(programme: Programme, covers: Sequence[Row[Any]]) -> str:
    """What the partner reads on his statement."""
    if len(covers) == 1:
        return f"{programme.name} {covers[0].quarter}"
    parts = ", ".join(f"{row.quarter} {_signed(row.amount_minor)}" for row in covers)
    text = f"{programme.name} {parts}"
    if len(text) <= _REMITTANCE_MAX:
        return text
    return f"{programme.name} {covers[0].quarter} to {covers[-1].quarter}, {len(covers)} items"


def _claim(connection: Connection, day: date, now: datetime) -> bool:
    claimed = connection.execute(
        upsert(run_days, connection.engine)
        .values(day=day, msg_id=None, decided_at=now)
        .on_conflict_do_nothing()
        .returning(run_days.c.day)
    )
    return claimed.first() is not None


def _payments(connection: Connection, vault: Vault, programme: Programme, day: date) -> list[_Payment]:
    rows = connection.execute(
        select(obligations)
        .where(obligations.c.state == State.PAYABLE)
        .order_by(obligations.c.partner_id, obligations.c.quarter, obligations.c.revision)
        .with_for_update()
    ).all()
    owed = {partner_id: list(his) for partner_id, his in groupby(rows, key=lambda row: row.partner_id)}
    owed = {partner_id: his for partner_id, his in owed.items() if _sum(his) > 0}
    details = _details(connection, vault, list(owed), day)
    found, taken = [], set[str]()
    for partner_id, covers in owed.items():
        if partner_id not in details:
            continue
        attempt = 0
        while (identifier := end_to_end_id(programme.id, partner_id, day, attempt)) in taken:
            attempt += 1
        taken.add(identifier)
        found.append(_Payment(identifier, partner_id, _sum(covers), details[partner_id], covers))
    return found


def _details(connection: Connection, vault: Vault, partner_ids: Sequence[str], day: date) -> Mapping[str, BankDetails]:
    found: dict[str, BankDetails] = {}
    for ids in chunks(partner_ids):
        sepa = bank_details.in_sepa(connection, ids)
        usable = holds.may_receive(connection, ids, day)  # what was payable may have changed since it was judged
        found |= bank_details.current(connection, vault, [id_ for id_ in ids if sepa.get(id_) and id_ in usable])
    return found


def _order(
    run: Made, programme: Programme, debtor: Debtor, execution: date, now: datetime, due: Sequence[_Payment]
) -> Order:
    transfers = [
        Transfer(
            payment.end_to_end_id,
            payment.amount_minor,
            payment.details.account_holder,
            payment.details.iban,
            remittance(programme, payment.covers),
        )
        for payment in due
    ]
    return Order(run.msg_id, now, execution, debtor, transfers)


def _store(connection: Connection, vault: Vault, run: Made, order: Order, day: date) -> None:
    content = render(order)
    connection.execute(update(run_days).where(run_days.c.day == day).values(msg_id=run.msg_id))
    connection.execute(
        insert(runs).values(
            msg_id=run.msg_id,
            day=day,
            state=RunState.RELEASED,
            created_at=order.created_at,
            execution_date=order.execution_date,
            payments=run.payments,
            total_minor=run.total_minor,
            currency="EUR",
            written=False,
        )
    )
    connection.execute(
        insert(run_files).values(
            msg_id=run.msg_id, sealed=vault.seal(content, run.msg_id), sha256=hashlib.sha256(content).hexdigest()
        )
    )


def _pay(connection: Connection, run: Made, execution: date, now: datetime, due: Sequence[_Payment]) -> None:
    for some in chunks(due):
        connection.execute(
            insert(payments),
            [
                {
                    "end_to_end_id": payment.end_to_end_id,
                    "msg_id": run.msg_id,
                    "partner_id": payment.partner_id,
                    "bank_version": payment.details.version,
                    "amount_minor": payment.amount_minor,
                    "currency": "EUR",
                    "state": PaymentState.RELEASED,
                }
                for payment in some
            ],
        )
        connection.execute(
            insert(settlements),
            [
                {"end_to_end_id": payment.end_to_end_id, "obligation_id": row.id, "active": True}
                for payment in some
                for row in payment.covers
            ],
        )
        ledger.book(connection, [_journal(payment) for payment in some], now)
        move(connection, [m for payment in some for m in _moves(payment, run, execution)], now)


def _journal(payment: _Payment) -> ledger.Journal:
    account = ledger.payable(payment.partner_id)
    return ledger.transfer(f"payment:{payment.end_to_end_id}", account, ledger.IN_TRANSIT, payment.amount_minor, "EUR")


def _moves(payment: _Payment, run: Made, execution: date) -> list[Move]:
    return [
        Move(
            row,
            State.IN_PAYMENT if row.amount_minor > 0 else State.NETTED,
            None if row.amount_minor > 0 else CLAWBACK,
            run.msg_id,
            payment.end_to_end_id,
            execution,
        )
        for row in payment.covers
    ]


def _sum(rows: Sequence[Row[Any]]) -> int:
    return sum(row.amount_minor for row in rows)


def _signed(amount_minor: int) -> str:
    return euros(amount_minor) if amount_minor >= 0 else f"-{euros(-amount_minor)}"


def _code(length: int, *facts: str) -> str:
    digest = hashlib.blake2b("\x1f".join(facts).encode(), digest_size=10).digest()
    return base64.b32encode(digest).decode()[:length]
