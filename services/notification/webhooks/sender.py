"""Rows to requests. An endpoint is claimed for a while, and no lock is held while it answers.

Whoever dies with a claim loses it when its time is over; the delivery then goes out again, under the same id. Several
threads or processes may send at once: each endpoint gets one request at a time.
"""

from __future__ import annotations

import secrets
import time
from datetime import datetime, timedelta
from traceback import format_tb
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, Engine, Row, Select, func, select, update
from sqlalchemy.exc import OperationalError

from deploy.runtime.clock import RealClock
from services.kit.database import reading
from services.kit.sealing import Sealer
from services.notification.staff import Alert, raise_alert
from services.notification.tables import (
    DeliveryState,
    EndpointState,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
)
from services.notification.webhooks import metrics, schedule
from services.notification.webhooks.deliveries import sweep
from services.notification.webhooks.endpoints import SecretLost, secrets_of
from services.notification.webhooks.notices import Notices
from services.notification.webhooks.outage import EndpointDisabled
from services.notification.webhooks.request import NoAnswer, Poster
from services.notification.webhooks.schedule import Outcome, Verdict
from services.notification.webhooks.signing import headers
from services.notification.webhooks.target import Forbidden, host_of

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.notification")

CLAIM = timedelta(minutes=1)
"""How long a claim holds: longer than a request takes, and then the database to note what came of it."""
_NOTE_TRIES = 4
_LOCKED_OUT = timedelta(minutes=5)
_USER_AGENT = "Staffel-Webhooks/1"


class Claimed(NamedTuple):
    """A delivery that is ours to make, and what its request is signed with."""

    row: Row[Any]
    claim: str
    secrets: list[str]


class Attempted(NamedTuple):
    """What came of a request."""

    status: int | None
    said: str
    duration_ms: int
    retry_after: timedelta = timedelta()


class Sender:
    """Makes deliveries that are due. ``step`` may be called by several threads at once."""

    def __init__(self, engine: Engine, sealer: Sealer, poster: Poster, notices: Notices) -> None:
        self._engine, self._sealer, self._poster, self._notices = engine, sealer, poster, notices
        self._reading = reading(engine)
        self._real = RealClock()
        self._chance = secrets.SystemRandom()

    def step(self) -> bool:
        """Make one delivery, if one is due and its endpoint is free. Answers whether it was made."""
        with self._reading.connect() as connection:  # most often none is, and asking holds up nobody
            if connection.execute(_due(self._real.now())).first() is None:
                return False
        claimed = self._claim()
        if claimed is None:  # somebody else was faster
            return False
        self._settle(claimed, self._attempt(claimed))
        return True

    def measure(self) -> None:
        """Set the gauges. Counts the tables, so call it now and then."""
        now = self._real.now()
        first_due = (
            select(webhook_endpoints.c.free_at, func.min(webhook_deliveries.c.next_try_at).label("due_at"))
            .join(webhook_endpoints, webhook_endpoints.c.id == webhook_deliveries.c.endpoint_id)
            .where(
                webhook_deliveries.c.state == DeliveryState.PENDING, webhook_endpoints.c.state == EndpointState.ENABLED
            )
            .group_by(webhook_endpoints.c.id, webhook_endpoints.c.free_at)
        )
        with self._reading.connect() as connection:
            for table, gauge, states in (
                (webhook_deliveries, metrics.DELIVERIES, DeliveryState),
                (webhook_endpoints, metrics.ENDPOINTS, EndpointState),
            ):
                by_state = select(table.c.state, func.count().label("number")).group_by(table.c.state)
                counts = {row.state: row.number for row in connection.execute(by_state)}
                for state in states:
                    gauge.labels(state).set(counts.get(state, 0))
            waits = [now - max(row.free_at, row.due_at) for row in connection.execute(first_due)]
        metrics.OVERDUE.set(max([timedelta(), *waits]).total_seconds())

    def sweep(self) -> None:
        """Forget what is old."""
        with self._engine.begin() as connection:
            sweep(connection, self._real.now())

    def _claim(self) -> Claimed | None:
        now = self._real.now()
        with self._engine.begin() as connection:
            row = connection.execute(
                _due(now).with_for_update(of=webhook_endpoints, skip_locked=True, key_share=True)
            ).first()
            if row is None:
                return None
            claim = secrets.token_hex(8)
            endpoint = update(webhook_endpoints).where(webhook_endpoints.c.id == row.endpoint_id)
            try:
                found = secrets_of(connection, self._sealer, row.endpoint_id, now)
            except SecretLost:
                _log.error("a webhook's secret can't be decrypted; is webhook_key another one?", of=row.endpoint_id)
                connection.execute(endpoint.values(free_at=now + _LOCKED_OUT))
                metrics.ATTEMPTS.labels(metrics.UNSIGNED).inc()
                return None
            connection.execute(endpoint.values(claim=claim, free_at=now + CLAIM))
        return Claimed(row, claim, found)

    def _attempt(self, claimed: Claimed) -> Attempted:
        row, now = claimed.row, self._real.now()
        body = row.body.encode()
        signed = headers(claimed.secrets, row.event_id, int(now.timestamp()), body)
        plain = {"Content-Type": "application/json", "User-Agent": _USER_AGENT, "Connection": "close"}
        began = time.monotonic()
        try:
            answer = self._poster.post(row.url, plain | signed, body, now)
        except (NoAnswer, Forbidden) as error:
            return Attempted(None, str(error)[:200], _since(began))
        except Exception as error:  # noqa: BLE001  # one endpoint must not stop the others, whatever it does to us
            kind = type(error).__name__
            _log.error("a webhook could not be sent", error=kind, where="".join(format_tb(error.__traceback__)))
            return Attempted(None, f"it could not be sent: {kind}", _since(began))
        return Attempted(answer.status, answer.excerpt, _since(began), answer.retry_after)

    def _settle(self, claimed: Claimed, made: Attempted) -> None:
        for left in reversed(range(_NOTE_TRIES)):
            try:
                return self._note(claimed, made)
            except OperationalError:  # SQLite is busy: what was sent should not be sent again for that
                if not left:
                    raise
        return None

    def _note(self, claimed: Claimed, made: Attempted) -> None:
        row, now = claimed.row, self._real.now()
        verdict = schedule.judge(made.status, row.attempts, self._chance.random(), made.retry_after)
        with self._engine.begin() as connection:
            # The endpoint's row before its deliveries', as everywhere: locks taken in two orders wait for each other.
            its_row = select(webhook_endpoints).where(webhook_endpoints.c.id == row.endpoint_id)
            endpoint = connection.execute(its_row.with_for_update(key_share=True)).first()
            # A delivery that was settled, replayed or removed meanwhile is no longer the one that we attempted.
            mine = (
                (webhook_deliveries.c.number == row.number)
                & (webhook_deliveries.c.state == DeliveryState.PENDING)
                & (webhook_deliveries.c.attempts == row.attempts)
                & (webhook_deliveries.c.queued_at == row.queued_at)
            )
            if connection.execute(update(webhook_deliveries).where(mine).values(_changes(row, verdict, now))).rowcount:
                connection.execute(
                    webhook_attempts.insert().values(
                        delivery=row.number, at=now, status=made.status, duration_ms=made.duration_ms, said=made.said
                    )
                )
            if endpoint is not None and endpoint.claim == claimed.claim:
                self._release(connection, endpoint, row, verdict, made, now)
        metrics.ATTEMPTS.labels(verdict.outcome).inc()

    def _release(
        self,
        connection: Connection,
        endpoint: Row[Any],
        row: Row[Any],
        verdict: Verdict,
        made: Attempted,
        now: datetime,
    ) -> None:
        if verdict.outcome is Outcome.DELIVERED:
            changes: dict[str, Any] = {"failures": 0, "delivered_at": now, "free_at": now}
        else:
            failures = endpoint.failures + 1
            changes = {"failures": failures, "free_at": now + schedule.pause(failures)}
        reason = _why_disabled(verdict, endpoint, row, made)
        if reason is not None and endpoint.state == EndpointState.ENABLED:
            changes |= {"state": EndpointState.DISABLED, "disabled_at": now, "disabled_reason": reason[:200]}
            raise_alert(connection, self._engine, _notice(row, endpoint.partner_id, verdict, now), now)
            self._notices.tell(connection, _outage(row, endpoint.partner_id, verdict, made, now))
            metrics.DISABLED.inc()
            _log.warning("a webhook endpoint was disabled", endpoint=row.endpoint_id, status=made.status)
        its_row = update(webhook_endpoints).where(webhook_endpoints.c.id == endpoint.id)
        connection.execute(its_row.values(claim=None, **changes))


def _due(now: datetime) -> Select[Any]:
    free = (webhook_endpoints.c.state == EndpointState.ENABLED) & (webhook_endpoints.c.free_at <= now)
    due = (webhook_deliveries.c.state == DeliveryState.PENDING) & (webhook_deliveries.c.next_try_at <= now)
    return (
        select(webhook_deliveries, webhook_endpoints.c.url)
        .join(webhook_endpoints, webhook_endpoints.c.id == webhook_deliveries.c.endpoint_id)
        .where(free, due)
        .order_by(webhook_endpoints.c.free_at, webhook_deliveries.c.number)  # whoever has waited longest
        .limit(1)
    )


def _changes(row: Row[Any], verdict: Verdict, now: datetime) -> dict[str, Any]:
    match verdict.outcome:
        case Outcome.DELIVERED:
            return {"state": DeliveryState.DELIVERED, "attempts": row.attempts + 1}
        case Outcome.RETRIED:
            return {"attempts": row.attempts + 1, "next_try_at": now + verdict.wait}
        case Outcome.FAILED | Outcome.GONE:
            return {"state": DeliveryState.FAILED, "attempts": row.attempts + 1}


def _why_disabled(verdict: Verdict, endpoint: Row[Any], row: Row[Any], made: Attempted) -> str | None:
    if verdict.outcome is Outcome.GONE:
        return "it answered 410 Gone"
    if verdict.outcome is not Outcome.FAILED:
        return None
    if endpoint.delivered_at is not None and endpoint.delivered_at >= row.queued_at:
        return None  # others came through meanwhile: it is this one that it does not take
    last = f"status {made.status}" if made.status is not None else made.said
    return f"nothing came through for days, at last: {last}"


def _notice(row: Row[Any], partner_id: str, verdict: Verdict, now: datetime) -> Alert:
    # What the endpoint says stays in our tables: a chat is somebody else's house.
    return Alert(
        f"webhook-disabled:{row.endpoint_id}:{now.isoformat()}",
        f"Webhook endpoint {row.endpoint_id} of partner {partner_id} is disabled: "
        + ("it answered 410 Gone." if verdict.outcome is Outcome.GONE else "nothing came through for days."),
        partner_id,
    )


def _outage(row: Row[Any], partner_id: str, verdict: Verdict, made: Attempted, now: datetime) -> EndpointDisabled:
    return EndpointDisabled(
        partner_id=partner_id,
        endpoint_id=row.endpoint_id,
        host=host_of(row.url),
        status=made.status,
        failing_since=None if verdict.outcome is Outcome.GONE else row.queued_at,
        occurred_at=now,
    )


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
