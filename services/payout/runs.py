"""Payment runs before their release: what is payable becomes payments and a file, and waits to be approved.

A run that is prepared has booked nothing and told nobody. Its file is made once, here, and stored; what is approved,
released and handed to the bank later are these bytes. It takes hold of what it covers, so that nothing is in two runs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from deploy.runtime.errors import StaffelError
from services.kit.database import upsert
from services.payout import bank_details, holds, transfer_list
from services.payout.bank_days import next_bank_day
from services.payout.bank_details import BankDetails
from services.payout.chunks import chunks
from services.payout.pain001 import Debtor, Order, Transfer, euros, render
from services.payout.states import PaymentState, RunKind, RunState, State
from services.payout.tables import obligations, payments, run_days, run_files, runs, settlements
from services.payout.vault import Vault
from streams.rules.terms import Programme

SYSTEM = "system"
"""Who prepares the run of each bank day."""
WAITING = (RunState.DRAFT, RunState.APPROVED)
"""States in which a run can still be given up."""
_REMITTANCE_MAX = 140


class Prepared(NamedTuple):
    """A run that waits to be approved."""

    msg_id: str
    kind: RunKind
    payments: int
    total_minor: int


class Payer(NamedTuple):
    """Who pays, and how the bank is asked to book it."""

    debtor: Debtor
    batch_booking: bool = False


class _Payment(NamedTuple):
    end_to_end_id: str
    partner_id: str
    amount_minor: int
    details: BankDetails
    kind: RunKind
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


def prepare_day(
    engine: Engine, vault: Vault, programme: Programme, payer: Payer, day: date, now: datetime
) -> list[Prepared]:
    """Prepare the runs of a bank day, once: nothing if that was decided before, here or by another process."""
    with engine.begin() as connection:
        if not _claim(connection, day, now):
            return []
        return _prepare(connection, vault, programme, payer, day, now, SYSTEM)


def prepare(
    engine: Engine, vault: Vault, programme: Programme, payer: Payer, day: date, now: datetime, by: str
) -> list[Prepared]:
    """Prepare runs of all that is payable now and in no run: one for each kind of file that is needed."""
    with engine.begin() as connection:
        return _prepare(connection, vault, programme, payer, day, now, by)


def give_up(engine: Engine, msg_id: str, why: str, by: str, now: datetime) -> None:
    """Void a run that is not released: what it covers can be in another. Raises StaffelError if it is too late."""
    with engine.begin() as connection:
        run = locked(connection, msg_id)
        if run.state not in WAITING:
            raise StaffelError(
                f"run {msg_id} is {run.state}", "only a draft or an approved run can be given up", code="not-waiting"
            )
        void(connection, msg_id, why, by, now)


def give_up_late(engine: Engine, today: date, now: datetime) -> list[str]:
    """Void the runs whose day the bank can't keep any more; answers which."""
    with engine.begin() as connection:
        late = connection.execute(
            select(runs.c.msg_id)
            .where(runs.c.state.in_(WAITING), runs.c.execution_date <= today)
            .order_by(runs.c.msg_id)
            .with_for_update()
        )
        found = list(late.scalars())
        for msg_id in found:
            void(connection, msg_id, "not released before its day", SYSTEM, now)
    return found


def locked(connection: Connection, msg_id: str) -> Row[Any]:
    """A run's row, locked until the transaction ends. Raises StaffelError if there is none."""
    run = connection.execute(select(runs).where(runs.c.msg_id == msg_id).with_for_update()).first()
    if run is None:
        raise StaffelError(f"there is no run {msg_id!r}", "see ./staffel runs list", code="unknown-run")
    return run


def void(connection: Connection, msg_id: str, why: str, by: str, now: datetime) -> None:
    """Give a run up, within a transaction that has its row locked."""
    own = select(payments.c.end_to_end_id).where(payments.c.msg_id == msg_id)
    connection.execute(update(settlements).where(settlements.c.end_to_end_id.in_(own)).values(active=False))
    connection.execute(update(payments).where(payments.c.msg_id == msg_id).values(state=PaymentState.VOID))
    connection.execute(
        update(runs).where(runs.c.msg_id == msg_id).values(state=RunState.VOID, reason=why, closed_by=by, closed_at=now)
    )


def run_id(programme_id: str, day: date, kind: RunKind = RunKind.SEPA, number: int = 1) -> str:
    """The id of a run: a payment file's MsgId. The same bank sees the same id should the same day come twice."""
    parts = [f"{day:%Y%m%d}", _code(4, programme_id)]
    parts += ["L"] if kind is RunKind.CSV else []
    return "-".join(["RB", *parts, *([str(number)] if number > 1 else [])])


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
        .values(day=day, decided_at=now)
        .on_conflict_do_nothing()
        .returning(run_days.c.day)
    )
    return claimed.first() is not None


def _prepare(
    connection: Connection, vault: Vault, programme: Programme, payer: Payer, day: date, now: datetime, by: str
) -> list[Prepared]:
    due = _payments(connection, vault, programme, day)
    made = []
    for kind in RunKind:
        some = [payment for payment in due if payment.kind is kind]
        if some:
            made.append(_store(connection, vault, programme, payer, day, now, by, kind, some))
    return made


def _payments(connection: Connection, vault: Vault, programme: Programme, day: date) -> list[_Payment]:
    covered = select(settlements.c.obligation_id).where(settlements.c.active)
    rows = connection.execute(
        select(obligations)
        .where(obligations.c.state == State.PAYABLE, obligations.c.id.not_in(covered))
        .order_by(obligations.c.partner_id, obligations.c.quarter, obligations.c.revision)
        .with_for_update()
    ).all()
    owed = {partner_id: list(his) for partner_id, his in groupby(rows, key=lambda row: row.partner_id)}
    owed = {partner_id: his for partner_id, his in owed.items() if _sum(his) > 0}
    details = _details(connection, vault, list(owed), day)
    of_day = payments.c.end_to_end_id.startswith(f"{day:%y%m%d}-")
    taken = set(connection.execute(select(payments.c.end_to_end_id).where(of_day)).scalars())
    found = []
    for partner_id, covers in owed.items():
        if partner_id not in details:
            continue
        attempt = 0
        while (identifier := end_to_end_id(programme.id, partner_id, day, attempt)) in taken:
            attempt += 1
        taken.add(identifier)
        found.append(_Payment(identifier, partner_id, _sum(covers), *details[partner_id], covers))
    return found


def _details(
    connection: Connection, vault: Vault, partner_ids: Sequence[str], day: date
) -> Mapping[str, tuple[BankDetails, RunKind]]:
    found: dict[str, tuple[BankDetails, RunKind]] = {}
    for some in chunks(partner_ids):
        ids = sorted(holds.may_receive(connection, some, day))  # what was payable may have changed since it was judged
        accounts = bank_details.accounts(connection, ids)
        for id_, details in bank_details.current(connection, vault, ids).items():
            found[id_] = details, RunKind.SEPA if accounts[id_].sepa else RunKind.CSV
    return found


def _store(
    connection: Connection,
    vault: Vault,
    programme: Programme,
    payer: Payer,
    day: date,
    now: datetime,
    by: str,
    kind: RunKind,
    due: Sequence[_Payment],
) -> Prepared:
    of_day = select(func.count()).where(runs.c.day == day, runs.c.kind == kind)
    number = connection.execute(of_day).scalar_one() + 1
    run = Prepared(
        run_id(programme.id, day, kind, number), kind, len(due), sum(payment.amount_minor for payment in due)
    )
    execution = next_bank_day(max(day, now.astimezone(programme.zone).date()))
    content = _file(run, programme, payer, execution, now, due)
    connection.execute(
        insert(runs).values(
            msg_id=run.msg_id,
            day=day,
            kind=kind,
            number=number,
            state=RunState.DRAFT,
            prepared_by=by,
            created_at=now,
            execution_date=execution,
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
    _cover(connection, run, due)
    return run


def _file(
    run: Prepared, programme: Programme, payer: Payer, execution: date, now: datetime, due: Sequence[_Payment]
) -> bytes:
    transfers = [
        Transfer(
            payment.end_to_end_id,
            payment.amount_minor,
            payment.details.account_holder,
            payment.details.iban,
            remittance(programme, payment.covers),
            payment.details.bic,
            payment.details.town,
            payment.details.country,
        )
        for payment in due
    ]
    if run.kind is RunKind.CSV:
        return transfer_list.render(execution, transfers)
    return render(Order(run.msg_id, now, execution, payer.debtor, transfers, payer.batch_booking))


def _cover(connection: Connection, run: Prepared, due: Sequence[_Payment]) -> None:
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
                    "state": PaymentState.PREPARED,
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


def _sum(rows: Sequence[Row[Any]]) -> int:
    return sum(row.amount_minor for row in rows)


def _signed(amount_minor: int) -> str:
    return euros(amount_minor) if amount_minor >= 0 else f"-{euros(-amount_minor)}"


def _code(length: int, *facts: str) -> str:
    digest = hashlib.blake2b("\x1f".join(facts).encode(), digest_size=10).digest()
    return base64.b32encode(digest).decode()[:length]
