"""Which statements are due. Each query knows what was issued before, so asking again after a crash changes nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, func, select

from services.payout.recount import SET_OFF
from services.payout.statements.facts import Kind
from services.payout.states import BOOKED, State
from services.payout.tables import obligations, payments, settlements, statement_items, statements


class Due(NamedTuple):
    """A statement to be issued. ``subject`` is the payment's end-to-end id, for the other kinds the partner's id."""

    kind: Kind
    subject: str


def due(connection: Connection) -> list[Due]:
    """Every statement that is due. A payment that the bank refused before its statement was made needs none."""
    paid = connection.execute(
        select(payments.c.end_to_end_id)
        .where(payments.c.state.in_(BOOKED), payments.c.end_to_end_id.not_in(select(statements.c.document_id)))
        .order_by(payments.c.msg_id, payments.c.partner_id)
    )
    set_off = connection.execute(
        select(obligations.c.partner_id).where(*_SET_OFF).distinct().order_by(obligations.c.partner_id)
    )
    in_debt = (
        select(obligations.c.partner_id)
        .where(*_LEFT_OVER)
        .group_by(obligations.c.partner_id)
        .having(func.sum(obligations.c.amount_minor) < 0)
    )
    carried = connection.execute(
        select(obligations.c.partner_id)
        .where(*_LEFT_OVER, obligations.c.id.not_in(_stated(Kind.CARRIED)), obligations.c.partner_id.in_(in_debt))
        .distinct()
        .order_by(obligations.c.partner_id)
    )
    return [
        *(Due(Kind.PAYMENT, subject) for subject in paid.scalars()),
        *(Due(Kind.SET_OFF, subject) for subject in set_off.scalars()),
        *(Due(Kind.CARRIED, subject) for subject in carried.scalars()),
    ]


def covered(connection: Connection, wanted: Due) -> list[Row[Any]]:
    """The obligations that a statement is about, in the order of quarters and revisions. Empty: it is not due."""
    chosen = select(obligations).order_by(obligations.c.quarter, obligations.c.revision)
    match wanted.kind:
        case Kind.PAYMENT:
            chosen = chosen.join(settlements, settlements.c.obligation_id == obligations.c.id).where(
                settlements.c.end_to_end_id == wanted.subject,
                settlements.c.end_to_end_id.not_in(select(statements.c.document_id)),
            )
        case Kind.SET_OFF:
            chosen = chosen.where(obligations.c.partner_id == wanted.subject, *_SET_OFF)
        case Kind.CARRIED:
            chosen = chosen.where(obligations.c.partner_id == wanted.subject, *_LEFT_OVER)
    found = list(connection.execute(chosen))
    if wanted.kind is Kind.CARRIED:
        stated = set(connection.scalars(_stated(Kind.CARRIED, [row.id for row in found])))
        if sum(row.amount_minor for row in found) >= 0 or all(row.id in stated for row in found):
            return []
    return found


def carried_on(connection: Connection, obligation_ids: list[str]) -> dict[str, str]:
    """For those of these obligations that were carried forward, the number of the latest statement that says so."""
    rows = connection.execute(
        select(statement_items.c.obligation_id, func.max(statements.c.number).label("number"))
        .join(statements, statements.c.number == statement_items.c.number)
        .where(statements.c.kind == Kind.CARRIED, statement_items.c.obligation_id.in_(obligation_ids))
        .group_by(statement_items.c.obligation_id)
    )
    return {row.obligation_id: row.number for row in rows}


def _stated(kind: Kind, obligation_ids: list[str] | None = None) -> Select[Any]:
    found = (
        select(statement_items.c.obligation_id)
        .join(statements, statements.c.number == statement_items.c.number)
        .where(statements.c.kind == kind)
    )
    return found if obligation_ids is None else found.where(statement_items.c.obligation_id.in_(obligation_ids))


_SET_OFF = (
    obligations.c.state == State.NETTED,
    obligations.c.reason == SET_OFF,
    obligations.c.id.not_in(_stated(Kind.SET_OFF)),
)
_LEFT_OVER = (
    obligations.c.state == State.PAYABLE,
    obligations.c.id.not_in(select(settlements.c.obligation_id).where(settlements.c.active.is_(True))),
)
