"""Deliveries: what is due to an endpoint, what was sent, what it answered; and sending it again."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, update

from deploy.runtime.clock import Clock, RealClock
from deploy.runtime.errors import StaffelError
from services.kit.consumer import Batch
from services.kit.database import upsert
from services.notification.tables import (
    DeliveryState,
    EndpointState,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
)
from services.notification.webhooks import endpoints
from services.notification.webhooks.payloads import Payload, payload_of
from services.notification.webhooks.payloads import ping as ping_payload
from services.notification.webhooks.schedule import KEPT


class Recorder:
    """What webhooks do with what the service reads."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._real = RealClock()

    def partners(self, batch: Batch) -> None:
        """Forget the endpoints of partners who are to be forgotten."""
        latest = {record.key: record.event for record in batch.received}
        erased = [key for key, event in latest.items() if event is None]
        if erased:
            endpoints.forget(batch.connection, erased)

    def events(self, batch: Batch) -> None:
        """Note what is due to whom, beside the mails that the same events call for."""
        told = [(r, payload) for r in batch.received if (payload := payload_of(r.event)) is not None]
        listening = (
            select(webhook_endpoints)
            .where(webhook_endpoints.c.partner_id.in_({payload.partner_id for _, payload in told}))
            .with_for_update(read=True, key_share=True)  # none is removed before its deliveries are there
        )
        by_partner: dict[str, list[Any]] = {}
        for row in batch.connection.execute(listening) if told else ():
            by_partner.setdefault(row.partner_id, []).append(row)
        now = self._real.now()
        rows = [
            _row(endpoint.id, record.event_id, payload, now)
            for record, payload in told
            for endpoint in by_partner.get(payload.partner_id, ())
            # A service that reads its topics anew does not tell again what was before the endpoint was there.
            if record.recorded_at >= self._clock.at(endpoint.created_at)
            and (not endpoint.types or payload.type in endpoint.types.split())
        ]
        if rows:
            batch.connection.execute(upsert(webhook_deliveries, self._engine).on_conflict_do_nothing(), rows)


def ping(connection: Connection, endpoint_id: str, now: datetime) -> int:
    """Have a ping sent. Answers the delivery's number. Raises StaffelError if the endpoint is disabled or none."""
    endpoint = endpoints.find(connection, endpoint_id)
    if endpoint.state == EndpointState.DISABLED:
        raise StaffelError(
            f"the endpoint is disabled: {endpoint.disabled_reason}",
            f"./staffel webhooks enable {endpoint_id}",
            code="disabled",
        )
    row = _row(endpoint_id, f"ping_{secrets.token_hex(12)}", ping_payload(endpoint.partner_id, now), now)
    added = connection.execute(webhook_deliveries.insert().returning(webhook_deliveries.c.number), row)
    return int(added.scalar_one())


def replay(
    connection: Connection,
    endpoint_id: str,
    now: datetime,
    *,
    since: datetime | None = None,
    number: int | None = None,
    failed_only: bool = False,
) -> int:
    """Have deliveries sent again, under their ids: one, or all noted since then. Answers how many."""
    endpoints.find(connection, endpoint_id)
    table = webhook_deliveries
    chosen = update(table).where(table.c.endpoint_id == endpoint_id)
    if failed_only:
        chosen = chosen.where(table.c.state == DeliveryState.FAILED)
    if since is not None:
        chosen = chosen.where(table.c.recorded_at >= since)
    if number is not None:
        chosen = chosen.where(table.c.number == number)
    return connection.execute(
        chosen.values(state=DeliveryState.PENDING, attempts=0, queued_at=now, next_try_at=now)
    ).rowcount


def log(connection: Connection, endpoint_id: str, limit: int = 50) -> list[dict[str, Any]]:
    """An endpoint's latest deliveries, the newest first, each with its attempts."""
    endpoints.find(connection, endpoint_id)
    table = webhook_deliveries
    latest = connection.execute(
        select(table).where(table.c.endpoint_id == endpoint_id).order_by(table.c.number.desc()).limit(limit)
    ).all()
    attempts: dict[int, list[dict[str, Any]]] = {row.number: [] for row in latest}
    of_them = select(webhook_attempts).where(webhook_attempts.c.delivery.in_(attempts))
    for row in connection.execute(of_them.order_by(webhook_attempts.c.number)):
        made = {"at": row.at, "status": row.status, "duration_ms": row.duration_ms, "said": row.said}
        attempts[row.delivery].append(made)
    return [
        {
            "number": row.number,
            "webhook_id": row.event_id,
            "type": row.type,
            "state": row.state,
            "recorded_at": row.recorded_at,
            "next_try_at": row.next_try_at if row.state == DeliveryState.PENDING else None,
            "attempts": attempts[row.number],
        }
        for row in latest
    ]


def sweep(connection: Connection, now: datetime) -> None:
    """Forget what is old, also what waits for an endpoint that nobody has enabled for so long."""
    table = webhook_deliveries
    old = table.c.recorded_at < now - KEPT
    numbers = select(table.c.number).where(old)
    connection.execute(delete(webhook_attempts).where(webhook_attempts.c.delivery.in_(numbers)))
    connection.execute(delete(table).where(old))


def _row(endpoint_id: str, event_id: str, payload: Payload, now: datetime) -> dict[str, Any]:
    return {
        "endpoint_id": endpoint_id,
        "event_id": event_id,
        "type": payload.type,
        "body": payload.body,
        "recorded_at": now,
        "queued_at": now,
        "next_try_at": now,
        "state": DeliveryState.PENDING.value,
        "attempts": 0,
    }
