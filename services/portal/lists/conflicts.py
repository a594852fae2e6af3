"""Serial numbers and sale ids that two sales have open, of which one at most is right; and the return that ends it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, exists, func, select, tuple_

from schemas.events import LineStatus, SaleReturned
from schemas.topics import SALES
from schemas.values import Quarter
from services.kit.database import upsert
from services.kit.relay import post
from services.portal.audit import note
from services.portal.claims.known import still_open
from services.portal.claims.tables import staff_returns
from services.portal.tables import open_serials, outbox, partners, sale_lines, tallies
from streams.rules.terms import Programme

PAGE_SIZE = 25
REASONS = ("wrong-partner", "reported-twice", "came-back")
"""Why staff enters a return, as codes."""
REPORTED_BY = "staff"
_OPEN = (LineStatus.COUNTED, LineStatus.PENDING)


class Kind(StrEnum):
    """What two sales have in common."""

    SERIAL = "serial"
    SALE = "sale"


class Side(NamedTuple):
    """One of the sales in a conflict."""

    line: Row[Any]
    name: str
    """The partner's, if he has one."""
    units: int
    """Units that would go with it."""
    worth_minor: int
    """What its partner's rebate would lose."""
    currency: str


class Conflict(NamedTuple):
    """A serial number or a sale id, and the sales that have it open."""

    kind: Kind
    what: str
    sides: Sequence[Side]


class Some(NamedTuple):
    """One page of conflicts."""

    rows: Sequence[Conflict]
    total: int
    page: int
    pages: int


class Outcome(StrEnum):
    """What became of a return that staff wanted to enter."""

    DONE = "done"
    GONE = "gone"
    """The sale is open no more, or somebody entered the same before."""
    TOO_LATE = "too-late"
    """Nothing changes the sale's quarter any more."""


class Wanted(NamedTuple):
    """A return as it was entered: of one unit by its serial number, or of all that is left of the sale."""

    partner_id: str
    sale_id: str
    serial_number: str
    reason: str
    note: str
    person: str


def number_of(connection: Connection, kind: Kind) -> int:
    """How many conflicts of a kind there are."""
    return connection.execute(select(func.count()).select_from(_shared(kind).subquery())).scalar_one()


def conflicts(connection: Connection, programme: Programme, kind: Kind, page: int) -> Some:
    """A page of the conflicts of a kind."""
    total = number_of(connection, kind)
    pages = max(1, -(-total // PAGE_SIZE))
    page = min(max(1, page), pages)
    query = _shared(kind).order_by("what").limit(PAGE_SIZE).offset((page - 1) * PAGE_SIZE)
    return Some(_whole(connection, programme, kind, list(connection.scalars(query))), total, page, pages)


def all_conflicts(connection: Connection, programme: Programme, kind: Kind) -> Iterator[Conflict]:
    """All of them."""
    page = 1
    while (some := conflicts(connection, programme, kind, page)).page == page and some.rows:
        yield from some.rows
        page += 1


def of_quarter(connection: Connection, quarter: Quarter) -> int:
    """How many sales of a quarter are in a conflict of serial numbers."""
    shared = _shared(Kind.SERIAL).subquery()
    query = (
        select(func.count(func.distinct(sale_lines.c.partner_id + "/" + sale_lines.c.sale_id)))
        .join_from(open_serials, sale_lines, _same_sale(open_serials))
        .where(open_serials.c.serial_number.in_(select(shared.c.what)), sale_lines.c.quarter == str(quarter))
    )
    return connection.execute(query).scalar_one()


def enter_return(engine: Engine, programme: Programme, wanted: Wanted, now: datetime) -> Outcome:
    """End a conflict: units of one of its sales came back, or never were sold by this partner."""
    at = now.replace(microsecond=now.microsecond // 1000 * 1000)
    with engine.begin() as connection:
        line = connection.execute(_open_line(wanted)).one_or_none()
        quantity = 1 if wanted.serial_number else _left(line) if line else 0
        if line is None or quantity < 1:
            return Outcome.GONE
        if at >= programme.dates(Quarter.of(line.sold_on)).horizon_at:
            return Outcome.TOO_LATE
        return_id = _return_id(wanted)
        row = wanted._asdict() | {"return_id": return_id, "quantity": quantity, "entered_at": at}
        entered = (
            upsert(staff_returns, engine).values(row).on_conflict_do_nothing().returning(staff_returns.c.return_id)
        )
        if connection.execute(entered).first() is None:
            return Outcome.GONE
        note(
            connection,
            f"staff {wanted.person}",
            "return-entered",
            wanted.partner_id,
            sale=wanted.sale_id,
            serial=wanted.serial_number,
            units=quantity,
            reason=wanted.reason,
        )
        post(connection, outbox, SALES, [_event(line, wanted, return_id, quantity, programme, at)], at)
    return Outcome.DONE


def _event(
    line: Row[Any], wanted: Wanted, return_id: str, quantity: int, programme: Programme, at: datetime
) -> SaleReturned:
    serials = (wanted.serial_number,) if wanted.serial_number else tuple(filter(None, line.serial_numbers.split("\n")))
    return SaleReturned(
        return_id=return_id,
        sale_id=wanted.sale_id,
        partner_id=wanted.partner_id,
        product_id=line.product_id,
        quantity=quantity,
        returned_on=at.astimezone(programme.zone).date(),
        reported_at=at,
        serial_numbers=serials,
        reported_by=REPORTED_BY,
    )


def _return_id(wanted: Wanted) -> str:
    """The same return entered twice is one."""
    facts = (wanted.partner_id, wanted.sale_id, wanted.serial_number)
    return "staff-" + hashlib.blake2b("\x1f".join(facts).encode(), digest_size=12).hexdigest()


def _left(line: Row[Any]) -> int:
    """Units of a sale that have not come back."""
    if line.status == LineStatus.COUNTED:
        return int(line.units)
    return int(line.quantity - sum(back["quantity"] for back in line.returns))


def _open_line(wanted: Wanted) -> Select[Any]:
    query = select(sale_lines).where(
        sale_lines.c.partner_id == wanted.partner_id,
        sale_lines.c.sale_id == wanted.sale_id,
        sale_lines.c.status.in_(_OPEN),
        sale_lines.c.sold_on.is_not(None),
    )
    if wanted.serial_number:
        has = and_(_same_sale(open_serials), open_serials.c.serial_number == wanted.serial_number, still_open())
        query = query.where(exists().where(has))
    return query


def _shared(kind: Kind) -> Select[Any]:
    """What more than one sale has open, as ``what``."""
    if kind is Kind.SERIAL:
        return (
            select(open_serials.c.serial_number.label("what"))
            .where(still_open())
            .group_by(open_serials.c.serial_number)
            .having(func.count() > 1)
        )
    return (
        select(sale_lines.c.sale_id.label("what"))
        .where(sale_lines.c.status.in_(_OPEN), _not_given_back())
        .group_by(sale_lines.c.sale_id)
        .having(func.count() > 1)
    )


def _whole(connection: Connection, programme: Programme, kind: Kind, what: Sequence[str]) -> list[Conflict]:
    named = select(sale_lines, partners.c.name)
    if kind is Kind.SERIAL:
        query = (
            named.add_columns(open_serials.c.serial_number.label("what"))
            .select_from(open_serials.join(sale_lines, _same_sale(open_serials)).join(*_partner(), isouter=True))
            .where(open_serials.c.serial_number.in_(what), still_open())
        )
    else:
        query = (
            named.add_columns(sale_lines.c.sale_id.label("what"))
            .select_from(sale_lines.join(*_partner(), isouter=True))
            .where(sale_lines.c.sale_id.in_(what), sale_lines.c.status.in_(_OPEN), _not_given_back())
        )
    rows = connection.execute(query.order_by("what", sale_lines.c.reported_at, sale_lines.c.partner_id)).all()
    standings = _standings(connection, programme, rows)
    found: dict[str, list[Side]] = defaultdict(list)
    for row in rows:
        found[row.what].append(_side(programme, kind, row, standings.get((row.partner_id, row.quarter), 0)))
    return [Conflict(kind, one, sides) for one, sides in found.items()]


def _side(programme: Programme, kind: Kind, line: Row[Any], standing: int) -> Side:
    units = 1 if kind is Kind.SERIAL else _left(line)
    if not line.quarter:
        return Side(line, line.name or "", units, 0, "")
    terms = programme.terms_for(Quarter.parse(line.quarter))
    counted = min(units, line.units)
    worth = terms.rebate_minor(standing) - terms.rebate_minor(max(0, standing - counted))
    return Side(line, line.name or "", units, worth, terms.currency)


def _standings(connection: Connection, programme: Programme, rows: Sequence[Row[Any]]) -> dict[tuple[str, str], int]:
    wanted = {(row.partner_id, row.quarter) for row in rows}
    query = select(tallies.c.partner_id, tallies.c.quarter, tallies.c.units).where(
        tallies.c.programme_id == programme.id, tuple_(tallies.c.partner_id, tallies.c.quarter).in_(wanted)
    )
    return {(row.partner_id, row.quarter): row.units for row in connection.execute(query)}


def _not_given_back() -> ColumnElement[bool]:
    """Whether staff has not entered that all of a sale came back; the stream says so a moment later."""
    given = and_(
        staff_returns.c.partner_id == sale_lines.c.partner_id,
        staff_returns.c.sale_id == sale_lines.c.sale_id,
        staff_returns.c.serial_number == "",
    )
    return ~exists().where(given)


def _partner() -> tuple[Any, Any]:
    return partners, partners.c.partner_id == sale_lines.c.partner_id


def _same_sale(table: Any) -> ColumnElement[bool]:
    return and_(table.c.partner_id == sale_lines.c.partner_id, table.c.sale_id == sale_lines.c.sale_id)
