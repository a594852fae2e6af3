"""What the read model knows about one partner. Every query begins in ``PartnerRows._own``: nobody sees another's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, Table, bindparam, func, or_, select

from deploy.runtime.settings import Settings
from schemas.events import LineStatus
from schemas.values import Quarter
from services.kit.database import open_engine, reading
from services.portal.preferences import wants_weekly_mail
from services.portal.tables import MIGRATIONS, closes, partners, payouts, sale_lines, tallies
from streams.rules.calendar import phase_at
from streams.rules.explain import Line
from streams.rules.terms import Programme

PAGE_SIZE = 50


def open_database(settings: Settings) -> Engine:
    """Connect to the portal's database, its tables up to date. Raises NotReady if it does not answer."""
    return open_engine(settings.portal_db_url, MIGRATIONS)


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection on which all queries see the same moment, so that the figures of a page agree."""
    options = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with reading(engine).execution_options(**options).connect() as connection:
        yield connection


class SalesFilter(NamedTuple):
    """Which of a partner's sales to list."""

    status: LineStatus | None = None
    search: str = ""
    """Part of a sale id or of a serial number, upper or lower case."""
    page: int = 1
    """The first page is 1; beyond the last one counts as the last."""


class SalesPage(NamedTuple):
    """Some of a partner's sales, newest first."""

    rows: Sequence[Row[Any]]
    total: int
    page: int
    pages: int


class PartnerRows:
    """One partner's rows, on one connection."""

    def __init__(self, connection: Connection, programme_id: str, partner_id: str) -> None:
        self._connection = connection
        self._programme_id = programme_id
        self._partner_id = partner_id

    def partner(self) -> Row[Any] | None:
        """His registration, if he is registered."""
        return self._connection.execute(self._own(partners)).one_or_none()

    def tally(self, quarter: Quarter) -> Row[Any] | None:
        """His standing in a quarter, if anything was ever said about him in it."""
        return self._connection.execute(self._of_quarter(tallies, quarter)).one_or_none()

    def quarters(self) -> list[str]:
        """The quarters in which he has a standing or a sale, latest first."""
        standings = self._own(tallies, tallies.c.quarter).where(tallies.c.programme_id == self._programme_id)
        sales = self._own(sale_lines, sale_lines.c.quarter).where(sale_lines.c.quarter != "").distinct()
        return sorted({*self._connection.scalars(standings), *self._connection.scalars(sales)}, reverse=True)

    def sales_by_status(self, quarter: Quarter) -> dict[str, int]:
        """How many of his sales of a quarter have which status."""
        query = self._own(sale_lines, sale_lines.c.status, func.count().label("sales")).where(
            sale_lines.c.quarter == str(quarter)
        )
        return {row.status: row.sales for row in self._connection.execute(query.group_by(sale_lines.c.status))}

    def sales(self, quarter: Quarter, wanted: SalesFilter) -> SalesPage:
        """One page of his sales of a quarter."""
        conditions = [sale_lines.c.quarter == str(quarter)]
        if wanted.status is not None:
            conditions.append(sale_lines.c.status == wanted.status)
        if wanted.search:
            columns = (sale_lines.c.sale_id, sale_lines.c.serial_numbers)
            conditions.append(or_(*(c.icontains(wanted.search, autoescape=True) for c in columns)))
        total = self._connection.execute(self._own(sale_lines, func.count()).where(*conditions)).scalar_one()
        pages = max(1, -(-total // PAGE_SIZE))
        page = min(max(1, wanted.page), pages)
        rows = self._connection.execute(
            self._own(sale_lines)
            .where(*conditions)
            .order_by(sale_lines.c.sold_on.desc(), sale_lines.c.sale_id.desc())
            .limit(PAGE_SIZE)
            .offset((page - 1) * PAGE_SIZE)
        ).all()
        return SalesPage(rows, total, page, pages)

    def lines(self, quarter: Quarter) -> Iterator[Line]:
        """All his sales of a quarter, as an explanation wants them."""
        wanted = [sale_lines.c[name] for name in Line._fields]
        query = self._own(sale_lines, *wanted).where(sale_lines.c.quarter == str(quarter))
        return (Line(*row) for row in self._connection.execute(query.execution_options(yield_per=1000)))

    def units_by_day(self, quarter: Quarter) -> list[tuple[date, int]]:
        """His counted units of a quarter by day of sale, in order; what came back has left its day."""
        query = (
            self._own(sale_lines, sale_lines.c.sold_on, func.sum(sale_lines.c.units))
            .where(sale_lines.c.quarter == str(quarter), sale_lines.c.units != 0)
            .group_by(sale_lines.c.sold_on)
            .order_by(sale_lines.c.sold_on)
        )
        return [(day, int(units)) for day, units in self._connection.execute(query)]

    def closes(self, quarter: Quarter) -> Sequence[Row[Any]]:
        """The closes of his quarter, first to last."""
        return self._connection.execute(self._of_quarter(closes, quarter).order_by(closes.c.revision)).all()

    def payouts(self, quarter: Quarter) -> list[Row[Any]]:
        """Where the money of each of his quarter's closes is now, by revision."""
        query = self._of_quarter(payouts, quarter).order_by(payouts.c.revision, payouts.c.sequence)
        return list({row.revision: row for row in self._connection.execute(query)}.values())

    def weekly_mail(self) -> bool:
        """Whether he gets the weekly mail."""
        return wants_weekly_mail(self._connection, self._partner_id)

    def _of_quarter(self, table: Table, quarter: Quarter) -> Select[Any]:
        return self._own(table).where(table.c.programme_id == self._programme_id, table.c.quarter == str(quarter))

    def _own(self, table: Table, *columns: ColumnElement[Any]) -> Select[Any]:
        return select(*(columns or (table,))).where(table.c.partner_id == bindparam("partner_id", self._partner_id))


def standing(
    engine: Engine, programme: Programme, partner_id: str, quarter: Quarter, now: datetime
) -> dict[str, Any] | None:
    """A partner's standing in a quarter, as ``staffel standing --json`` prints it. None if nobody knows the partner."""
    with snapshot(engine) as connection:
        rows = PartnerRows(connection, programme.id, partner_id)
        tally = rows.tally(quarter)
        if tally is None and rows.partner() is None and not rows.quarters():
            return None
    return standing_of(tally, programme, partner_id, quarter, now)


def standing_of(
    tally: Row[Any] | None, programme: Programme, partner_id: str, quarter: Quarter, now: datetime
) -> dict[str, Any]:
    """The same from a row of ``tallies``; without one, of a partner who has sold nothing."""
    terms = programme.terms_for(quarter)
    units = tally.units if tally else 0
    reached, above = terms.tier_for(units), terms.next_tier(units)
    return {
        "partner_id": partner_id,
        "quarter": str(quarter),
        "units": units,
        "tier": reached.units,
        "rate_minor": reached.rate_minor,
        "rebate_minor": terms.rebate_minor(units),
        "currency": terms.currency,
        "next_tier": {
            "threshold": above.threshold,
            "units_missing": above.units_missing,
            "gain_minor": above.gain_minor,
        }
        if above
        else None,
        "phase": tally.phase if tally else str(phase_at(programme, quarter, now)),
        "revision": tally.revision if tally else -1,
        "payable_minor": tally.payable_minor if tally else 0,
        "sales": {
            status: getattr(tally, status) if tally else 0 for status in ("counted", "pending", "rejected", "returned")
        },
    }
