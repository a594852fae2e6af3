"""Sales of a quarter that do not count, or not yet: how many for which reason, and which ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, func, select

from schemas.events import LineStatus
from schemas.values import Quarter
from services.portal.tables import partners, sale_lines

PAGE_SIZE = 50
_STATUSES = (LineStatus.REJECTED, LineStatus.PENDING)


class Some(NamedTuple):
    """One page of sales."""

    rows: Sequence[Row[Any]]
    total: int
    page: int
    pages: int


def quarters(connection: Connection) -> list[str]:
    """The quarters that have such sales."""
    query = select(sale_lines.c.quarter).distinct().where(sale_lines.c.status.in_(_STATUSES))
    return [quarter for quarter in connection.scalars(query) if quarter]


def by_reason(connection: Connection, quarter: Quarter) -> Sequence[Row[Any]]:
    """Number of sales, units and partners by status and reason, the most frequent first."""
    key = (sale_lines.c.status, sale_lines.c.reason)
    sales = func.count().label("sales")
    query = (
        select(*key, sales, func.sum(sale_lines.c.quantity).label("units"))
        .add_columns(func.count(func.distinct(sale_lines.c.partner_id)).label("partners"))
        .where(sale_lines.c.quarter == str(quarter), sale_lines.c.status.in_(_STATUSES))
        .group_by(*key)
        .order_by(sales.desc(), *key)
    )
    return connection.execute(query).all()


def some(connection: Connection, quarter: Quarter, reason: str, page: int) -> Some:
    """A page of those with one reason; an empty reason is all."""
    query = _sales(quarter, reason)
    total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    pages = max(1, -(-total // PAGE_SIZE))
    page = min(max(1, page), pages)
    rows = connection.execute(query.order_by(*_ORDER).limit(PAGE_SIZE).offset((page - 1) * PAGE_SIZE)).all()
    return Some(rows, total, page, pages)


def every(connection: Connection, quarter: Quarter, reason: str) -> Iterator[Row[Any]]:
    """All of them."""
    query = _sales(quarter, reason).order_by(*_ORDER)
    return iter(connection.execute(query.execution_options(yield_per=1000)))


_ORDER = (sale_lines.c.recorded_at.desc(), sale_lines.c.partner_id, sale_lines.c.sale_id)


def _sales(quarter: Quarter, reason: str) -> Select[Any]:
    joined = sale_lines.join(partners, sale_lines.c.partner_id == partners.c.partner_id, isouter=True)
    query = select(sale_lines, partners.c.name, partners.c.country).select_from(joined)
    query = query.where(sale_lines.c.quarter == str(quarter), sale_lines.c.status.in_(_STATUSES))
    return query.where(sale_lines.c.reason == reason) if reason else query
