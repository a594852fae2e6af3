"""The service's loop: read what has come, send what is due, say how it is going."""

from __future__ import annotations

import math
import time

from confluent_kafka import KafkaException
from sqlalchemy import Engine

from schemas.topics import (
    BANK_DETAILS,
    PARTNERS,
    PAYOUTS,
    PREFERENCES,
    QUARTER_CLOSES,
    TIER_CHANGES,
    WEEKLY_SUMMARIES,
)
from services.kit.consumer import Reader, Subscription, measure_lag
from services.kit.process import Process
from services.notification.crew import Crew
from services.notification.database import open_for_sending
from services.notification.handler import Handler
from services.notification.tables import metadata
from streams.rules.terms import Programme

TOPICS = (PARTNERS, PREFERENCES, TIER_CHANGES, WEEKLY_SUMMARIES, QUARTER_CLOSES, PAYOUTS, BANK_DETAILS)
"""Partners first: of what comes together, the address and the partner's choice are there before the news."""
_PATIENCE_SECONDS, _BUSY_SECONDS = 0.02, 0.1
"""How long a record may wait for others to be read with it: the alert about a sale is meant to be quick, but while much
comes in, each commit of the reading would hold up the sending."""
_MEASURE_SECONDS = 15
_STILL_SECONDS = 60
_READING_SECONDS = 10


class Notification:
    """Call ``step`` in a loop, then ``close``."""

    def __init__(self, process: Process, engine: Engine, programme: Programme) -> None:
        self._settings, self._log = process.settings, process.log
        self._engine = engine
        self._outgoing = open_for_sending(process.settings.notification_db_url)
        self._crew = Crew(self._outgoing, process.settings, process.clock, programme)
        handler = Handler(engine, process.clock, programme, process.settings)
        handle = {PARTNERS: handler.partners, PREFERENCES: handler.preferences}
        self._reader = Reader(
            process.settings,
            process.clock,
            process.codec,
            engine,
            metadata,
            [Subscription(topic, handle.get(topic, handler.events)) for topic in TOPICS],
        )
        self._busy = False
        self._measured = 0.0
        self._read_at = -math.inf
        self._turned = time.monotonic()
        process.probes.check("topics", self._behind)
        process.probes.check("loop", self._standing_still)
        process.probes.check("mail server", lambda: self._crew.problem)
        self._crew.start()

    def step(self) -> None:
        """One turn of reading. Sending goes on beside it."""
        read = self._reader.step(_BUSY_SECONDS if self._busy else _PATIENCE_SECONDS)
        self._busy = bool(read)
        self._turned = time.monotonic()
        if read:
            self._crew.wake()
            self._read_at = self._turned
        if self._crew.failure is not None:
            raise self._crew.failure
        if self._turned - self._measured > _MEASURE_SECONDS:
            self._measure()
            self._measured = time.monotonic()

    def close(self) -> None:
        """Let go of everything."""
        self._crew.stop()
        self._reader.close()
        self._outgoing.dispose()
        self._engine.dispose()

    def _behind(self) -> str | None:
        reading = time.monotonic() - self._read_at < _READING_SECONDS
        return None if self._reader.caught_up or reading else "the topics have not been read to their end yet"

    def _standing_still(self) -> str | None:
        seconds = time.monotonic() - self._turned
        return f"standing still for {seconds:.0f} s" if seconds > _STILL_SECONDS else None

    def _measure(self) -> None:
        self._crew.measure()
        try:
            measure_lag(self._reader, self._settings)
        except KafkaException as error:
            self._log.warning("Kafka does not say how much there is to read", reason=str(error))
