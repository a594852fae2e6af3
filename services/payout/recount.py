"""Whether an obligation may be paid: money never depends on the stream alone.

The units of a partner's quarter are counted again from the sale lines. Their rebate must be what the closes made
payable in all; units may differ as long as the rebate does not, for then no close is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, select

from schemas.values import Quarter
from services.payout import holds, inputs, lines
from services.payout.anomalies import Rules
from services.payout.chunks import chunks
from services.payout.holds import Verdict
from services.payout.obligations import Move, move
from services.payout.states import OPEN, State
from services.payout.tables import checks, obligations
from streams.rules.terms import Programme

RECOUNT_DIFFERS = "recount-differs"
CLOSED_TOO_EARLY = "closed-too-early"
SET_OFF = "set-off"
CLAWBACK = "clawback"
_CLOCKS_APART = timedelta(hours=1)
"""How far the clock of the stream may run ahead of ours before a close counts as too early."""


def latest_check(engine: Engine) -> int | None:
    """Number of the newest request to look at a partner, or None if there is none."""
    with engine.connect() as connection:
        return connection.execute(select(func.max(checks.c.id))).scalar()


def look(engine: Engine, programme: Programme, limits: Rules, upto: int, now: datetime) -> None:
    """Judge the open obligations of every partner in a request up to this number, and publish what changes.

    ``limits`` say what is unusual. Call it only when lines and closes were read past the moment of the newest of these
    requests.
    """
    with engine.connect() as connection:
        found = connection.execute(select(checks.c.partner_id).where(checks.c.id <= upto).distinct())
        partner_ids = sorted(partner_id for (partner_id,) in found)
    for ids in chunks(partner_ids):
        with engine.begin() as connection:
            judge(connection, programme, limits, ids, now)
            connection.execute(delete(checks).where(checks.c.id <= upto, checks.c.partner_id.in_(ids)))


def judge(
    connection: Connection, programme: Programme, limits: Rules, partner_ids: Sequence[str], now: datetime
) -> None:
    """Judge the open obligations of these partners, within a transaction."""
    rows = connection.execute(
        select(obligations)
        .where(obligations.c.partner_id.in_(partner_ids))
        .order_by(obligations.c.partner_id, obligations.c.programme_id, obligations.c.quarter, obligations.c.revision)
        .with_for_update()
    ).all()
    units = lines.units(connection, partner_ids)
    known = holds.look_up(connection, [row for row in rows if row.state in OPEN], units)
    today = now.astimezone(programme.zone).date()
    moves, agreed = [], []
    for _, his in groupby(rows, key=lambda row: row.partner_id):
        verdicts = list(
            _judge_partner(
                programme, list(his), units, now, lambda row: holds.verdict(programme, limits, known, row, today)
            )
        )
        agreed += [row for row, (state, _) in verdicts if state in (State.PAYABLE, State.NETTED)]
        moves += [
            Move(row, state, reason) for row, (state, reason) in verdicts if (row.state, row.reason) != (state, reason)
        ]
    inputs.freeze(connection, agreed)
    move(connection, moves, now)


def reason_to_hold(programme: Programme, closes: Sequence[Row[Any]], units: int, now: datetime) -> str | None:
    """Why what a quarter's closes made payable must not be paid, or None. ``closes`` in the order of revisions."""
    latest = closes[-1]
    quarter = Quarter.parse(latest.quarter)
    if latest.programme_id != programme.id:
        return "unknown-programme"
    if any(close.contradicted for close in closes):
        return "contradicting-closes"
    if any(close.currency != "EUR" for close in closes):
        return "not-euro"
    if sum(close.amount_minor for close in closes) != latest.total_minor:
        return "close-missing"
    if now + _CLOCKS_APART < programme.dates(quarter).final_at:
        return CLOSED_TOO_EARLY
    if programme.terms_for(quarter).rebate_minor(units) != latest.total_minor:
        return RECOUNT_DIFFERS
    return None


def _judge_partner(
    programme: Programme,
    rows: Sequence[Row[Any]],
    units: Mapping[tuple[str, str], int],
    now: datetime,
    of_partner: Callable[[Row[Any]], Verdict],
) -> Iterable[tuple[Row[Any], Verdict]]:
    verdicts: list[tuple[Row[Any], Verdict]] = []
    for _, group in groupby(rows, key=lambda row: (row.programme_id, row.quarter)):
        closes = list(group)
        why = reason_to_hold(programme, closes, units.get((closes[0].partner_id, closes[0].quarter), 0), now)
        verdicts += [(row, _verdict(row, why, of_partner)) for row in closes if row.state in OPEN]
    settled = {row.id for row, (state, _) in verdicts if state in (State.PAYABLE, State.WAITING)}
    if settled and sum(row.amount_minor for row, _ in verdicts if row.id in settled) == 0:
        return [(row, (State.NETTED, SET_OFF) if row.id in settled else verdict) for row, verdict in verdicts]
    return verdicts


def _verdict(row: Row[Any], why: str | None, of_partner: Callable[[Row[Any]], Verdict]) -> Verdict:
    if why is not None:
        return State.HELD, why
    if row.amount_minor < 0:
        return State.PAYABLE, CLAWBACK  # needs no account: it is set off
    return of_partner(row)


def units_in_doubt(connection: Connection) -> int:
    """By how many units, in all, recounts differ from the closes they hold up."""
    held = connection.execute(
        select(obligations.c.partner_id, obligations.c.quarter, obligations.c.revision, obligations.c.units).where(
            obligations.c.state == State.HELD, obligations.c.reason == RECOUNT_DIFFERS
        )
    )
    closed: dict[tuple[str, str], int] = {}
    for partner_id, quarter, _, units in sorted(held, key=lambda row: row.revision):
        closed[partner_id, quarter] = units
    difference = 0
    for ids in chunks(sorted({partner_id for partner_id, _ in closed})):
        counted = lines.units(connection, ids)
        difference += sum(abs(units - counted.get(place, 0)) for place, units in closed.items() if place[0] in set(ids))
    return difference
