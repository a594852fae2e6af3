"""Where the runs stand with the bank: what it took, paid and sent back, and on what it says nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, func, literal, select

from services.payout.bank_days import bank_hours
from services.payout.states import PaymentState
from services.payout.tables import journals, payments, runs

_WAITING = (PaymentState.RELEASED, PaymentState.ACCEPTED)


class Standing(NamedTuple):
    """A released run and its payments by state. Money is minor units."""

    msg_id: str
    day: date
    state: str
    total_minor: int
    currency: str
    payments: Counter[PaymentState]
    released_at: datetime | None
    silent_hours: float
    """Hours of bank days for which something of it waits for the bank's answer or debit; 0 if nothing does."""


class Silence(NamedTuple):
    """How many payments wait longer than they should, in all runs."""

    answer: int
    """The bank has not said a word to them."""
    debit: int
    """It took them, their day has passed, and no statement shows the debit."""


def standings(connection: Connection, zone: ZoneInfo, now: datetime) -> list[Standing]:
    """Every run that was handed to the bank, newest first."""
    counted: defaultdict[str, Counter[PaymentState]] = defaultdict(Counter)
    for msg_id, state, number in connection.execute(
        select(payments.c.msg_id, payments.c.state, func.count())
        .where(payments.c.state.not_in((PaymentState.PREPARED, PaymentState.VOID)))
        .group_by(payments.c.msg_id, payments.c.state)
    ):
        counted[msg_id][PaymentState(state)] += number
    since = {row.msg_id: row for row in _waiting(connection)}
    rows = connection.execute(select(runs).where(runs.c.msg_id.in_(counted)).order_by(runs.c.day.desc()))
    return [
        Standing(
            row.msg_id,
            row.day,
            row.state,
            row.total_minor,
            row.currency,
            counted[row.msg_id],
            since[row.msg_id].released_at if row.msg_id in since else None,
            max(_silent(since[row.msg_id], zone, now)) if row.msg_id in since else 0.0,
        )
        for row in rows
    ]


def silence(connection: Connection, zone: ZoneInfo, now: datetime, hours: int) -> Silence:
    """How many payments have waited longer than so many hours of bank days. It never means that they failed."""
    answer = debit = 0
    for row in _waiting(connection):
        for_answer, for_debit = _silent(row, zone, now)
        answer += row.unanswered if for_answer > hours else 0
        debit += row.undebited if for_debit > hours else 0
    return Silence(answer, debit)


def _waiting(connection: Connection) -> Sequence[Row[Any]]:
    """For each run of which something waits: when it was released, and how many payments wait for what."""
    state = payments.c.state
    return connection.execute(
        select(
            payments.c.msg_id,
            runs.c.execution_date,
            func.min(journals.c.booked_at).label("released_at"),
            func.count().filter(state == PaymentState.RELEASED).label("unanswered"),
            func.count().filter(state == PaymentState.ACCEPTED).label("undebited"),
        )
        .join(runs, runs.c.msg_id == payments.c.msg_id)
        .join(journals, journals.c.key == literal("payment:") + payments.c.end_to_end_id)
        .where(state.in_(_WAITING))
        .group_by(payments.c.msg_id, runs.c.execution_date)
    ).all()


def _silent(row: Row[Any], zone: ZoneInfo, now: datetime) -> tuple[float, float]:
    """Bank hours since the release if an answer is missing, and since the day of execution ended if a debit is."""
    local = now.astimezone(zone)
    for_answer = bank_hours(row.released_at.astimezone(zone), local) if row.unanswered else 0.0
    due = datetime.combine(row.execution_date + timedelta(days=1), time(), zone)
    return for_answer, bank_hours(due, local) if row.undebited else 0.0
