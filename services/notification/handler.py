"""Events to rows, in the transaction that notes them as read."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, select, update

from deploy.runtime.clock import Clock, RealClock
from deploy.runtime.settings import Settings
from schemas.events import Partner, PreferencesChanged
from services.kit.consumer import Batch
from services.kit.database import upsert
from services.notification import metrics
from services.notification.addresses import Addresses
from services.notification.digest import collect
from services.notification.messages import Kind, Told, dump, kind_of
from services.notification.pace import parse_quiet_hours, weekly_due
from services.notification.reach import UNSUBSCRIBED, Reach, known
from services.notification.tables import State, bad_addresses, messages, partners, preferences
from streams.rules.terms import Programme

_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
_UNSENT = (State.WAITING, State.PENDING, State.FAILED)


class Handler:
    """What the service does with what it reads."""

    def __init__(self, engine: Engine, clock: Clock, programme: Programme, settings: Settings) -> None:
        self._engine, self._clock, self._programme, self._settings = engine, clock, programme, settings
        self._addresses = Addresses(settings)
        self._reach = Reach(clock, programme, self._addresses)
        self._quiet = parse_quiet_hours(settings.quiet_hours)
        self._real = RealClock()

    @property
    def _wait(self) -> timedelta:
        return timedelta(seconds=self._settings.tier_mail_wait_seconds / self._clock.rate)

    def partners(self, batch: Batch) -> None:
        """Remember names and addresses, forget who is to be forgotten, let go what waited for an address."""
        latest = {record.key: record.event for record in batch.received}
        before = known(batch.connection, latest)
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
            self._give_another_chance(batch.connection, [row for row in rows if row["partner_id"] in readdressed])
            self._release(batch.connection, readdressed)

    def preferences(self, batch: Batch) -> None:
        """Remember who wants the weekly mail; who does not gets none that has not gone out yet."""
        latest = {record.key: record.event for record in batch.received}
        rows = [
            {"partner_id": key, "weekly_mail": event.weekly_mail, "changed_at": event.occurred_at}
            for key, event in latest.items()
            if isinstance(event, PreferencesChanged)
        ]
        if not rows:
            return
        statement = upsert(preferences, self._engine)
        columns = {name: statement.excluded[name] for name in ("weekly_mail", "changed_at")}
        batch.connection.execute(statement.on_conflict_do_update(index_elements=["partner_id"], set_=columns), rows)
        batch.connection.execute(
            update(messages)
            .where(
                messages.c.partner_id.in_([row["partner_id"] for row in rows if not row["weekly_mail"]]),
                messages.c.kind == Kind.WEEKLY,
                messages.c.state.in_([State.WAITING, State.PENDING]),
                messages.c.claimed_by.is_(None),
            )
            .values(state=State.EXPIRED, last_error=UNSUBSCRIBED)
        )

    def events(self, batch: Batch) -> None:
        """Note the mails that these events call for."""
        told = [
            (record, record.event, kind)
            for record in batch.received
            if isinstance(record.event, Told) and (kind := kind_of(record.event)) is not None
        ]
        partner_of = known(batch.connection, {event.partner_id for _, event, _ in told})
        now = self._real.now()
        rows: list[dict[str, Any]] = []
        for record, event, kind in told:
            verdict = self._reach.judge(kind, record.recorded_at, partner_of.get(event.partner_id))
            rows.append(
                {
                    "event_id": record.event_id,
                    "partner_id": event.partner_id,
                    "kind": kind.value,
                    "event": dump(event),
                    "recorded_at": record.recorded_at,
                    "queued_at": now,
                    "next_try_at": self._due(kind, event.partner_id, now),
                    "state": verdict.state.value,
                    "attempts": 0,
                    "last_error": verdict.reason,
                    "wave": kind.of_the_wave,
                    "edition": 0,
                }
            )
        collect(batch.connection, rows, self._wait, now)
        for row in rows:
            _count(row["kind"], row["state"])
        if rows:
            batch.connection.execute(upsert(messages, self._engine).on_conflict_do_nothing(), rows)

    def _give_another_chance(self, connection: Connection, rows: Collection[dict[str, Any]]) -> None:
        """Another address says nothing of the one that was bad; the same one in other letters does."""
        connection.execute(
            delete(bad_addresses).where(
                bad_addresses.c.partner_id == bindparam("of"), bad_addresses.c.fingerprint != bindparam("new")
            ),
            [{"of": row["partner_id"], "new": self._addresses.fingerprint(row["email"])} for row in rows],
        )

    def _release(self, connection: Connection, partner_ids: Collection[str]) -> None:
        partner_of = known(connection, partner_ids)
        held = connection.execute(
            select(messages.c.number, messages.c.partner_id, messages.c.kind, messages.c.recorded_at).where(
                messages.c.partner_id.in_(partner_ids), messages.c.state.in_([State.WAITING, State.FAILED])
            )
        ).all()
        changes = []
        for row in held:
            verdict = self._reach.judge(Kind(row.kind), row.recorded_at, partner_of[row.partner_id])
            changes.append({"of": row.number, "to": verdict.state.value, "why": verdict.reason, "at": self._real.now()})
            _count(row.kind, verdict.state)
        if changes:
            connection.execute(
                update(messages)
                .where(messages.c.number == bindparam("of"))
                .values(
                    state=bindparam("to"),
                    last_error=bindparam("why"),
                    next_try_at=bindparam("at", type_=messages.c.next_try_at.type),
                    attempts=0,
                    claimed_by=None,
                ),
                changes,
            )

    def _due(self, kind: Kind, partner_id: str, now: datetime) -> datetime:
        """When a message that came in now is due, in real time."""
        if not kind.of_the_wave:
            return now
        local = self._clock.now().astimezone(self._programme.zone)
        due = weekly_due(partner_id, local, self._settings.weekly_spread_minutes, self._quiet)
        # Two moments of one zone would be compared by what clocks on the wall show.
        return now + (due.astimezone(UTC) - local.astimezone(UTC)) / self._clock.rate


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
    for table in (partners, preferences, bad_addresses):
        connection.execute(delete(table).where(table.c.partner_id.in_(partner_ids)))
    connection.execute(
        update(messages)
        .where(messages.c.partner_id.in_(partner_ids), messages.c.state.in_(_UNSENT))
        .values(state=State.EXPIRED, last_error="the partner was erased")
    )


def _count(kind: str, state: str) -> None:
    result = {State.WAITING: "waiting", State.EXPIRED: "expired", State.SUPERSEDED: "superseded"}.get(State(state))
    if result is not None:
        metrics.count(kind, result)
