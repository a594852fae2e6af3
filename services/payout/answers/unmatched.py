"""What the bank said and nobody could match: kept once, shown, and cleared by somebody who says why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, select, update

from deploy.runtime.errors import StaffelError
from services.kit.database import upsert
from services.payout.answers.matching import Finding, Match, Place, Said, of_lines
from services.payout.answers.messages import Answer, Line, Statement
from services.payout.answers.rules import Unmatched
from services.payout.states import PaymentState
from services.payout.tables import bank_unmatched, payments

_ONCE = (Unmatched.REJECTED_AND_DEBITED, Unmatched.DEBITED_AFTER_RETRY)
"""A contradiction between two statements of the bank is one thing to look at, whichever was read last."""


def note(connection: Connection, answer: Answer, findings: Sequence[Finding], sha256: str, at: datetime) -> int:
    """Keep findings that are new, within a transaction. Answers how many."""
    fresh = 0
    for finding in findings:
        row = _row(answer, finding) | {"sha256": sha256, "kind": answer.kind, "seen_at": at}
        kept = connection.execute(
            upsert(bank_unmatched, connection.engine)
            .values(row)
            .on_conflict_do_nothing(index_elements=["key"])
            .returning(bank_unmatched.c.id)
        ).first()
        fresh += kept is not None
    return fresh


def explained_batches(connection: Connection, answer: Answer, at: datetime) -> Match:
    """Debits of whole batches that were no sum of their payments, and are one now that the bank has said more."""
    rows = connection.execute(
        select(bank_unmatched).where(
            bank_unmatched.c.reason == Unmatched.BATCH_DIFFERS,
            bank_unmatched.c.cleared_at.is_(None),
            bank_unmatched.c.msg_id.in_([report.original_id for report in answer.reports]),
        )
    ).all()
    said: list[Said] = []
    for row in rows:
        found = [one for one in of_lines(connection, [_place(row)]) if isinstance(one, Said)]
        if found:
            said += found
            close(connection, row.id, "a later status report explains it", at)
    return Match(said, [], 0)


def open_ones(connection: Connection) -> Sequence[Row[Any]]:
    """What waits for somebody to look at it, oldest first."""
    return connection.execute(
        select(bank_unmatched).where(bank_unmatched.c.cleared_at.is_(None)).order_by(bank_unmatched.c.id)
    ).all()


def clear(engine: Engine, id_: int, because: str, at: datetime) -> None:
    """Somebody looked at it and says why it is done with. Moves no money. Raises StaffelError if it is not open."""
    with engine.begin() as connection:
        if not close(connection, id_, because, at):
            raise StaffelError(f"nothing unmatched has the number {id_}", "see ./staffel bank unmatched")


def refused_and_debited(connection: Connection) -> Sequence[Row[Any]]:
    """Payments that were debited after they had been refused and made again, each beside what was noted of it."""
    columns = (bank_unmatched.c.id, bank_unmatched.c.valued_on, bank_unmatched.c.booked_on)
    return connection.execute(
        select(payments, *columns)
        .join(bank_unmatched, bank_unmatched.c.end_to_end_id == payments.c.end_to_end_id)
        .where(
            bank_unmatched.c.reason == Unmatched.DEBITED_AFTER_RETRY,
            bank_unmatched.c.cleared_at.is_(None),
            payments.c.state == PaymentState.REJECTED,
        )
        .with_for_update(of=payments)
    ).all()


def close(connection: Connection, id_: int, because: str, at: datetime) -> bool:
    """The same, within a transaction; answers whether it was open."""
    cleared = connection.execute(
        update(bank_unmatched)
        .where(bank_unmatched.c.id == id_, bank_unmatched.c.cleared_at.is_(None))
        .values(cleared_at=at, because=because)
    )
    return bool(cleared.rowcount)


def _row(answer: Answer, finding: Finding) -> dict[str, Any]:
    row: dict[str, Any] = {
        "reason": finding.reason,
        "end_to_end_id": finding.end_to_end_id,
        "msg_id": finding.msg_id,
        "code": finding.code,
    }
    facts: list[Any] = [finding.reason, finding.end_to_end_id or finding.msg_id]
    if finding.place is not None:
        statement, line = finding.place
        row |= {
            "account": statement.account,
            "statement_id": statement.statement_id,
            "position": line.position,
            "debit": line.debit,
            "amount_minor": line.amount_minor,
            "currency": line.currency,
            "booked_on": line.booked_on,
            "valued_on": line.valued_on,
            "reference": line.reference,
        }
        if not facts[1]:
            facts += [statement.account, statement.statement_id, line.position]
        if finding.reason not in _ONCE:
            facts += [line.debit, line.amount_minor, line.currency, line.reference or line.booked_on]
    else:
        facts += [] if finding.reason in _ONCE else [finding.code, "" if facts[1] else answer.message_id]
    return row | {"key": "/".join(str(fact) for fact in facts)}


def _place(row: Row[Any]) -> Place:
    line = Line(
        row.position,
        "",
        row.msg_id,
        row.debit,
        row.amount_minor,
        row.currency,
        row.booked_on,
        row.valued_on,
        row.reference,
    )
    return Place(Statement(row.kind, row.account, row.statement_id, None, None, None, None, 0, row.currency, ()), line)
