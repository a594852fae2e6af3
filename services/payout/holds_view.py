"""What is held up and why, for those who work with it. Reads only."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from deploy.runtime.errors import StaffelError
from services.payout import bank_details, holds
from services.payout.states import State
from services.payout.tables import hold_lifts, obligations, partner_blocks

_STOPPED = (State.HELD, State.WAITING)
_UNKNOWN = holds.Hold("this version does not know the reason", holds.Ends.REPAIR)


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Every obligation that is held or waits, the longest one first."""
    rows = connection.execute(
        select(obligations)
        .where(obligations.c.state.in_(_STOPPED))
        .order_by(obligations.c.since, obligations.c.partner_id, obligations.c.quarter, obligations.c.revision)
    )
    return [_summary(row) for row in rows]


def described(connection: Connection, obligation_id: str) -> dict[str, Any]:
    """All that bears on whether an obligation can be paid. Raises StaffelError if there is no such obligation."""
    row = connection.execute(select(obligations).where(obligations.c.id == obligation_id)).first()
    if row is None:
        raise StaffelError(
            f"there is no obligation {obligation_id!r}", "see ./staffel holds list", code="unknown-obligation"
        )
    seen = holds.seen_of(connection, row)
    account = bank_details.accounts(connection, [row.partner_id]).get(row.partner_id)
    return {
        **_summary(row),
        "state": row.state,
        "units": seen.units,
        "units_of_last_two_days": seen.last_days,
        "units_of_earlier_quarters": list(seen.earlier),
        "account": None if account is None else account._asdict(),
        "blocks": [_decision(found) for found in _of_partner(connection, row.partner_id)],
        "lifts": [
            _decision(found) | {"counts_still": found.facts == seen.facts} for found in _of(connection, obligation_id)
        ],
    }


def _summary(row: Row[Any]) -> dict[str, Any]:
    hold = holds.HOLDS.get(row.reason, _UNKNOWN) if row.state in _STOPPED else None
    return {
        "obligation": row.id,
        "partner_id": row.partner_id,
        "quarter": row.quarter,
        "amount_minor": row.amount_minor,
        "currency": row.currency,
        "code": row.reason,
        "since": row.since.isoformat(),
        "why": hold.why if hold else None,
        "ends": hold.ends if hold else None,
    }


def _of_partner(connection: Connection, partner_id: str) -> list[Row[Any]]:
    chosen = select(partner_blocks).where(partner_blocks.c.partner_id == partner_id).order_by(partner_blocks.c.id)
    return list(connection.execute(chosen))


def _of(connection: Connection, obligation_id: str) -> list[Row[Any]]:
    chosen = select(hold_lifts).where(hold_lifts.c.obligation_id == obligation_id).order_by(hold_lifts.c.at)
    return list(connection.execute(chosen))


def _decision(row: Row[Any]) -> dict[str, Any]:
    kept = {name: value for name, value in row._asdict().items() if name not in ("id", "obligation_id", "facts")}
    return kept | {"at": row.at.isoformat()}
