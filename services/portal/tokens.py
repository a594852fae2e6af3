"""Tokens for a partner's own systems: each reads what its scopes say, of this partner alone, until it expires.

A token is ``stf_<id>_<secret>``. The secret has 256 bits and is kept hashed: it is shown once, when it is made.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Index, Row, Table, Text, func, insert, select, update

from services.kit.database import Instant
from services.portal.tables import metadata

DAYS_MAX = 366
TOKENS_MAX = 20
"""How many tokens a partner may have that work."""
_FORM = re.compile(r"stf_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NOTED_EVERY = timedelta(minutes=1)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("partner_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # parted by blanks
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("revoked_at", Instant),
    Index("api_tokens_by_partner", "partner_id", "created_at"),
)


class Scope(StrEnum):
    """What a token may be good for."""

    STANDING = "standing"
    """Units, tier and rebate of the partner's quarters."""
    SALES = "sales"
    """His sales with their verdicts."""
    PAYOUTS = "payouts"
    """What became payable and where the money is."""


class TooMany(ValueError):
    """The partner has as many working tokens as he may have."""


class Grant(NamedTuple):
    """What a token opens."""

    token_id: str
    partner_id: str
    scopes: frozenset[str]


def create(
    connection: Connection, partner_id: str, name: str, scopes: Collection[Scope], days: int, now: datetime
) -> str:
    """Make a token and answer it; nobody can look it up later. Raises TooMany, or ValueError for days out of range."""
    if not 1 <= days <= DAYS_MAX:
        raise ValueError(f"a token lives 1 to {DAYS_MAX} days")
    working = select(func.count()).where(
        api_tokens.c.partner_id == partner_id, api_tokens.c.revoked_at.is_(None), api_tokens.c.expires_at > now
    )
    if connection.execute(working).scalar_one() >= TOKENS_MAX:
        raise TooMany
    token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    connection.execute(
        insert(api_tokens).values(
            id=token_id,
            partner_id=partner_id,
            name=name,
            secret_hash=_hash(secret),
            scopes=" ".join(sorted(scopes)),
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
    )
    return f"stf_{token_id}_{secret}"


def listed(connection: Connection, partner_id: str) -> list[Row[Any]]:
    """A partner's tokens, the newest first, without what they are checked against."""
    columns = [column for column in api_tokens.c if column.name != "secret_hash"]
    own = select(*columns).where(api_tokens.c.partner_id == partner_id)
    return list(connection.execute(own.order_by(api_tokens.c.created_at.desc(), api_tokens.c.id)))


def revoke(connection: Connection, partner_id: str, token_id: str, now: datetime) -> bool:
    """End one of the partner's tokens. False if he has no such token that works."""
    own = api_tokens.c.id == token_id, api_tokens.c.partner_id == partner_id, api_tokens.c.revoked_at.is_(None)
    return bool(connection.execute(update(api_tokens).where(*own).values(revoked_at=now)).rowcount)


def find(connection: Connection, token: str, now: datetime) -> Grant | None:
    """What a token opens, or None if it opens nothing (any more)."""
    match = _FORM.fullmatch(token)
    if match is None:
        return None
    token_id, secret = match.groups()
    row = connection.execute(select(api_tokens).where(api_tokens.c.id == token_id)).one_or_none()
    # Compared even where there is nothing to compare with, so that the time says nothing about which ids there are.
    same = hmac.compare_digest(row.secret_hash if row else _hash(""), _hash(secret))
    if row is None or not same or row.revoked_at is not None or row.expires_at <= now:
        return None
    return Grant(token_id, row.partner_id, frozenset(row.scopes.split()))


def note_use(connection: Connection, token_id: str, now: datetime) -> None:
    """Note when a token was last used, to the minute."""
    stale = api_tokens.c.used_at.is_(None) | (api_tokens.c.used_at < now - _NOTED_EVERY)
    connection.execute(update(api_tokens).where(api_tokens.c.id == token_id, stale).values(used_at=now))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
