"""What the close of a quarter needs: each thing done, still to do, or not due yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, select

from schemas.events import CloseKind, LineStatus, PayoutStatus
from schemas.values import Quarter
from services.portal.claims.tables import OPEN, claims
from services.portal.lists.conflicts import of_quarter
from services.portal.overview import Overview
from services.portal.tables import sale_lines, tallies
from streams.rules.terms import Programme

SILENT_AFTER = timedelta(days=8)
"""Distributors report weekly."""
_SETTLED = (PayoutStatus.PAID, PayoutStatus.NETTED)


class State(StrEnum):
    """Where one thing of the list is."""

    DONE = "done"
    DUE = "due"
    LATER = "later"


class Item(NamedTuple):
    """One thing. ``key`` says which; ``number`` of ``of`` are done, or ``number`` are left."""

    key: str
    state: State
    at: datetime | None = None
    number: int = 0
    of: int = 0
    link: str = ""


class Closing(NamedTuple):
    """The list of a quarter."""

    quarter: Quarter
    quarters: Sequence[Quarter]
    items: Sequence[Item]
    payouts: Mapping[str, tuple[int, int]]
    """Number and amount of the payouts of each state."""
    currency: str

    @property
    def left(self) -> int:
        """How many things are to do now."""
        return sum(item.state is State.DUE for item in self.items)


def closing(
    connection: Connection, programme: Programme, quarter: Quarter, known: Sequence[Quarter], now: datetime
) -> Closing:
    """Gather the list."""
    dates, overview = programme.dates(quarter), Overview(connection, programme.id, quarter)
    closes = {row.kind: row.number for row in overview.closes()}
    payouts = {row.status: (row.number, row.amount_minor) for row in overview.payouts()}
    standings = _count(
        connection,
        select(func.count()).where(tallies.c.programme_id == programme.id, tallies.c.quarter == str(quarter)),
    )
    over, final = now >= dates.provisional_at, now >= dates.final_at
    items = (
        Item("ended", State.DONE if over else State.LATER, dates.provisional_at),
        _closes("provisional", closes.get(CloseKind.PROVISIONAL, 0), standings, dates.provisional_at, over),
        *_open_things(connection, quarter, over),
        _reports(connection, now),
        Item("late-reports", State.DONE if final else State.LATER, dates.final_at),
        _closes("final", closes.get(CloseKind.FINAL, 0), standings, dates.final_at, final),
        _paid(payouts, final, quarter),
        Item("horizon", State.DONE if now >= dates.horizon_at else State.LATER, dates.horizon_at),
    )
    return Closing(quarter, known, items, payouts, dates.terms.currency)


def _closes(key: str, number: int, of: int, at: datetime, due: bool) -> Item:
    if not due:
        return Item(key, State.LATER, at, number, of)
    return Item(key, State.DONE if number >= of else State.DUE, at, number, of)


def _open_things(connection: Connection, quarter: Quarter, over: bool) -> tuple[Item, ...]:
    """What somebody of the staff has to decide. It matters before the quarter is over, too."""
    within = claims.c.sold_on.between(quarter.first_day, quarter.last_day)
    claimed = _count(connection, select(func.count()).where(claims.c.status.in_(OPEN), within))
    waiting = _count(
        connection,
        select(func.count()).where(sale_lines.c.quarter == str(quarter), sale_lines.c.status == LineStatus.PENDING),
    )
    return (
        _left("claims", claimed, "/claims/desk"),
        _left("conflicts", of_quarter(connection, quarter), "/conflicts"),
        _left("waiting", waiting, f"/rejected?quarter={quarter}"),
    )


def _left(key: str, number: int, link: str) -> Item:
    return Item(key, State.DUE if number else State.DONE, number=number, link=link)


def _reports(connection: Connection, now: datetime) -> Item:
    latest = connection.execute(select(func.max(tallies.c.as_of))).scalar()
    silent = latest is None or now - latest > SILENT_AFTER
    return Item("reports", State.DUE if silent else State.DONE, latest)


def _paid(payouts: Mapping[str, tuple[int, int]], due: bool, quarter: Quarter) -> Item:
    settled = sum(number for status, (number, _) in payouts.items() if status in _SETTLED)
    of = sum(number for number, _ in payouts.values())
    state = State.LATER if not due else State.DONE if settled == of else State.DUE
    return Item("paid", state, number=settled, of=of, link=f"/programme?quarter={quarter}")


def _count(connection: Connection, query: Select[Any]) -> int:
    return int(connection.execute(query).scalar_one())
