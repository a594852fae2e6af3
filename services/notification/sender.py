"""One connection's work: take what is due, write it, hand it to the mail server, note what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from traceback import format_tb
from typing import Any

import structlog
from sqlalchemy import Row

from deploy.runtime.clock import Clock, RealClock
from deploy.runtime.settings import Settings
from services.kit.links import Invitation, link_for, unsubscribe_link
from services.notification import metrics
from services.notification.addressees import is_to_himself
from services.notification.addresses import Addresses
from services.notification.envelope import Envelope, Unmailable, mailable, parse_sender
from services.notification.messages import Addressee, Kind, Link, compose
from services.notification.outbox import Outbox
from services.notification.pace import retry_after
from services.notification.smtp import Refused, ServerAway, Session, parse_url
from streams.rules.terms import Programme

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.notification")

PAUSE_MAX = 60
"""The longest wait, in seconds, before a server that is away is tried again."""
_MAILS_A_CONNECTION = 200
_IDLE_SECONDS = 10


class Writer:
    """Messages to mails."""

    def __init__(self, settings: Settings, clock: Clock, programme: Programme) -> None:
        self._settings, self._clock, self._programme = settings, clock, programme
        self.sender = parse_sender(settings.mail_from)
        self._envelope = Envelope(self.sender)
        self._real = RealClock()

    def write(self, row: Row[Any], recipient: str) -> bytes:
        """The mail of a message, its link fresh. Raises Unmailable if it can't be written."""
        try:
            kind = Kind(row.kind)
            person = row.contact_id or ""
            leave = unsubscribe_link(self._settings, row.partner_id, person) if kind is Kind.WEEKLY else ""
            message = compose(
                kind,
                row.event,
                Addressee(row.partner_id, row.name, row.language, row.country, bool(person)),
                self._programme,
                self._link(Invitation("partner", row.partner_id, person), json.loads(row.event)),
                leave,
            )
            return self._envelope.seal(
                message,
                message_id=f"{row.event_id}.{row.edition}" if row.edition else row.event_id,
                recipient=recipient,
                at=self._clock.now(),
                unsubscribe=leave,
            )
        except Exception as error:  # one message that can't be written must not hold up everybody else's
            problem = f"can't be written: {type(error).__name__}"  # its text might name the partner
            _log.error("a message " + problem, kind=row.kind, where="".join(format_tb(error.__traceback__)))
            raise Unmailable(problem) from error

    def _link(self, invitation: Invitation, fact: Mapping[str, Any]) -> Link:
        hours = self._settings.link_hours
        # Links age by real time. On a test clock that is no date the reader could compare with anything.
        until = self._real.now() + timedelta(hours=hours) if isinstance(self._clock, RealClock) else None
        place = (fact.get("quarter", ""), fact.get("claim_id", ""))
        return Link(link_for(self._settings, invitation, *place), hours, until)


class Server:
    """What is known of the mail server, for all senders: what the last of them found."""

    def __init__(self) -> None:
        self.problem: str | None = None
        """What is wrong with it, as far as is known."""

    def away(self, reason: str) -> None:
        """It took no connection, or no mail over it."""
        if reason != self.problem:
            _log.warning("the mail server does not take mail", reason=reason)
        self.problem = reason

    def there(self) -> None:
        """It took mail."""
        if self.problem is not None:
            _log.info("the mail server takes mail again")
        self.problem = None


class Sender:
    """Sends what is due over a connection that it keeps for a while. Call ``step`` in a loop, then ``close``."""

    def __init__(self, outbox: Outbox, server: Server, settings: Settings, clock: Clock, programme: Programme) -> None:
        self._outbox, self._known = outbox, server
        self._server = parse_url(settings.smtp_url)
        self._writer = Writer(settings, clock, programme)
        self._addresses = Addresses(settings)
        self._session: Session | None = None
        self._used_at = 0.0
        self._pause = 0
        self._not_before = 0.0

    def step(self, seconds: float = 1.0, stopping: Callable[[], bool] = lambda: False) -> int:
        """Send what is due, for about so long at most. Returns how many messages were settled."""
        if time.monotonic() < self._not_before:
            return 0
        if not self._outbox.anything_due():
            if time.monotonic() - self._used_at > _IDLE_SECONDS:
                self.close()
            return 0
        until = time.monotonic() + seconds
        settled = 0
        try:
            session = self._connected()
            while time.monotonic() < until and not stopping() and session.open:
                session = self._connected() if session.sent >= _MAILS_A_CONNECTION else session
                portion = self._outbox.claim()
                if not portion:
                    break
                settled += self._send_all(session, portion, lambda: time.monotonic() >= until or stopping())
        except ServerAway as error:
            self.close()
            self._pause = min(max(1, 2 * self._pause), PAUSE_MAX)
            self._not_before = time.monotonic() + self._pause
            self._known.away(str(error))
        else:
            self._pause = 0
            self._known.there()
        return settled

    def close(self) -> None:
        """Let the connection go."""
        if self._session is not None:
            self._session.close()
        self._session = None

    def _connected(self) -> Session:
        """A connection that stood a moment ago. Raises ServerAway."""
        session = self._session
        if session is None or session.sent >= _MAILS_A_CONNECTION or not session.answers():
            self.close()
            session = self._session = Session(self._server)
        self._used_at = time.monotonic()
        return session

    def _send_all(self, session: Session, portion: Sequence[Row[Any]], over: Callable[[], bool]) -> int:
        settled = 0
        try:
            for row in portion:
                if over() or not session.open:
                    break
                self._send(session, row)
                settled += 1
        finally:
            self._outbox.release(portion[settled:])
        self._used_at = time.monotonic()
        return settled

    def _send(self, session: Session, row: Row[Any]) -> None:
        try:
            recipient = mailable(row.email or "")
            mail = self._writer.write(row, recipient)
            session.send(self._addresses.return_path(row.number, self._writer.sender.addr_spec), recipient, mail)
        except (Unmailable, Refused) as error:
            self._refused(row, error)
        else:
            self._outbox.settle_sent(row, self._addresses.fingerprint(row.email))
            metrics.count(row.kind, "sent")

    def _refused(self, row: Row[Any], error: Unmailable | Refused) -> None:
        attempts = row.attempts + 1
        final = isinstance(error, Unmailable) or error.final
        lost = isinstance(error, Refused) and error.lost
        wait = None if final else retry_after(row.event_id, attempts, lost=lost)
        if wait is None:
            _log.error("message given up", number=row.number, kind=row.kind, reason=str(error))
        self._outbox.settle_refused(row, str(error), attempts, wait)
        metrics.count(row.kind, "retried" if wait else "failed" if is_to_himself(row) else "expired")
