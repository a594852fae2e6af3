"""What needs a person: a row for each fact, once. ``telling`` says it on."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, delete, exists, literal, select

from deploy.runtime.clock import Clock, RealClock
from schemas.events import PayoutStatus, PayoutStatusChanged
from services.kit.consumer import Batch
from services.kit.database import reading, upsert
from services.notification.tables import State, messages, staff_alerts, staff_tellings

FRESH = timedelta(days=7)
"""How long a fact is news: an older one, met when topics are read anew or told to nobody so far, is told no more."""
KEPT = timedelta(days=90)
AWAY = timedelta(minutes=10)
"""How long the mail server must be away before somebody is told."""
_PORTION = 500
_CODE = re.compile(r"[A-Za-z0-9-]{1,40}")
_PAYOUTS = {PayoutStatus.HELD: "is held", PayoutStatus.RETURNED: "came back from the bank"}


class Alert(NamedTuple):
    """Something for a person to look at. ``fact`` identifies it; the text names nobody but by partner id."""

    fact: str
    text: str
    partner_id: str | None = None


def raise_alert(connection: Connection, engine: Engine, alert: Alert, now: datetime) -> None:
    """Note an alert, unless it is noted already."""
    row = {"fact": alert.fact, "text": alert.text, "partner_id": alert.partner_id, "raised_at": now}
    connection.execute(upsert(staff_alerts, engine).values(row).on_conflict_do_nothing())


class Watch:
    """Notes what needs a person."""

    def __init__(self, engine: Engine, clock: Clock, away: timedelta = AWAY) -> None:
        self._engine, self._clock, self._away = engine, clock, away
        self._real = RealClock()
        self._away_since: datetime | None = None

    def partners(self, batch: Batch) -> None:
        """Forget alerts about partners who are to be forgotten."""
        latest = {record.key: record.event for record in batch.received}
        erased = [key for key, event in latest.items() if event is None]
        if erased:
            _delete(batch.connection, staff_alerts.c.partner_id.in_(erased))

    def events(self, batch: Batch) -> None:
        """Note payments that are held or came back."""
        now = self._real.now()
        since = self._clock.at(now - FRESH)
        for record in batch.received:
            event = record.event
            if not isinstance(event, PayoutStatusChanged) or record.recorded_at < since:
                continue
            if event.status in _PAYOUTS:
                alert = Alert(f"payout:{record.event_id}", _payment(event), event.partner_id)
                raise_alert(batch.connection, self._engine, alert, now)

    def look(self, mail_problem: str | None) -> None:
        """Note mails that were given up, and a mail server that has been away for long. Call it now and then."""
        now = self._real.now()
        self._away_since = None if mail_problem is None else self._away_since or now
        alerts = self._given_up()
        if self._away_since is not None and now - self._away_since >= self._away:
            text = f"The mail server has taken no mail since {self._away_since:%Y-%m-%d %H:%M} UTC."
            alerts.append(Alert(f"mail-server:{self._away_since.isoformat()}", text))
        if alerts:
            with self._engine.begin() as connection:
                for alert in alerts:
                    raise_alert(connection, self._engine, alert, now)

    def sweep(self) -> None:
        """Forget what is old."""
        with self._engine.begin() as connection:
            _delete(connection, staff_alerts.c.raised_at < self._real.now() - KEPT)

    def _given_up(self) -> list[Alert]:
        noted = exists().where(staff_alerts.c.fact == literal("message:") + messages.c.event_id)
        chosen = (
            select(messages.c.event_id, messages.c.partner_id, messages.c.kind)
            .where(messages.c.state == State.FAILED, ~noted)
            .limit(_PORTION)
        )
        with reading(self._engine).connect() as connection:
            return [_mail(row) for row in connection.execute(chosen)]


def _payment(event: PayoutStatusChanged) -> str:
    why = f" ({event.reason})" if event.reason and _CODE.fullmatch(event.reason) else ""
    return (
        f"Partner {event.partner_id}: the payment for {event.quarter}, revision {event.revision}, "
        f"{_PAYOUTS[event.status]}{why}."
    )


def _mail(row: Any) -> Alert:
    return Alert(
        f"message:{row.event_id}",
        f"Partner {row.partner_id}: a mail ({row.kind}) was given up; nobody has told him.",
        row.partner_id,
    )


def _delete(connection: Connection, chosen: Any) -> None:
    numbers = select(staff_alerts.c.number).where(chosen)
    connection.execute(delete(staff_tellings).where(staff_tellings.c.alert.in_(numbers)))
    connection.execute(delete(staff_alerts).where(chosen))
