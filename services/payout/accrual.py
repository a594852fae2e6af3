"""Each partner's quarter as finance wants to know it: now, at its end, and what of it is closed and paid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import Connection, case, func, select

from schemas.values import Quarter
from services.payout import lines
from services.payout.states import State
from services.payout.tables import obligations
from streams.rules.accrual import Outlook, outlook
from streams.rules.terms import Programme

_MOVED = (State.IN_PAYMENT, State.NETTED, State.PAID)


class Accrued(NamedTuple):
    """A partner's quarter."""

    partner_id: str
    outlook: Outlook
    closed_minor: int
    """What its closes made payable: it is in the ledger."""
    paid_minor: int
    """What of that was handed to the bank or set off."""


def accrued(connection: Connection, programme: Programme, quarter: Quarter, today: date) -> Iterator[Accrued]:
    """Each partner with a line or a close in the quarter; one partner's lines in memory at a time."""
    terms, closed = programme.terms_for(quarter), _closed(connection, programme, quarter)
    for partner_id, group in groupby(lines.of_quarter(connection, str(quarter)), key=attrgetter("partner_id")):
        by_day: defaultdict[date, int] = defaultdict(int)
        for line in group:
            if line.units and line.sold_on is not None:
                by_day[line.sold_on] += line.units
        yield Accrued(partner_id, outlook(by_day, terms, quarter, today), *closed.pop(partner_id, (0, 0)))
    for partner_id, sums in sorted(closed.items()):
        yield Accrued(partner_id, outlook({}, terms, quarter, today), *sums)


def _closed(connection: Connection, programme: Programme, quarter: Quarter) -> dict[str, tuple[int, int]]:
    moved = case((obligations.c.state.in_(_MOVED), obligations.c.amount_minor), else_=0)
    rows = connection.execute(
        select(obligations.c.partner_id, func.sum(obligations.c.amount_minor), func.sum(moved))
        .where(obligations.c.programme_id == programme.id, obligations.c.quarter == str(quarter))
        .group_by(obligations.c.partner_id)
    )
    return {partner_id: (int(made), int(paid)) for partner_id, made, paid in rows}
