"""Gathers what explains a partner's quarter to the vendor: the lines, what they came to, and where the money is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, select

from schemas.events import SaleLine
from schemas.values import Quarter
from services.payout import inputs, lines
from services.payout.tables import obligations, payments, runs, settlements
from streams.rules.explain import Close, Explanation, Line, explain
from streams.rules.terms import Programme


class Account(NamedTuple):
    """Everything about a partner's quarter."""

    explanation: Explanation
    lines: Sequence[SaleLine]
    obligations: Sequence[Row[Any]]
    inputs: Sequence[bool | None]
    """For each obligation, whether the present lines are those that it was counted from; None before it is frozen."""
    payments: Sequence[Row[Any]]
    """The payments that cover the obligations, one row for each obligation that one covers, oldest first."""

    @property
    def lines_differ(self) -> bool:
        """Whether the lines have changed since the latest amount was frozen, without changing the rebate."""
        return bool(self.inputs) and self.inputs[-1] is False

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        found: dict[str, Any] = msgspec.to_builtins(self.explanation)
        return found | {
            "obligations": [
                {**_picked(row, _OBLIGATION), "present_lines_are_its_inputs": same}
                for row, same in zip(self.obligations, self.inputs, strict=True)
            ],
            "payments": [_picked(row, _PAYMENT) for row in self.payments],
        }


_OBLIGATION = ("revision", "units", "amount_minor", "state", "reason", "terms_version", "inputs_hash", "closed_at")
_PAYMENT = (
    *("revision", "end_to_end_id", "msg_id", "state", "reason", "amount_minor", "execution_date", "settled_on"),
    "returned_on",
)


def account_for(connection: Connection, programme: Programme, partner_id: str, quarter: Quarter) -> Account | None:
    """Explain a partner's quarter; None if nothing is known of it."""
    own = list(lines.of_quarter(connection, str(quarter), partner_id))
    rows = connection.execute(
        select(obligations)
        .where(
            obligations.c.programme_id == programme.id,
            obligations.c.partner_id == partner_id,
            obligations.c.quarter == str(quarter),
        )
        .order_by(obligations.c.revision)
    ).all()
    if not own and not rows:
        return None
    covering = connection.execute(
        select(payments, runs.c.execution_date, obligations.c.revision)
        .join(settlements, settlements.c.end_to_end_id == payments.c.end_to_end_id)
        .join(obligations, obligations.c.id == settlements.c.obligation_id)
        .join(runs, runs.c.msg_id == payments.c.msg_id)
        .where(obligations.c.id.in_([row.id for row in rows]))
        .order_by(runs.c.created_at, payments.c.end_to_end_id, obligations.c.revision)
    ).all()
    closes = [Close(row.revision, row.units, row.total_minor, row.amount_minor, row.closed_at) for row in rows]
    return Account(
        explain(map(Line.of, own), programme.terms_for(quarter), closes),
        own,
        rows,
        [inputs.matches(connection, row) for row in rows],
        covering,
    )


def _picked(row: Row[Any], names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins({name: getattr(row, name) for name in names})
    return found
