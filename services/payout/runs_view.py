"""Payment runs for those who approve and release them. Reads only; accounts are masked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from deploy.runtime.errors import StaffelError
from services.payout.chunks import chunks
from services.payout.pain001 import in_eea
from services.payout.release import Limits, people
from services.payout.runs import WAITING
from services.payout.states import RunKind
from services.payout.tables import approvals, bank_details, payments, run_files, runs


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Every run, the latest first."""
    return [_summary(row) for row in connection.execute(select(runs).order_by(runs.c.created_at.desc(), runs.c.msg_id))]


def described(connection: Connection, msg_id: str, limits: Limits) -> dict[str, Any]:
    """A run with its approvals and its payments. Raises StaffelError if there is none."""
    run = connection.execute(select(runs).where(runs.c.msg_id == msg_id)).first()
    if run is None:
        raise _unknown(msg_id)
    said = connection.execute(select(approvals).where(approvals.c.msg_id == msg_id).order_by(approvals.c.at)).all()
    made = connection.execute(select(payments).where(payments.c.msg_id == msg_id).order_by(payments.c.partner_id)).all()
    masked = _masked(connection, made)
    needed = limits.approvals_needed(run.total_minor)
    return _summary(run) | {
        "sha256": connection.execute(select(run_files.c.sha256).where(run_files.c.msg_id == msg_id)).scalar_one(),
        "reason": run.reason,
        "closed_by": run.closed_by,
        "closed_at": run.closed_at.isoformat() if run.closed_at else None,
        "approvals": [{"by": row.approved_by, "at": row.at.isoformat()} for row in said],
        "approvals_needed": needed if run.state in WAITING else 0,
        "approvals_missing": max(0, needed - len(people(row.approved_by for row in said)))
        if run.state in WAITING
        else 0,
        "warnings": _warnings(run, made, masked),
        "states": dict(Counter(row.state for row in made)),
        "payments_made": [
            {
                "partner_id": row.partner_id,
                "account": masked.get((row.partner_id, row.bank_version), ""),
                "amount_minor": row.amount_minor,
                "currency": row.currency,
                "state": row.state,
                "reason": row.reason,
                "end_to_end_id": row.end_to_end_id,
            }
            for row in made
        ],
    }


def kind_of(connection: Connection, msg_id: str) -> RunKind:
    """What a run's file is. Raises StaffelError if there is no such run."""
    kind = connection.execute(select(runs.c.kind).where(runs.c.msg_id == msg_id)).scalar()
    if kind is None:
        raise _unknown(msg_id)
    return RunKind(kind)


def _unknown(msg_id: str) -> StaffelError:
    return StaffelError(f"there is no run {msg_id!r}", "see ./staffel runs list", code="unknown-run")


def _summary(run: Row[Any]) -> dict[str, Any]:
    return {
        "run": run.msg_id,
        "kind": run.kind,
        "state": run.state,
        "day": run.day.isoformat(),
        "execution_date": run.execution_date.isoformat(),
        "payments": run.payments,
        "total_minor": run.total_minor,
        "currency": run.currency,
        "prepared_by": run.prepared_by,
        "prepared_at": run.created_at.isoformat(),
    }


def _masked(connection: Connection, made: Sequence[Row[Any]]) -> dict[tuple[str, int], str]:
    found: dict[tuple[str, int], str] = {}
    for some in chunks(sorted({row.partner_id for row in made})):
        rows = connection.execute(
            select(bank_details.c.partner_id, bank_details.c.version, bank_details.c.masked).where(
                bank_details.c.partner_id.in_(some)
            )
        )
        found |= {(row.partner_id, row.version): row.masked for row in rows}
    return found


def _warnings(run: Row[Any], made: Sequence[Row[Any]], masked: dict[tuple[str, int], str]) -> list[str]:
    if run.kind != RunKind.SEPA:
        return ["this list is no SEPA file: enter it in the bank's form for foreign payments"]
    warnings = []
    if run.payments == 1:
        warnings.append("a file with one payment can't opt out of the bank's check of the payee's name")
    outside = sum(not in_eea(masked.get((row.partner_id, row.bank_version), "DE")) for row in made)
    if outside:
        warnings.append(
            f"{outside} to accounts outside the EEA: a bank may refuse one whose town and country were not given"
        )
    return warnings
