"""Lists of claims: a partner's own, and the vendor's work list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, func, or_, select

from services.portal.claims.tables import OPEN, Status, claim_proofs, claim_reports, claim_steps, claims
from services.portal.tables import partners, sale_lines

PAGE_SIZE = 50


class Some(NamedTuple):
    """One page of a list."""

    rows: Sequence[Row[Any]]
    total: int
    page: int
    pages: int


class Whole(NamedTuple):
    """A claim with all that was said about it, and its proofs."""

    claim: Row[Any]
    steps: Sequence[Row[Any]]
    proofs: Sequence[Row[Any]]


def of_partner(connection: Connection, partner_id: str, page: int) -> Some:
    """A partner's claims, the latest first."""
    query = select(claims).where(claims.c.partner_id == partner_id)
    return _page(connection, query, (claims.c.claimed_at.desc(), claims.c.claim_id), page)


def by_status(connection: Connection) -> dict[str, int]:
    """How many claims are where."""
    query = select(claims.c.status, func.count().label("claims")).group_by(claims.c.status)
    return {row.status: row.claims for row in connection.execute(query)}


def number_sent(connection: Connection) -> int:
    """How many wait for the vendor."""
    return connection.execute(select(func.count()).where(claims.c.status == Status.SENT)).scalar_one()


def number_asked(connection: Connection, partner_id: str) -> int:
    """How many wait for the partner."""
    mine = (claims.c.partner_id == partner_id, claims.c.status == Status.ASKED)
    return connection.execute(select(func.count()).where(*mine)).scalar_one()


class Wanted(NamedTuple):
    """Which claims staff wants to see."""

    status: str = Status.SENT
    """Empty: all."""
    search: str = ""
    """Part of a partner's id or name, of a sale's or a claim's id, or of a serial number."""
    page: int = 1


def desk(connection: Connection, wanted: Wanted) -> Some:
    """A page of the work list: what waits longest comes first, what is decided comes latest first."""
    return _page(connection, _desk(wanted), _order(wanted), wanted.page)


def whole_desk(connection: Connection, wanted: Wanted) -> Iterator[Row[Any]]:
    """The whole work list."""
    query = _desk(wanted).order_by(*_order(wanted))
    return iter(connection.execute(query.execution_options(yield_per=1000)))


def whole(connection: Connection, claim: Row[Any]) -> Whole:
    """All there is about a claim."""
    steps = select(claim_steps).where(claim_steps.c.claim_id == claim.claim_id).order_by(claim_steps.c.number)
    owned = claim_proofs.c.belongs_to.in_((claim.report_id, claim.claim_id))
    proofs = select(claim_proofs).where(owned).order_by(claim_proofs.c.sent_at, claim_proofs.c.file_name)
    return Whole(claim, connection.execute(steps).all(), connection.execute(proofs).all())


def report(connection: Connection, partner_id: str, report_id: str) -> Row[Any] | None:
    """What became of something that a partner sent in."""
    mine = (claim_reports.c.partner_id == partner_id, claim_reports.c.report_id == report_id)
    return connection.execute(select(claim_reports).where(*mine)).one_or_none()


def with_partner(connection: Connection, claim_id: str) -> Row[Any] | None:
    """A claim, with its partner's name where he has one."""
    return connection.execute(_with_names().where(claims.c.claim_id == claim_id)).one_or_none()


def neighbours(connection: Connection, claim: Row[Any]) -> Sequence[Row[Any]]:
    """Other sales of the partner around the claimed day: the claimed one may be among them under another number."""

    week = timedelta(days=7)
    near = sale_lines.c.sold_on.between(claim.sold_on - week, claim.sold_on + week)
    query = select(sale_lines).where(sale_lines.c.partner_id == claim.partner_id, near)
    return connection.execute(query.order_by(sale_lines.c.sold_on, sale_lines.c.sale_id).limit(PAGE_SIZE)).all()


def _with_names() -> Select[Any]:
    joined = claims.join(partners, claims.c.partner_id == partners.c.partner_id, isouter=True)
    return select(claims, partners.c.name, partners.c.country).select_from(joined)


def _desk(wanted: Wanted) -> Select[Any]:
    query = _with_names()
    if wanted.status:
        query = query.where(claims.c.status == wanted.status)
    if wanted.search:
        columns = (
            *(claims.c.partner_id, partners.c.name, claims.c.sale_id, claims.c.claim_id),
            claims.c.serial_numbers,
        )
        query = query.where(or_(*(column.icontains(wanted.search, autoescape=True) for column in columns)))
    return query


def _order(wanted: Wanted) -> tuple[Any, ...]:
    if wanted.status in OPEN:
        return claims.c.claimed_at, claims.c.claim_id
    return claims.c.changed_at.desc(), claims.c.claim_id


def _page(connection: Connection, query: Select[Any], order: tuple[Any, ...], wanted: int) -> Some:
    total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    pages = max(1, -(-total // PAGE_SIZE))
    page = min(max(1, wanted), pages)
    rows = connection.execute(query.order_by(*order).limit(PAGE_SIZE).offset((page - 1) * PAGE_SIZE)).all()
    return Some(rows, total, page, pages)
