"""What is known already about a claimed sale: the sale itself, its serial numbers, and other claims of the same.

Every look takes a connection of its caller's transaction, so that what is decided on it still holds when it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, select

from schemas.events import LineStatus
from services.portal.claims.reading import Claimed
from services.portal.claims.tables import OPEN, STANDING, Status, claim_proofs, claim_serials, claims, staff_returns
from services.portal.tables import open_serials, sale_lines

_SHOWN_MAX = 20
_LINE_OPEN = (LineStatus.COUNTED, LineStatus.PENDING)


class Known(NamedTuple):
    """A sale that needs no claim: what stands for it already. One of the two is there."""

    claimed: Claimed
    line: Row[Any] | None = None
    claim: Row[Any] | None = None
    serial_number: str = ""
    """The serial number by which it was found, if it has another sale id."""


def known_already(connection: Connection, partner_id: str, claimed: Claimed) -> Known | None:
    """What of the partner's own stands for this sale already."""
    line = line_of(connection, partner_id, claimed.sale_id)
    if line is not None:
        return Known(claimed, line=line)
    claim = connection.execute(
        select(claims).where(
            claims.c.partner_id == partner_id, claims.c.sale_id == claimed.sale_id, claims.c.status.in_(STANDING)
        )
    ).first()
    if claim is not None:
        return Known(claimed, claim=claim)
    return _by_serial(connection, partner_id, claimed)


def line_of(connection: Connection, partner_id: str, sale_id: str) -> Row[Any] | None:
    """The sale's line. Of a sale that only a return tells of there is none: it is just what is missing."""
    return connection.execute(
        select(sale_lines).where(
            sale_lines.c.partner_id == partner_id, sale_lines.c.sale_id == sale_id, sale_lines.c.sold_on.is_not(None)
        )
    ).one_or_none()


def _by_serial(connection: Connection, partner_id: str, claimed: Claimed) -> Known | None:
    if not claimed.serial_numbers:
        return None
    own = connection.execute(
        select(sale_lines, open_serials.c.serial_number)
        .join_from(open_serials, sale_lines, _same_sale(open_serials, sale_lines))
        .where(open_serials.c.partner_id == partner_id, open_serials.c.serial_number.in_(claimed.serial_numbers))
        .where(still_open())
    ).first()
    if own is not None:
        return Known(claimed, line=own, serial_number=own.serial_number)
    other = connection.execute(
        select(claims, claim_serials.c.serial_number)
        .join_from(claim_serials, claims, claim_serials.c.claim_id == claims.c.claim_id)
        .where(
            claims.c.partner_id == partner_id,
            claims.c.status.in_(STANDING),
            claim_serials.c.serial_number.in_(claimed.serial_numbers),
        )
    ).first()
    return Known(claimed, claim=other, serial_number=other.serial_number) if other is not None else None


class Trouble(StrEnum):
    """What staff must know before a claim is decided."""

    KNOWN = "known"
    """The partner's sale has come in by itself meanwhile."""
    SERIAL_KNOWN = "serial-known"
    """A serial number is in another sale of the same partner."""
    SERIAL_ELSEWHERE = "serial-elsewhere"
    """A serial number is in another partner's sale."""
    SERIAL_ACCEPTED = "serial-accepted"
    """A serial number was accepted with another claim, whose sale is on its way."""
    SALE_ELSEWHERE = "sale-elsewhere"
    """Another partner has a sale of this number."""
    SERIAL_CLAIMED = "serial-claimed"
    """A serial number waits in another claim."""
    SAME_FILE = "same-file"
    """The same file came with another claim."""

    @property
    def forbids(self) -> bool:
        """Whether the claim can't be accepted while it is so: something would count twice."""
        return self in (self.KNOWN, self.SERIAL_KNOWN, self.SERIAL_ELSEWHERE, self.SERIAL_ACCEPTED)


class Found(NamedTuple):
    """Something that speaks against a claim, and where it is."""

    trouble: Trouble
    partner_id: str
    sale_id: str
    serial_number: str = ""
    claim_id: str = ""


def troubles(connection: Connection, claim: Row[Any]) -> list[Found]:
    """What speaks against accepting a claim, the worst first."""
    found: list[Found] = []
    line = line_of(connection, claim.partner_id, claim.sale_id)
    if line is not None:
        found.append(Found(Trouble.KNOWN, claim.partner_id, claim.sale_id))
    serials = [serial for serial in claim.serial_numbers.split("\n") if serial]
    found += _serials_in_sales(connection, claim, serials)
    found += _serials_in_claims(connection, claim, serials)
    elsewhere = select(sale_lines.c.partner_id).where(
        sale_lines.c.sale_id == claim.sale_id,
        sale_lines.c.partner_id != claim.partner_id,
        sale_lines.c.status.in_(_LINE_OPEN),
    )
    for partner_id in connection.scalars(elsewhere.order_by(sale_lines.c.partner_id).limit(_SHOWN_MAX)):
        found.append(Found(Trouble.SALE_ELSEWHERE, partner_id, claim.sale_id))
    return sorted(found + _same_files(connection, claim), key=lambda one: list(Trouble).index(one.trouble))


def _serials_in_sales(connection: Connection, claim: Row[Any], serials: Sequence[str]) -> list[Found]:
    query = select(open_serials).where(open_serials.c.serial_number.in_(serials), still_open())
    mine = and_(open_serials.c.partner_id == claim.partner_id, open_serials.c.sale_id == claim.sale_id)
    rows = connection.execute(query.where(~mine).order_by(*open_serials.primary_key).limit(_SHOWN_MAX)).all()
    return [
        Found(
            Trouble.SERIAL_KNOWN if row.partner_id == claim.partner_id else Trouble.SERIAL_ELSEWHERE,
            *(row.partner_id, row.sale_id, row.serial_number),
        )
        for row in rows
    ]


def _serials_in_claims(connection: Connection, claim: Row[Any], serials: Sequence[str]) -> list[Found]:
    """Those in claims that wait, and in accepted ones whose sale the read model does not show yet."""
    arrived = exists().where(
        sale_lines.c.partner_id == claims.c.partner_id,
        sale_lines.c.sale_id == claims.c.sale_id,
        sale_lines.c.sold_on.is_not(None),
    )
    query = (
        select(claims, claim_serials.c.serial_number)
        .join_from(claim_serials, claims, claim_serials.c.claim_id == claims.c.claim_id)
        .where(claim_serials.c.serial_number.in_(serials), claims.c.claim_id != claim.claim_id)
        .where(claims.c.status.in_(OPEN) | and_(claims.c.status == Status.ACCEPTED, ~arrived))
        .order_by(claims.c.claim_id, claim_serials.c.serial_number)
        .limit(_SHOWN_MAX)
    )
    return [
        Found(
            Trouble.SERIAL_ACCEPTED if row.status == Status.ACCEPTED else Trouble.SERIAL_CLAIMED,
            *(row.partner_id, row.sale_id, row.serial_number, row.claim_id),
        )
        for row in connection.execute(query)
    ]


def _same_files(connection: Connection, claim: Row[Any]) -> list[Found]:
    own = (claim.report_id, claim.claim_id)
    digests = select(claim_proofs.c.sha256).where(claim_proofs.c.belongs_to.in_(own))
    # A file that came with several claims of one report proves all of them.
    query = (
        select(claims)
        .distinct()
        .join_from(claim_proofs, claims, claim_proofs.c.belongs_to.in_((claims.c.report_id, claims.c.claim_id)))
        .where(claim_proofs.c.sha256.in_(digests), claims.c.report_id != claim.report_id)
        .order_by(claims.c.claim_id)
        .limit(_SHOWN_MAX)
    )
    return [
        Found(Trouble.SAME_FILE, row.partner_id, row.sale_id, claim_id=row.claim_id)
        for row in connection.execute(query)
    ]


def still_open() -> ColumnElement[bool]:
    """Whether a row of ``open_serials`` is still open: staff may have entered that just this unit came back, which the
    sale's line does not tell as long as units are left."""
    came_back = staff_returns.c.serial_number.in_((open_serials.c.serial_number, ""))
    return ~exists().where(_same_sale(staff_returns, open_serials), came_back)


def _same_sale(one: Any, other: Any) -> Any:
    return and_(one.c.partner_id == other.c.partner_id, one.c.sale_id == other.c.sale_id)
