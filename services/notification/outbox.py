"""The messages that are due: who sends which, and what became of it.

A message is claimed, sent outside of any transaction, and settled. A claim is a lease: it puts the message off until
nobody can still be sending it. Whoever dies leaves it due again, under the Message-ID that it had.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, Row, Select, func, or_, select, update

from deploy.runtime.clock import Clock, RealClock
from services.kit.database import reading
from services.kit.metrics import OUTBOX_OLDEST
from services.notification import metrics
from services.notification.addressees import addressee_columns, is_to_himself, with_addressees
from services.notification.pace import Allowance, QuietHours
from services.notification.tables import State, bad_addresses, messages, partners
from streams.rules.terms import Programme

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.notification")

LEASE = timedelta(minutes=5)
"""Longer than a portion takes with a mail server that answers as late as it may."""
_PORTION = 8
"""Weekly mails claimed at a time. Of the others one: no alert shall stand behind a mail that a server thinks about."""


class Outbox:
    """The due messages, for all senders of a process. ``owner`` names the process; no other may have its name."""

    def __init__(
        self,
        engine: Engine,
        owner: str,
        *,
        clock: Clock,
        programme: Programme,
        quiet: QuietHours | None,
        allowance: Allowance,
    ) -> None:
        self._engine, self._owner = engine, owner
        self._clock, self._zone, self._quiet, self._allowance = clock, programme.zone, quiet, allowance
        self._real = RealClock()
        self._lock = threading.Lock()
        # SQLite knows one writer at a time: waiting for one's turn here is quicker than asking again and again.
        self._turn: AbstractContextManager[Any] = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()
        self._busy: Counter[str] = Counter()
        self._bad_addresses = 0

    def take_back(self) -> int:
        """Make due again what an earlier process of this name was sending when it died. Answers how many."""
        return self._put_back(messages.c.claimed_by == self._owner)

    def anything_due(self) -> bool:
        """Whether it is worth while to connect to the mail server."""
        with self._lock:
            return any(self._has_due(wave) for wave in self._waves())

    def claim(self) -> Sequence[Row[Any]]:
        """A portion of what is due, now the caller's to ``settle`` or to ``release``. Two mails to the same partner are
        never under way at once, so they arrive in their order."""
        with self._lock:
            allowed = self._allowance.take(_PORTION, time.monotonic())
            if not allowed:
                return ()
            rows: Sequence[Row[Any]] = ()
            for wave in self._waves():
                # Asked first: looking in vain must not cost a turn at writing.
                rows = self._claim(wave, allowed if wave else 1) if self._has_due(wave) else ()
                if rows:
                    break
            self._allowance.give_back(allowed - len(rows))
            self._busy.update(row.partner_id for row in rows)
            return rows

    def settle_sent(self, row: Row[Any], sent_to: str) -> None:
        """The mail server has it: true, whatever became of the row meanwhile."""
        values = {"state": State.SENT, "sent_at": self._real.now(), "sent_to": sent_to}
        self._settle(row, messages.c.number == row.number, last_error=None, **values)

    def settle_refused(self, row: Row[Any], reason: str, attempts: int, wait: timedelta | None) -> None:
        """It was refused; try again after ``wait``, or never. Changes nothing if the claim was lost meanwhile."""
        # A former address or a contact that takes no mail is no partner who was not told.
        given_up = State.FAILED if is_to_himself(row) else State.EXPIRED
        later = {"state": given_up} if wait is None else {"next_try_at": self._real.now() + wait}
        ours = (messages.c.number == row.number) & (messages.c.state == State.PENDING) & self._claimed(row)
        self._settle(row, ours, attempts=attempts, last_error=reason, **later)

    def release(self, rows: Sequence[Row[Any]]) -> None:
        """Leave claimed messages to whoever comes next."""
        if not rows:
            return
        ours = messages.c.number.in_([row.number for row in rows]) & self._claimed(rows[0])
        with self._lock:
            self._allowance.give_back(len(rows))
        self._put_back(ours)
        self._done(rows)

    def measure(self) -> None:
        """Set the gauges. Counts the table, so call it now and then."""
        now = self._real.now()
        by_state = select(messages.c.state, func.count().label("number")).group_by(messages.c.state)
        with reading(self._engine).connect() as connection:
            counts = {row.state: row.number for row in connection.execute(by_state)}
            late = [self._lateness(connection, wave, now) for wave in self._waves()]
            bad = connection.execute(select(func.count()).select_from(bad_addresses)).scalar_one()
        for state in State:
            metrics.MESSAGES.labels(state).set(counts.get(state, 0))
        OUTBOX_OLDEST.set(max(late))
        metrics.BAD_ADDRESSES.set(bad)
        if bad > self._bad_addresses:
            _log.warning("addresses take no mail: what is for them waits", partners=bad)
        self._bad_addresses = bad

    def _lateness(self, connection: Connection, wave: bool, now: datetime) -> float:
        """Seconds for which the oldest message has been due; of one that was refused, since it came in."""
        mine = (messages.c.state == State.PENDING) & (messages.c.wave == wave)
        first_due = select(func.min(messages.c.next_try_at)).where(mine, messages.c.claimed_by.is_(None))
        tried = or_(messages.c.attempts > 0, messages.c.claimed_by.is_not(None))
        first_queued = select(func.min(messages.c.queued_at)).where(mine, tried)
        found = [connection.execute(query).scalar() for query in (first_due, first_queued)]
        return max((now - moment).total_seconds() if moment and moment < now else 0.0 for moment in found)

    def _has_due(self, wave: bool) -> bool:
        with reading(self._engine).connect() as connection:
            return connection.execute(self._due(wave, self._real.now(), 1)).first() is not None

    def _claim(self, wave: bool, limit: int) -> Sequence[Row[Any]]:
        now = self._real.now()
        due = self._due(wave, now, limit).with_for_update(of=messages, skip_locked=True).cte("due")
        numbers = (
            update(messages)
            .where(messages.c.number.in_(select(due.c.number)))
            .values(claimed_by=self._owner, next_try_at=now + LEASE)
            .returning(messages.c.number)
        )
        with self._turn, self._engine.begin() as connection:
            claimed = connection.execute(numbers).scalars().all()
            return connection.execute(_whole(claimed)).all() if claimed else ()

    def _due(self, wave: bool, now: datetime, limit: int) -> Select[Any]:
        return (
            select(messages.c.number)
            .select_from(messages.join(partners, partners.c.partner_id == messages.c.partner_id))
            .where(
                messages.c.state == State.PENDING,
                messages.c.wave == wave,
                messages.c.next_try_at <= now,
                messages.c.partner_id.not_in(list(self._busy)),
            )
            .order_by(messages.c.next_try_at, messages.c.number)
            .limit(limit)
        )

    def _waves(self) -> tuple[bool, ...]:
        """What may be sent now, most urgent first."""
        local = self._clock.now().astimezone(self._zone)
        return (False,) if self._quiet is not None and self._quiet.cover(local) else (False, True)

    def _claimed(self, row: Row[Any]) -> Any:
        return (messages.c.claimed_by == self._owner) & (messages.c.next_try_at == row.next_try_at)

    def _settle(self, row: Row[Any], which: Any, **values: Any) -> None:
        with self._turn, self._engine.begin() as connection:
            connection.execute(update(messages).where(which).values(claimed_by=None, **values))
        self._done([row])

    def _put_back(self, which: Any) -> int:
        values = {"claimed_by": None, "next_try_at": self._real.now()}
        with self._turn, self._engine.begin() as connection:
            done = connection.execute(update(messages).where(which, messages.c.state == State.PENDING).values(values))
            return int(done.rowcount)

    def _done(self, rows: Iterable[Row[Any]]) -> None:
        with self._lock:
            self._busy -= Counter(row.partner_id for row in rows)


def _whole(numbers: Sequence[int]) -> Select[Any]:
    """The messages of these numbers with what a mail must know of their partners, in order."""
    return (
        select(messages, *addressee_columns())
        .select_from(with_addressees(registered=True))
        .where(messages.c.number.in_(numbers))
        .order_by(messages.c.number)
    )
