"""Remembers what was exported. A close that payout reads late is booked on the day on which it was made: into a period
that the bookkeeper may have imported before. He must be told, or his books and ours part in silence."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select

from services.payout.books import Format
from services.payout.books.period import Period, booked_since
from services.payout.tables import exports
from streams.rules.terms import Programme


class Late(NamedTuple):
    """Journals that came into a period after it was exported."""

    period: Period
    journals: int


def remember(connection: Connection, chosen: Format, period: Period, sequence: int, at: datetime) -> None:
    """A period was exported, from a ledger whose last journal had this number."""
    connection.execute(
        insert(exports).values(format=chosen, first=period.first, last=period.last, sequence=sequence, exported_at=at)
    )


def late(connection: Connection, programme: Programme, chosen: Format) -> list[Late]:
    """The periods exported for this program into which something was booked since their latest export."""
    newest = (
        select(exports.c.first, exports.c.last, func.max(exports.c.sequence))
        .where(exports.c.format == chosen)
        .group_by(exports.c.first, exports.c.last)
        .order_by(exports.c.first, exports.c.last)
    )
    found = []
    for first, last, sequence in connection.execute(newest).all():
        period = Period(first, last)
        journals = booked_since(connection, programme, period, int(sequence))
        if journals:
            found.append(Late(period, journals))
    return found
