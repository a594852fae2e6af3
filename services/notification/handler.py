"""Events to rows, in the transaction that notes them as read."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, bindparam, delete, select, update

from deploy.runtime.clock import Clock, RealClock
from schemas.events import Partner
from services.kit.consumer import Batch
from services.kit.database import upsert
from services.notification import metrics
from services.notification.messages import Kind, Told, dump, kind_of
from services.notification.tables import State, messages, partners
from streams.rules.terms import Programme

_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
_UNSENT = (State.WAITING, State.PENDING, State.FAILED)


class Verdict(NamedTuple):
    """What is to become of a message, and why if nothing."""

    state: State
    reason: str | None = None


class Handler:
    """What the service does with what it reads."""

    def __init__(self, engine: Engine, clock: Clock, programme: Programme) -> None:
        self._engine, self._clock, self._programme = engine, clock, programme
        self._real = RealClock()

    def partners(self, batch: Batch) -> None:
        """Remember names and addresses, forget who is to be forgotten, let go what waited for an address."""
        latest = {record.key: record.event for record in batch.received}
        before = _known(batch.connection, latest)
        rows = [_partner_row(key, event) for key, event in latest.items() if isinstance(event, Partner)]
        erased = [key for key, event in latest.items() if event is None]
        if rows:
            statement = upsert(partners, self._engine)
            columns = {name: statement.excluded[name] for name in ("name", "email", "language", "country", "left_on")}
            batch.connection.execute(statement.on_conflict_do_update(index_elements=["partner_id"], set_=columns), rows)
        if erased:
            _forget(batch.connection, erased)
        readdressed = [
            row["partner_id"]
            for row in rows
            if row["email"] and (row["partner_id"] not in before or before[row["partner_id"]].email != row["email"])
        ]
        if readdressed:
            self._release(batch.connection, readdressed)

    def events(self, batch: Batch) -> None:
        """Note the mails that these events call for."""
        told = [
            (record, record.event, kind)
            for record in batch.received
            if isinstance(record.event, Told) and (kind := kind_of(record.event)) is not None
        ]
        known = _known(batch.connection, {event.partner_id for _, event, _ in told})
        now = self._real.now()
        rows = []
        for record, event, kind in told:
            verdict = self._judge(kind, record.recorded_at, known.get(event.partner_id))
            rows.append(
                {
                    "event_id": record.event_id,
                    "partner_id": event.partner_id,
                    "kind": kind.value,
                    "event": dump(event),
                    "recorded_at": record.recorded_at,
                    "queued_at": now,
                    "next_try_at": now,
                    "state": verdict.state.value,
                    "attempts": 0,
                    "last_error": verdict.reason,
                }
            )
            _count(kind, verdict)
        if rows:
            batch.connection.execute(upsert(messages, self._engine).on_conflict_do_nothing(), rows)

    def _release(self, connection: Connection, partner_ids: Collection[str]) -> None:
        known = _known(connection, partner_ids)
        held = connection.execute(
            select(messages.c.number, messages.c.partner_id, messages.c.kind, messages.c.recorded_at).where(
                messages.c.partner_id.in_(partner_ids), messages.c.state.in_([State.WAITING, State.FAILED])
            )
        ).all()
        changes = []
        for row in held:
            verdict = self._judge(Kind(row.kind), row.recorded_at, known[row.partner_id])
            changes.append({"of": row.number, "to": verdict.state.value, "why": verdict.reason, "at": self._real.now()})
            _count(Kind(row.kind), verdict)
        if changes:
            connection.execute(
                update(messages)
                .where(messages.c.number == bindparam("of"))
                .values(
                    state=bindparam("to"),
                    last_error=bindparam("why"),
                    next_try_at=bindparam("at", type_=messages.c.next_try_at.type),
                    attempts=0,
                ),
                changes,
            )

    def _judge(self, kind: Kind, recorded_at: datetime, partner: Row[Any] | None) -> Verdict:
        # Aged by real time: a test clock that runs fast or jumps makes no mail stale, a week's outage does.
        if kind.fresh_for is not None and recorded_at < self._clock.at(self._real.now() - kind.fresh_for):
            return Verdict(State.EXPIRED, f"older than {kind.fresh_for.days} days")
        if partner is None or not partner.email:
            return Verdict(State.WAITING)
        today = self._clock.now().astimezone(self._programme.zone).date()
        if kind is Kind.WEEKLY and partner.left_on is not None and partner.left_on <= today:
            return Verdict(State.EXPIRED, "no longer a partner")
        return Verdict(State.PENDING)


def _known(connection: Connection, partner_ids: Collection[str]) -> dict[str, Row[Any]]:
    rows = connection.execute(select(partners).where(partners.c.partner_id.in_(partner_ids)))
    return {row.partner_id: row for row in rows}


def _partner_row(partner_id: str, event: Partner) -> dict[str, Any]:
    return {
        "partner_id": partner_id,
        "name": _one_line(event.name),
        "email": _one_line(event.email),
        "language": _one_line(event.language),
        "country": _one_line(event.country),
        "left_on": event.left_on,
    }


def _one_line(text: str) -> str:
    """What comes from outside, without the characters that mean something to a mail or a database."""
    return _CONTROL.sub(" ", text).strip()[:200]


def _forget(connection: Connection, partner_ids: Collection[str]) -> None:
    connection.execute(delete(partners).where(partners.c.partner_id.in_(partner_ids)))
    connection.execute(
        update(messages)
        .where(messages.c.partner_id.in_(partner_ids), messages.c.state.in_(_UNSENT))
        .values(state=State.EXPIRED, last_error="the partner was erased")
    )


def _count(kind: Kind, verdict: Verdict) -> None:
    if verdict.state in (State.WAITING, State.EXPIRED):
        metrics.count(kind, "waiting" if verdict.state is State.WAITING else "expired")
