"""What the read model knows about one partner. Every query begins in ``PartnerRows._own``: nobody sees another's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    Table,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from deploy.runtime.settings import Settings
from schemas.events import LineStatus
from schemas.values import Quarter
from services.kit.database import open_engine, reading
from services.portal.claims.lists import number_asked
from services.portal.preferences import chosen
from services.portal.tables import (
    MIGRATIONS,
    closes,
    open_serials,
    partners,
    payouts,
    preferences,
    sale_lines,
    tallies,
    tier_changes,
)
from streams.rules.calendar import phase_at
from streams.rules.explain import Line
from streams.rules.terms import Programme

PAGE_SIZE = 50
_FEW = 200
"""So many sales are looked up one by one. A serial number that more have is a placeholder."""


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

    quarter: Quarter | None = None
    status: LineStatus | None = None
    search: str = ""
    """A sale id or a serial number, upper or lower case; where there is none such, a part of one."""
    product_id: str = ""
    since: date | None = None
    until: date | None = None


class Place(NamedTuple):
    """Where in the list a sale stands: newest first."""

    quarter: str
    day: date
    sale_id: str


class SalesPage(NamedTuple):
    """Some of a partner's sales, newest first, and between which places others are; None where there are none."""

    rows: Sequence[Row[Any]]
    newer_than: Place | None
    older_than: Place | None


class PartnerRows:
    """One partner's rows, on one connection."""

    def __init__(self, connection: Connection, programme_id: str, partner_id: str) -> None:
        self._connection = connection
        self._programme_id = programme_id
        self._partner_id = partner_id

    def partner(self) -> Row[Any] | None:
        """His registration, if he is registered. ``language`` is the one that he chose, if he chose one."""
        choice = func.coalesce(func.nullif(preferences.c.language, literal_column("''")), partners.c.language)
        columns = [column for column in partners.c if column is not partners.c.language]
        same = preferences.c.partner_id == partners.c.partner_id
        query = self._own(
            partners, *columns, choice.label("language"), partners.c.language.label("registered_language")
        )
        return self._connection.execute(query.select_from(partners.outerjoin(preferences, same))).one_or_none()

    def tally(self, quarter: Quarter) -> Row[Any] | None:
        """His standing in a quarter, if anything was ever said about him in it."""
        return self._connection.execute(self._of_quarter(tallies, quarter)).one_or_none()

    def quarters(self) -> list[str]:
        """The quarters in which he has a standing or a sale, latest first."""
        standings = self._own(tallies, tallies.c.quarter).where(tallies.c.programme_id == self._programme_id)
        return sorted({*self._connection.scalars(standings), *self._quarters_with_lines()}, reverse=True)

    def _quarters_with_lines(self) -> Iterator[str]:
        # One step of an index for each: DISTINCT would read every line.
        later = self._own(sale_lines, func.max(sale_lines.c.quarter).label("quarter")).cte("later", recursive=True)
        before = sale_lines.alias("before")
        earlier = select(func.max(before.c.quarter)).where(
            before.c.partner_id == self._partner_id, before.c.quarter < later.c.quarter
        )
        later = later.union_all(select(earlier.scalar_subquery()).where(later.c.quarter.is_not(None)))
        return (quarter for quarter in self._connection.scalars(select(later.c.quarter)) if quarter)

    def sales_by_status(self, quarter: Quarter | None = None) -> dict[str, int]:
        """How many of his sales of a quarter, or of all, have which status. Known from his standings, not counted."""
        statuses = [status for status in LineStatus if status is not LineStatus.UNKNOWN]
        query = self._own(tallies, *(tallies.c[status] for status in statuses)).where(
            tallies.c.programme_id == self._programme_id
        )
        alone = self._own(sale_lines, sale_lines.c.status).where(sale_lines.c.sold_on.is_(None))
        if quarter is not None:
            query = query.where(tallies.c.quarter == str(quarter))
            alone = alone.where(sale_lines.c.quarter == str(quarter))
        found: Counter[str] = Counter(self._connection.scalars(alone))  # returns without their sale: in no standing
        for row in self._connection.execute(query):
            found.update(dict(zip(statuses, row, strict=True)))
        return {status: number for status, number in found.items() if number}

    def sales(self, wanted: SalesFilter, start: Place | None = None, newer: bool = False) -> SalesPage:
        """A page of his sales: those older than a place, or those newer; without one, the newest of all."""
        order = (sale_lines.c.quarter, sale_lines.c.listed_on, sale_lines.c.sale_id)
        query = self._listed(wanted)
        if start is not None:
            # Within one quarter its name is left out: it stood in the way of the index that begins at the place.
            known = 1 if wanted.quarter is not None and str(wanted.quarter) == start.quarter else 0
            here, there = tuple_(*order[known:]), tuple_(*start[known:])
            query = query.where(here > there if newer else here < there)
        query = query.order_by(*(column.asc() if newer else column.desc() for column in order))
        rows = list(self._connection.execute(query.limit(PAGE_SIZE + 1)))
        more = len(rows) > PAGE_SIZE
        del rows[PAGE_SIZE:]
        if newer:
            rows.reverse()
        if not rows:
            return SalesPage(rows, None, None)
        first, last = (Place(row.quarter, row.listed_on, row.sale_id) for row in (rows[0], rows[-1]))
        has_newer, has_older = (more, True) if newer else (start is not None, more)
        return SalesPage(rows, first if has_newer else None, last if has_older else None)

    def every_sale(self, wanted: SalesFilter) -> Iterator[Row[Any]]:
        """All his sales that are wanted, newest first, read while they are used."""
        order = (sale_lines.c.quarter, sale_lines.c.listed_on, sale_lines.c.sale_id)
        query = self._listed(wanted).order_by(*(column.desc() for column in order))
        return iter(self._connection.execute(query.execution_options(yield_per=1000)))

    def latest_sales(self, quarter: Quarter, number: int) -> Sequence[Row[Any]]:
        """His newest sales of a quarter."""
        query = self._listed(SalesFilter(quarter))
        newest = (sale_lines.c.listed_on.desc(), sale_lines.c.sale_id.desc())
        return self._connection.execute(query.order_by(*newest).limit(number)).all()

    def sale(self, sale_id: str) -> Row[Any] | None:
        """One of his sales."""
        return self._connection.execute(self._own(sale_lines).where(sale_lines.c.sale_id == sale_id)).one_or_none()

    def tier_changes(self, quarter: Quarter) -> Sequence[Row[Any]]:
        """His tier changes of a quarter, first to last."""
        return self._connection.execute(self._of_quarter(tier_changes, quarter).order_by(tier_changes.c.sequence)).all()

    def lines(self, quarter: Quarter) -> Iterator[Line]:
        """All his sales of a quarter, as an explanation wants them."""
        wanted = [sale_lines.c[name] for name in Line._fields]
        query = self._own(sale_lines, *wanted).where(sale_lines.c.quarter == str(quarter))
        return (Line(*row) for row in self._connection.execute(query.execution_options(yield_per=1000)))

    def units_by_day(self, quarter: Quarter) -> list[tuple[date, int]]:
        """His counted units of a quarter by day of sale, in order; what came back has left its day."""
        query = (
            self._own(sale_lines, sale_lines.c.listed_on, func.sum(sale_lines.c.units))
            .where(sale_lines.c.quarter == str(quarter), sale_lines.c.units != 0)
            .group_by(sale_lines.c.listed_on)
            .order_by(sale_lines.c.listed_on)
        )
        return [(day, int(units)) for day, units in self._connection.execute(query)]

    def standings(self) -> dict[str, Row[Any]]:
        """All his standings, by quarter."""
        query = self._own(tallies).where(tallies.c.programme_id == self._programme_id)
        return {row.quarter: row for row in self._connection.execute(query)}

    def closes(self, quarter: Quarter | None = None) -> Sequence[Row[Any]]:
        """The closes of his quarter, or of all, first to last."""
        return self._connection.execute(
            self._of_quarter(closes, quarter).order_by(closes.c.quarter, closes.c.revision)
        ).all()

    def payouts(self, quarter: Quarter | None = None) -> list[Row[Any]]:
        """Where the money of each close of his quarter, or of all, is now, by revision."""
        return list({(row.quarter, row.revision): row for row in self.payout_steps(quarter)}.values())

    def payout_steps(self, quarter: Quarter | None = None) -> Sequence[Row[Any]]:
        """How it got there: every step, by revision and in order."""
        query = self._of_quarter(payouts, quarter).order_by(payouts.c.quarter, payouts.c.revision, payouts.c.sequence)
        return self._connection.execute(query).all()

    def questions(self) -> int:
        """How many of his claims wait for his answer."""
        return number_asked(self._connection, self._partner_id)

    def weekly_mail(self) -> bool:
        """Whether he gets the weekly mail."""
        return chosen(self._connection, self._partner_id).weekly_mail

    def _listed(self, wanted: SalesFilter) -> Select[Any]:
        query = self._own(sale_lines)
        if wanted.quarter is not None:
            query = query.where(sale_lines.c.quarter == str(wanted.quarter))
        if wanted.status is not None:
            query = query.where(sale_lines.c.status == wanted.status)
        if wanted.product_id:
            query = query.where(sale_lines.c.product_id == wanted.product_id)
        if wanted.since is not None:
            query = query.where(sale_lines.c.listed_on >= wanted.since)
        if wanted.until is not None:
            query = query.where(sale_lines.c.listed_on <= wanted.until)
        if wanted.search:
            query = query.where(self._fits(wanted.search))
        return query

    def _fits(self, search: str) -> ColumnElement[bool]:
        """A whole number is found by indexes, a part that few sales have by one walk past all of his.

        What more have is found soon enough by walking along the list.
        """
        few = self._with_number(search) or self._with_part(search)
        return sale_lines.c.sale_id.in_(few) if len(few) <= _FEW else _has_part(search)

    def _with_number(self, number: str) -> set[str]:
        spelled = {number, number.upper(), number.lower()}
        numbers = self._own(sale_lines, sale_lines.c.sale_id).where(sale_lines.c.sale_id.in_(spelled))
        serials = self._own(open_serials, open_serials.c.sale_id).where(open_serials.c.serial_number.in_(spelled))
        return set(self._connection.scalars(numbers.union_all(serials).limit(_FEW + 1)))

    def _with_part(self, part: str) -> set[str]:
        # Not in the list's order: SQLite would jump to and fro in the table for each row.
        query = self._own(sale_lines, sale_lines.c.sale_id).where(_has_part(part))
        return set(self._connection.scalars(query.limit(_FEW + 1)))

    def _of_quarter(self, table: Table, quarter: Quarter | None) -> Select[Any]:
        query = self._own(table).where(table.c.programme_id == self._programme_id)
        return query if quarter is None else query.where(table.c.quarter == str(quarter))

    def _own(self, table: Table, *columns: ColumnElement[Any]) -> Select[Any]:
        return select(*(columns or (table,))).where(table.c.partner_id == bindparam("partner_id", self._partner_id))


def _has_part(part: str) -> ColumnElement[bool]:
    columns = (sale_lines.c.sale_id, sale_lines.c.serial_numbers)
    return or_(*(column.icontains(part, autoescape=True) for column in columns))


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
