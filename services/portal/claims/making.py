"""What a partner does with his claims: make them, answer a question about one, withdraw one."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from services.portal.audit import note, of_partner
from services.portal.claims.known import Known, known_already
from services.portal.claims.proofs import Proof
from services.portal.claims.reading import Claimed
from services.portal.claims.tables import OPEN, Status, claim_proofs, claim_reports, claim_serials, claim_steps, claims
from services.portal.counted import count_choice

CLAIMS_A_DAY = 1000
"""By one partner, within 24 hours."""
BYTES_A_DAY = 200 * 1024 * 1024
"""The same for his proofs."""
CLAIM_ID = re.compile(r"C-[A-Z2-7]{13}")
_DAY = timedelta(hours=24)


class TooMuch(Exception):
    """The partner has sent as much as he may within a day."""


class Made(NamedTuple):
    """What became of a report: the claims made of it, and the sales that needed none."""

    report_id: str
    claim_ids: Sequence[str]
    known: Sequence[Known]


def make(
    engine: Engine, partner_id: str, claimed: Sequence[Claimed], proofs: Sequence[Proof], now: datetime, by: str = ""
) -> Made:
    """Claim these sales. If none of them needs a claim, nothing is written. ``by`` is the contact of the partner who
    acts, here as below; empty for himself. Raises TooMuch."""
    try:
        return _make(engine, partner_id, claimed, proofs, now, by)
    except IntegrityError:  # the same form twice at once: now the other one's claim is known
        return _make(engine, partner_id, claimed, proofs, now, by)


def _make(
    engine: Engine, partner_id: str, claimed: Sequence[Claimed], proofs: Sequence[Proof], now: datetime, by: str
) -> Made:
    report_id, made, known = f"R-{_letters(secrets.token_bytes(8))}", [], []
    with engine.begin() as connection:
        for one in claimed:
            # Before it is looked: a claim that somebody makes in between is found, or has this very number.
            attempt = _next_attempt(connection, partner_id, one)
            found = known_already(connection, partner_id, one)
            if found is not None:
                known.append(found)
            else:
                made.append(_write(connection, partner_id, report_id, one, attempt, now))
        if made:
            _keep_within(connection, partner_id, proofs, now)
            report = {"report_id": report_id, "partner_id": partner_id, "made_at": now}
            connection.execute(insert(claim_reports).values(**report, made=len(made), known=len(known)))
            attach(connection, partner_id, report_id, proofs, now)
            who, numbers = of_partner(partner_id, by), {"claims": len(made), "files": len(proofs)}
            note(connection, who, "sales-claimed", report_id, **numbers)
    return Made(report_id, made, known)


def answer(
    engine: Engine, partner_id: str, claim_id: str, text: str, proofs: Sequence[Proof], now: datetime, by: str = ""
) -> bool:
    """Answer what the vendor asked. False if he did not ask, or decided meanwhile. Raises TooMuch."""
    with engine.begin() as connection:
        claim = own(connection, partner_id, claim_id)
        if claim is None or not move(connection, claim, (Status.ASKED,), Status.SENT, now):
            return False
        step(connection, claim_id, Status.SENT, now, text=text)
        _keep_within(connection, partner_id, proofs, now)
        attach(connection, partner_id, claim_id, proofs, now)
        note(connection, of_partner(partner_id, by), "claim-answered", claim_id, files=len(proofs))
    return True


def withdraw(engine: Engine, partner_id: str, claim_id: str, now: datetime, by: str = "") -> bool:
    """Take a claim back. False if it was decided meanwhile."""
    with engine.begin() as connection:
        claim = own(connection, partner_id, claim_id)
        if claim is None or not move(connection, claim, OPEN, Status.WITHDRAWN, now):
            return False
        step(connection, claim_id, Status.WITHDRAWN, now)
        note(connection, of_partner(partner_id, by), "claim-withdrawn", claim_id)
    return True


def own(connection: Connection, partner_id: str, claim_id: str) -> Row[Any] | None:
    """A partner's claim."""
    return connection.execute(
        select(claims).where(claims.c.partner_id == partner_id, claims.c.claim_id == claim_id)
    ).one_or_none()


def move(
    connection: Connection, claim: Row[Any], before: Sequence[Status], to: Status, now: datetime, **facts: Any
) -> bool:
    """Bring a claim from one of these states to another. False if somebody changed it since it was read."""
    moved = connection.execute(
        update(claims)
        .where(claims.c.claim_id == claim.claim_id, claims.c.version == claim.version, claims.c.status.in_(before))
        .values(status=to, version=claim.version + 1, changed_at=now, **facts)
    )
    if moved.rowcount != 1:
        return False
    count_choice(connection, [claim.partner_id])
    return True


def step(connection: Connection, claim_id: str, what: Status, now: datetime, **facts: Any) -> None:
    """Write down what was said about a claim. ``facts`` are those of the vendor: person, reason, text."""
    last = connection.execute(select(func.max(claim_steps.c.number)).where(claim_steps.c.claim_id == claim_id)).scalar()
    row = {"by_vendor": 0, "person": "", "reason": None, "text": ""} | facts
    connection.execute(insert(claim_steps).values(claim_id=claim_id, number=(last or 0) + 1, what=what, at=now, **row))


def attach(connection: Connection, partner_id: str, belongs_to: str, proofs: Sequence[Proof], now: datetime) -> None:
    """Write down which files came with a report or an answer."""
    rows = [{**proof._asdict(), "belongs_to": belongs_to, "partner_id": partner_id, "sent_at": now} for proof in proofs]
    if rows:
        connection.execute(insert(claim_proofs), rows)


def claim_id_of(partner_id: str, sale_id: str, attempt: int) -> str:
    """The id of a claim: the same form sent twice is the same claim."""
    digest = hashlib.blake2b("\x1f".join((partner_id, sale_id, str(attempt))).encode(), digest_size=8).digest()
    return f"C-{_letters(digest)}"


def _next_attempt(connection: Connection, partner_id: str, one: Claimed) -> int:
    same = (claims.c.partner_id == partner_id, claims.c.sale_id == one.sale_id)
    return (connection.execute(select(func.max(claims.c.attempt)).where(*same)).scalar() or 0) + 1


def _write(connection: Connection, partner_id: str, report_id: str, one: Claimed, attempt: int, now: datetime) -> str:
    claim_id = claim_id_of(partner_id, one.sale_id, attempt)
    row = one._asdict() | {"serial_numbers": "\n".join(one.serial_numbers)}
    text = row.pop("note")
    connection.execute(
        insert(claims).values(
            **row,
            claim_id=claim_id,
            partner_id=partner_id,
            report_id=report_id,
            attempt=attempt,
            status=Status.SENT,
            version=1,
            told=0,
            claimed_at=now,
            changed_at=now,
        )
    )
    serials = [{"claim_id": claim_id, "serial_number": serial} for serial in one.serial_numbers]
    if serials:
        connection.execute(insert(claim_serials), serials)
    step(connection, claim_id, Status.SENT, now, text=text)
    return claim_id


def _keep_within(connection: Connection, partner_id: str, proofs: Sequence[Proof], now: datetime) -> None:
    """Raises TooMuch if the partner sent more than he may, what is in this transaction included."""
    mine = (claims.c.partner_id == partner_id, claims.c.claimed_at > now - _DAY)
    number = connection.execute(select(func.count()).select_from(claims).where(*mine)).scalar_one()
    files = (claim_proofs.c.partner_id == partner_id, claim_proofs.c.sent_at > now - _DAY)
    size = connection.execute(select(func.coalesce(func.sum(claim_proofs.c.bytes), 0)).where(*files)).scalar_one()
    if number > CLAIMS_A_DAY or size + sum(proof.bytes for proof in proofs) > BYTES_A_DAY:
        raise TooMuch


def _letters(digest: bytes) -> str:
    return base64.b32encode(digest).decode().rstrip("=")
