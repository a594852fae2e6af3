"""Rows to mails: one at a time, each settled in the database before the next begins.

The lock on its row is the claim: whoever else sends skips it, and a crash gives it back at once. Between the server's
"250" and the commit lies one UPDATE; a crash right there sends the mail again, under the same Message-ID.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from traceback import format_tb
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, Row, Select, func, select, update

from deploy.runtime.clock import Clock, RealClock
from deploy.runtime.settings import Settings
from services.kit.links import Invitation, link_for
from services.kit.metrics import OUTBOX_OLDEST
from services.notification import metrics
from services.notification.envelope import Envelope, Unmailable, mailable, parse_sender
from services.notification.messages import Addressee, Kind, Link, compose
from services.notification.smtp import Refused, ServerAway, Session, parse_url
from services.notification.tables import State, messages, partners
from streams.rules.terms import Programme

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.notification")

RETRIES = tuple(timedelta(minutes=m) for m in (1, 5, 30, 120, 360, 1440))
"""How long to wait after each refusal that may pass; after the last one the message has failed."""
RECONNECT = timedelta(seconds=5)
"""How long to wait instead when a connection broke for the first time: most likely the server was restarted."""
PAUSE_MAX = 60
"""The longest wait, in seconds, before a server that is away is tried again."""


class Sender:
    """Sends what is due. Call ``step`` in a loop."""

    def __init__(self, engine: Engine, settings: Settings, clock: Clock, programme: Programme) -> None:
        self._engine, self._settings, self._clock, self._programme = engine, settings, clock, programme
        self._server = parse_url(settings.smtp_url)
        self._sender = parse_sender(settings.mail_from)
        self._envelope = Envelope(self._sender)
        self._real = RealClock()
        self._pause = 0
        self._not_before = 0.0
        self.problem: str | None = None
        """What is wrong with the mail server, as far as is known."""

    def step(self, seconds: float = 1.0, stopping: Callable[[], bool] = lambda: False) -> int:
        """Send what is due, for about so long at most. Returns how many messages were settled."""
        if time.monotonic() < self._not_before or not self._anything_due():
            return 0
        until = time.monotonic() + seconds
        settled = 0
        try:
            session = Session(self._server)
            try:
                while time.monotonic() < until and not stopping() and session.open:
                    if not self._settle_next(session):
                        break
                    settled += 1
            finally:
                session.close()
        except ServerAway as error:
            self._server_away(str(error))
        else:
            self._server_there()
        return settled

    def measure(self) -> None:
        """Set the gauges. Counts the table, so call it now and then."""
        by_state = select(messages.c.state, func.count().label("number")).group_by(messages.c.state)
        first_queued = select(func.min(messages.c.queued_at)).where(messages.c.state == State.PENDING)
        with self._engine.connect() as connection:
            counts = {row.state: row.number for row in connection.execute(by_state)}
            oldest = connection.execute(first_queued).scalar()
        for state in State:
            metrics.MESSAGES.labels(state).set(counts.get(state, 0))
        OUTBOX_OLDEST.set((self._real.now() - oldest).total_seconds() if oldest else 0)

    def _anything_due(self) -> bool:
        with self._engine.connect() as connection:
            return connection.execute(_due(self._real.now())).first() is not None

    def _settle_next(self, session: Session) -> bool:
        """Send the next message, put it off or give it up. False if none is due."""
        with self._engine.begin() as connection:
            row = connection.execute(_due(self._real.now()).with_for_update(of=messages, skip_locked=True)).first()
            if row is None:
                return False
            try:
                recipient = mailable(row.email)
                mail = self._write(row, recipient)
                session.send(self._sender.addr_spec, recipient, mail)
            except (Unmailable, Refused) as error:
                self._refused(connection, row, error)
            else:
                _settle(connection, row, state=State.SENT, sent_at=self._real.now(), last_error=None)
                metrics.count(row.kind, "sent")
        return True

    def _write(self, row: Row[Any], recipient: str) -> bytes:
        try:
            message = compose(
                Kind(row.kind),
                row.event,
                Addressee(row.partner_id, row.name, row.language, row.country),
                self._programme,
                self._link(row.partner_id, json.loads(row.event).get("quarter", "")),
            )
            return self._envelope.seal(message, event_id=row.event_id, recipient=recipient, at=self._clock.now())
        except Exception as error:  # one message that can't be written must not hold up everybody else's
            problem = f"can't be written: {type(error).__name__}"  # its text might name the partner
            _log.error("a message " + problem, kind=row.kind, where="".join(format_tb(error.__traceback__)))
            raise Unmailable(problem) from error

    def _link(self, partner_id: str, quarter: str) -> Link:
        hours = self._settings.link_hours
        # Links age by real time. On a test clock that is no date the reader could compare with anything.
        until = self._real.now() + timedelta(hours=hours) if isinstance(self._clock, RealClock) else None
        return Link(link_for(self._settings, Invitation("partner", partner_id), quarter), hours, until)

    def _refused(self, connection: Connection, row: Row[Any], error: Unmailable | Refused) -> None:
        attempts = row.attempts + 1
        lost = isinstance(error, Refused) and error.lost
        for_good = isinstance(error, Unmailable) or error.final or attempts > len(RETRIES)
        if for_good:
            # A former address that takes no mail any more is no partner who was not told.
            state = State.FAILED if row.recipient is None else State.EXPIRED
            _settle(connection, row, state=state, attempts=attempts, last_error=str(error))
            _log.error("message given up", event_id=row.event_id, kind=row.kind, reason=str(error))
        else:
            next_try_at = self._real.now() + (RECONNECT if lost and attempts == 1 else RETRIES[attempts - 1])
            _settle(connection, row, attempts=attempts, next_try_at=next_try_at, last_error=str(error))
        metrics.count(row.kind, "retried" if not for_good else "failed" if row.recipient is None else "expired")

    def _server_away(self, reason: str) -> None:
        self._pause = min(max(1, 2 * self._pause), PAUSE_MAX)
        self._not_before = time.monotonic() + self._pause
        if reason != self.problem:
            _log.warning("the mail server does not take mail", reason=reason)
        self.problem = reason
        metrics.SERVER.set(0)

    def _server_there(self) -> None:
        if self.problem is not None:
            _log.info("the mail server takes mail again")
        self._pause, self.problem = 0, None
        metrics.SERVER.set(1)


def _due(now: datetime) -> Select[Any]:
    addressed = messages.join(partners, partners.c.partner_id == messages.c.partner_id)
    email = func.coalesce(messages.c.recipient, partners.c.email).label("email")
    return (
        select(messages, partners.c.name, email, partners.c.language, partners.c.country)
        .select_from(addressed)
        .where(messages.c.state == State.PENDING, messages.c.next_try_at <= now)
        .order_by(messages.c.number)
        .limit(1)
    )


def _settle(connection: Connection, row: Row[Any], **values: Any) -> None:
    connection.execute(update(messages).where(messages.c.number == row.number).values(values))
