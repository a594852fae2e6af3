"""What the vendor's staff does with a claim: accept it, refuse it, ask back.

The decision, its place in the record of who did what, and what everybody is told are one transaction. See
deploy/decisions/0021-claims-are-sales.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, select, text

from schemas.events import ClaimDecided, ClaimDecision, SaleReported
from schemas.topics import CLAIMS, SALES
from services.kit.relay import post
from services.portal.audit import note
from services.portal.claims.known import Found, troubles
from services.portal.claims.making import move, step
from services.portal.claims.reading import why_not
from services.portal.claims.tables import OPEN, Status, claims
from services.portal.tables import outbox
from streams.rules.terms import Programme

REPORTED_BY = "claim"
REFUSALS = (
    "already-reported",
    "other-partner-reported",
    "proof-missing",
    "proof-does-not-match",
    "not-a-sale",
    "product-not-in-programme",
    "too-late",
    "other",
)
QUESTIONS = ("proof-missing", "proof-unreadable", "number-unclear", "serials-missing", "other")
"""Why a claim is refused or asked about, as codes. The partner gets their words in his language."""
_LOCK = 7204
_STATUS = {
    ClaimDecision.ACCEPTED: Status.ACCEPTED,
    ClaimDecision.REFUSED: Status.REFUSED,
    ClaimDecision.ASKED: Status.ASKED,
}


class Outcome(StrEnum):
    """What became of a decision."""

    DONE = "done"
    LATE = "late"
    """Somebody was quicker: the partner, or another of the staff."""
    FORBIDDEN = "forbidden"
    """Something would count twice, or would not count at all."""


class Decision(NamedTuple):
    """A decision as it was made on a page."""

    what: ClaimDecision
    version: int
    """Of the claim that the page showed."""
    person: str
    reason: str | None = None
    text: str = ""
    """What is told to the partner beside the reason."""


def decide(engine: Engine, programme: Programme, claim_id: str, made: Decision, now: datetime) -> Outcome:
    """Carry a decision out, if the claim is still the one that was decided on."""
    at = now.replace(microsecond=now.microsecond // 1000 * 1000)  # as precise as the events
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # as SQLite is: of two decisions at once, one sees the other
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        claim = connection.execute(select(claims).where(claims.c.claim_id == claim_id)).one_or_none()
        if claim is None or claim.version != made.version or claim.status not in OPEN:
            return Outcome.LATE
        if made.what is ClaimDecision.ACCEPTED and forbidden(connection, programme, claim, at):
            return Outcome.FORBIDDEN
        _write(connection, claim, made, at)
    return Outcome.DONE


def forbidden(connection: Connection, programme: Programme, claim: Row[Any], now: datetime) -> Sequence[Found | str]:
    """Why a claim can't be accepted: what is found elsewhere, or the code of why it would not count."""
    found: list[Found | str] = [one for one in troubles(connection, claim) if one.trouble.forbids]
    code = why_not(programme, now, claim.product_id, claim.sold_on)
    return [*found, code] if code else found


def _write(connection: Connection, claim: Row[Any], made: Decision, at: datetime) -> None:
    status, told = _STATUS[made.what], claim.told + 1
    if not move(connection, claim, OPEN, status, at, reason=made.reason, told=told):
        raise AssertionError("the claim changed within the transaction that decides it")
    step(connection, claim.claim_id, status, at, by_vendor=1, person=made.person, reason=made.reason, text=made.text)
    note(
        connection,
        f"staff {made.person}",
        f"claim-{status}",
        claim.claim_id,
        partner=claim.partner_id,
        sale=claim.sale_id,
        units=claim.quantity,
        reason=made.reason,
    )
    if made.what is ClaimDecision.ACCEPTED:
        post(connection, outbox, SALES, [_sale(claim, at)], at)
    said = ClaimDecided(
        partner_id=claim.partner_id,
        claim_id=claim.claim_id,
        sequence=told,
        decision=made.what,
        reason=made.reason,
        sale_id=claim.sale_id,
        product_id=claim.product_id,
        quantity=claim.quantity,
        sold_on=claim.sold_on,
        occurred_at=at,
    )
    post(connection, outbox, CLAIMS, [said], at)


def _sale(claim: Row[Any], at: datetime) -> SaleReported:
    """The report that an accepted claim is. Its time is that of the decision: a distributor's from before stands."""
    return SaleReported(
        sale_id=claim.sale_id,
        partner_id=claim.partner_id,
        product_id=claim.product_id,
        quantity=claim.quantity,
        sold_on=claim.sold_on,
        reported_at=at,
        serial_numbers=tuple(serial for serial in claim.serial_numbers.split("\n") if serial),
        reported_by=REPORTED_BY,
    )
