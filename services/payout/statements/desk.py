"""The desk that issues statements: a portion in each turn of the loop, so that payments never wait for paper."""

from __future__ import annotations

import logging
import time
from collections import deque
from pathlib import Path

import typst
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError

from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings
from services.kit.database import reading
from services.kit.statements import Shelf
from services.payout import metrics
from services.payout.statements import stored
from services.payout.statements.due import Due, due
from services.payout.statements.facts import Kind
from services.payout.statements.gather import Incomplete, issuer
from services.payout.statements.issue import issue
from services.payout.tables import outbox
from streams.rules.terms import Programme

_log = logging.getLogger("staffel.payout")
_TURN_SECONDS = 0.5
_LOOK_SECONDS = 60


class Desk:
    """Issues what is due and puts it where the partner finds it. What fails is tried again a minute later."""

    def __init__(self, engine: Engine, settings: Settings, programme: Programme, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._issuer = issuer(settings, programme)
        self._shelf = Shelf(Path(settings.statements))
        self._due: deque[Due] = deque()
        self._unshelved: deque[str] = deque()
        self._moves: int | None = None
        self._looked = float("-inf")
        with reading(engine).connect() as connection:
            known, there = stored.numbers(connection), self._shelf.numbers()
        self._unshelved.extend(number for number in known if number not in there)
        self._forgotten = sorted(there - set(known))

    @property
    def missing(self) -> str | None:
        """Says which statements were issued and are not in the database; None if there is none."""
        if not self._forgotten:
            return None
        return (
            f"the database does not know {len(self._forgotten)} statement(s) that lie in the folder, the first "
            f"{self._forgotten[0]}: it was restored from an old backup or replaced. Nothing is paid or issued until "
            "the database that knows them is back"
        )

    def step(self) -> None:
        """Issue and shelve for a moment, if there is anything to be done."""
        self._look()
        until = time.monotonic() + _TURN_SECONDS
        while self._due and time.monotonic() < until:
            self._issue(self._due.popleft())
        while self._unshelved and time.monotonic() < until + _TURN_SECONDS and self._shelve(self._unshelved[0]):
            self._unshelved.popleft()

    def _look(self) -> None:
        """Ask what is due, if an obligation has moved since it was last asked and nothing was."""
        if self._due or self._forgotten:
            return
        with reading(self._engine).connect() as connection:
            moves = connection.execute(select(func.max(outbox.c.id))).scalar()
            if moves == self._moves and time.monotonic() < self._looked + _LOOK_SECONDS:
                return
            self._due.extend(due(connection))
        self._moves, self._looked = moves, time.monotonic()
        metrics.STATEMENTS_WAITING.set(len(self._due) + len(self._unshelved))

    def _issue(self, wanted: Due) -> None:
        try:
            number = issue(self._engine, self._issuer, wanted, self._clock.now())
        except (Incomplete, typst.TypstError, IntegrityError) as error:
            # Not the error's own words: they may hold a name.
            reason = str(error) if isinstance(error, Incomplete) else type(error).__name__
            subject = f" {wanted.subject}" if wanted.kind is Kind.PAYMENT else ""
            _log.error("a %s statement can't be issued:%s %s", wanted.kind, subject, reason)
            return
        if number is not None:
            metrics.STATEMENTS.labels(wanted.kind).inc()
            self._unshelved.append(number)

    def _shelve(self, number: str) -> bool:
        with reading(self._engine).connect() as connection:
            found = stored.find(connection, number)
        if found is None:
            return True
        try:
            self._shelf.put(found.card, found.pdf, found.csv)
        except OSError as error:
            _log.error("statements can't be written into their folder: %s", error.strerror)
            return False
        return True
