"""Endpoints: who wants to be told what, and where. What the command line, and whoever asks for a partner, may do."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, func, select, update

from deploy.runtime.errors import StaffelError, UsageError
from deploy.runtime.settings import Settings, secret
from services.kit.sealing import SealBroken, Sealer
from services.notification.tables import (
    DeliveryState,
    EndpointState,
    partners,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
    webhook_secrets,
)
from services.notification.webhooks.notices import withdraw
from services.notification.webhooks.payloads import TYPES
from services.notification.webhooks.signing import new_secret
from services.notification.webhooks.target import Forbidden, Gate

ENDPOINTS_MAX = 10
"""How many a partner may have."""
OVERLAP = timedelta(days=1)
"""How long a secret that was replaced still signs, beside the new one."""


class SecretLost(Exception):
    """An endpoint's secrets can't be decrypted: they were sealed under another key."""


class Added(NamedTuple):
    """A new endpoint. Its secret is shown this once."""

    endpoint_id: str
    secret: str


def sealer_of(settings: Settings) -> Sealer:
    """Seals webhook secrets under this stack's key."""
    return Sealer(secret(settings, "webhook_key"), "staffel notification webhook secrets v1")


def add(
    connection: Connection, sealer: Sealer, gate: Gate, partner_id: str, url: str, types: Iterable[str], now: datetime
) -> Added:
    """Enter an endpoint for a partner. It is told what happens from now on; ``types`` empty: all of it.

    Raises UsageError for an address or a type that is none, StaffelError for an unknown partner or one too many.
    """
    wanted = list(dict.fromkeys(types))
    if unknown := sorted(set(wanted) - set(TYPES)):
        raise UsageError(f"{unknown[0]!r} is no type of event", f"there are {', '.join(TYPES)}")
    try:
        gate.parse(url)
    except Forbidden as error:
        raise UsageError("webhooks can't be sent to this address", str(error)) from None
    if connection.execute(select(partners.c.partner_id).where(partners.c.partner_id == partner_id)).first() is None:
        raise StaffelError(
            f"no partner {partner_id!r} is known to the notification service",
            "register him: ./staffel partners import FILE",
            code="unknown-partner",
        )
    mine = select(func.count()).where(webhook_endpoints.c.partner_id == partner_id)
    if connection.execute(mine).scalar_one() >= ENDPOINTS_MAX:
        raise StaffelError(f"a partner can't have more than {ENDPOINTS_MAX} endpoints", "remove one first")
    endpoint_id = f"ep_{secrets.token_hex(8)}"
    connection.execute(
        webhook_endpoints.insert().values(
            id=endpoint_id,
            partner_id=partner_id,
            url=url,
            types=" ".join(wanted),
            state=EndpointState.ENABLED,
            created_at=now,
            failures=0,
            free_at=now,
        )
    )
    return Added(endpoint_id, _new_secret(connection, sealer, endpoint_id))


def rotate(
    connection: Connection, sealer: Sealer, endpoint_id: str, now: datetime, overlap: timedelta = OVERLAP
) -> str:
    """Give an endpoint another secret and answer it. The old one signs beside it for so long."""
    find(connection, endpoint_id)
    of_it = webhook_secrets.c.endpoint_id == endpoint_id
    connection.execute(delete(webhook_secrets).where(of_it, webhook_secrets.c.expires_at <= now))
    replaced = update(webhook_secrets).where(
        of_it, webhook_secrets.c.expires_at.is_(None) | (webhook_secrets.c.expires_at > now + overlap)
    )
    connection.execute(replaced.values(expires_at=now + overlap))
    return _new_secret(connection, sealer, endpoint_id)


def secrets_of(connection: Connection, sealer: Sealer, endpoint_id: str, now: datetime) -> list[str]:
    """What an endpoint's requests are signed with, the present secret first. Raises SecretLost."""
    table = webhook_secrets
    valid = table.c.expires_at.is_(None) | (table.c.expires_at > now)
    rows = connection.execute(
        select(table.c.sealed).where(table.c.endpoint_id == endpoint_id, valid).order_by(table.c.number.desc())
    ).scalars()
    found = []
    for sealed in rows:
        try:
            found.append(sealer.open(sealed, endpoint_id).decode())
        except SealBroken:
            continue  # one that signs as well may do so alone
    if not found:
        raise SecretLost(endpoint_id)
    return found


def enable(connection: Connection, endpoint_id: str, now: datetime) -> int:
    """Send to an endpoint again. Answers how many deliveries have waited for that; they are due at once."""
    _withdraw(connection, endpoint_id, "the endpoint was enabled again")
    connection.execute(
        update(webhook_endpoints)
        .where(webhook_endpoints.c.id == endpoint_id)
        .values(state=EndpointState.ENABLED, disabled_at=None, disabled_reason=None, failures=0, free_at=now)
    )
    waiting = update(webhook_deliveries).where(
        webhook_deliveries.c.endpoint_id == endpoint_id, webhook_deliveries.c.state == DeliveryState.PENDING
    )
    return connection.execute(waiting.values(next_try_at=now, queued_at=now, attempts=0)).rowcount


def remove(connection: Connection, endpoint_id: str) -> None:
    """Forget an endpoint, its secrets, and all that was or was to be sent there."""
    _withdraw(connection, endpoint_id, "the endpoint was removed")
    _delete(connection, [endpoint_id])


def forget(connection: Connection, partner_ids: Collection[str]) -> None:
    """The same for all endpoints of partners who are to be forgotten."""
    theirs = select(webhook_endpoints.c.id).where(webhook_endpoints.c.partner_id.in_(partner_ids))
    _delete(connection, list(connection.execute(theirs).scalars()))


def find(connection: Connection, endpoint_id: str) -> Row[Any]:
    """An endpoint. Raises StaffelError if there is none."""
    row = connection.execute(select(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id)).first()
    if row is None:
        raise StaffelError(
            f"there is no endpoint {endpoint_id!r}", "see ./staffel webhooks list", code="unknown-endpoint"
        )
    return row


def overview(connection: Connection, partner_id: str | None = None) -> list[dict[str, Any]]:
    """All endpoints, or a partner's: where they are, how they do, what waits. Never their secrets."""
    counts = (
        select(webhook_deliveries.c.endpoint_id, webhook_deliveries.c.state, func.count().label("number"))
        .where(webhook_deliveries.c.state != DeliveryState.DELIVERED)
        .group_by(webhook_deliveries.c.endpoint_id, webhook_deliveries.c.state)
    )
    open_ = {(row.endpoint_id, row.state): row.number for row in connection.execute(counts)}
    chosen = select(webhook_endpoints).order_by(webhook_endpoints.c.partner_id, webhook_endpoints.c.created_at)
    if partner_id is not None:
        chosen = chosen.where(webhook_endpoints.c.partner_id == partner_id)
    return [
        {
            "id": row.id,
            "partner_id": row.partner_id,
            "url": row.url,
            "types": row.types.split() or list(TYPES),
            "state": row.state,
            "disabled_reason": row.disabled_reason,
            "disabled_at": row.disabled_at,
            "created_at": row.created_at,
            "delivered_at": row.delivered_at,
            "failures": row.failures,
            "pending": open_.get((row.id, DeliveryState.PENDING), 0),
            "failed": open_.get((row.id, DeliveryState.FAILED), 0),
        }
        for row in connection.execute(chosen)
    ]


def _new_secret(connection: Connection, sealer: Sealer, endpoint_id: str) -> str:
    made = new_secret()
    connection.execute(
        webhook_secrets.insert().values(endpoint_id=endpoint_id, sealed=sealer.seal(made.encode(), endpoint_id))
    )
    return made


def _withdraw(connection: Connection, endpoint_id: str, reason: str) -> None:
    """Let nobody be told that an endpoint is disabled, who has not been. Raises StaffelError if there is none."""
    its_row = select(webhook_endpoints.c.id).where(webhook_endpoints.c.id == endpoint_id)
    connection.execute(its_row.with_for_update(key_share=True))  # it may be about to be disabled
    endpoint = find(connection, endpoint_id)
    if endpoint.disabled_at is not None:
        withdraw(connection, endpoint_id, endpoint.disabled_at, reason)


def _delete(connection: Connection, endpoint_ids: Collection[str]) -> None:
    if not endpoint_ids:
        return
    mine = webhook_endpoints.c.id.in_(endpoint_ids)
    connection.execute(select(webhook_endpoints.c.id).where(mine).order_by(webhook_endpoints.c.id).with_for_update())
    of_them = webhook_deliveries.c.endpoint_id.in_(endpoint_ids)
    numbers = select(webhook_deliveries.c.number).where(of_them)
    connection.execute(delete(webhook_attempts).where(webhook_attempts.c.delivery.in_(numbers)))
    connection.execute(delete(webhook_deliveries).where(of_them))
    connection.execute(delete(webhook_secrets).where(webhook_secrets.c.endpoint_id.in_(endpoint_ids)))
    connection.execute(delete(webhook_endpoints).where(mine))
