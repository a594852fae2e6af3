"""The service's loop: read what has come, send what is due, say how it is going. Webhooks and staff have their own."""

from __future__ import annotations

import math
import time

from confluent_kafka import KafkaException
from sqlalchemy import Engine

from schemas.topics import (
    BANK_DETAILS,
    CLAIMS,
    PARTNERS,
    PAYOUTS,
    PREFERENCES,
    QUARTER_CLOSES,
    TIER_CHANGES,
    WEEKLY_SUMMARIES,
)
from services.kit.consumer import Batch, Reader, Subscription, measure_lag
from services.kit.process import Process
from services.notification.addresses import Addresses
from services.notification.crew import Crew
from services.notification.database import open_for_sending
from services.notification.handler import Handler
from services.notification.loops import Loop
from services.notification.reach import Reach
from services.notification.staff import Watch
from services.notification.tables import metadata
from services.notification.telling import Teller, addresses_of
from services.notification.webhooks.deliveries import Recorder
from services.notification.webhooks.endpoints import sealer_of
from services.notification.webhooks.notices import Notices
from services.notification.webhooks.request import Poster
from services.notification.webhooks.sender import Sender as WebhookSender
from services.notification.webhooks.target import gate_of
from streams.rules.terms import Programme

TOPICS = (PARTNERS, PREFERENCES, TIER_CHANGES, WEEKLY_SUMMARIES, QUARTER_CLOSES, PAYOUTS, BANK_DETAILS, CLAIMS)
"""Partners first: of what comes together, the address and the partner's choice are there before the news."""
_PATIENCE_SECONDS, _BUSY_SECONDS = 0.02, 0.1
"""How long a record may wait for others to be read with it: the alert about a sale is meant to be quick, but while much
comes in, each commit of the reading would hold up the sending."""
_MEASURE_SECONDS = 15
_STILL_SECONDS = 60
_READING_SECONDS = 10
_SWEEP_SECONDS = 3600
_COURIERS = 4
"""How many webhooks are sent at once."""
_GOODBYE_SECONDS = 0.5


class Notification:
    """Call ``step`` in a loop, then ``close``."""

    def __init__(self, process: Process, engine: Engine, programme: Programme) -> None:
        self._settings, self._log = process.settings, process.log
        self._engine = engine
        self._outgoing = open_for_sending(process.settings.notification_db_url)
        self._crew = Crew(self._outgoing, process.settings, process.clock, programme)
        reach = Reach(process.clock, programme, Addresses(process.settings))
        self._webhooks = WebhookSender(
            self._outgoing,
            sealer_of(self._settings),
            Poster(gate_of(self._settings)),
            Notices(self._outgoing, process.clock, reach),
        )
        self._teller = Teller(self._outgoing, addresses_of(self._settings))
        self._watch = Watch(engine, process.clock)
        handler = Handler(engine, process.clock, programme, process.settings)
        # Endpoints before partners and messages, as whoever disables one locks them.
        self._handlers = (Recorder(engine, process.clock), handler, self._watch)
        handle = {PARTNERS: self._partners, PREFERENCES: handler.preferences}
        self._reader = Reader(
            process.settings,
            process.clock,
            process.codec,
            engine,
            metadata,
            [Subscription(topic, handle.get(topic, self._events)) for topic in TOPICS],
        )
        if self._settings.webhook_allow_insecure:
            self._log.warning("webhooks may go to this machine and private networks: webhook_allow_insecure is on")
        self._loops = [Loop(f"webhooks {number}", self._webhooks.step) for number in range(1, _COURIERS + 1)]
        self._loops.append(Loop("staff alerts", self._teller.step))
        self._busy = False
        self._measured = 0.0
        self._swept = -math.inf
        self._read_at = -math.inf
        self._turned = time.monotonic()
        process.probes.check("topics", self._behind)
        process.probes.check("loop", self._standing_still)
        process.probes.check("mail server", lambda: self._crew.problem)
        self._crew.start()
        for loop in self._loops:
            process.probes.check(loop.name, loop.problem)

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
        """Let go of everything. A request under way is not waited for: it is repeated."""
        self._crew.stop()
        for loop in self._loops:
            loop.stop()
        self._reader.close()
        for loop in self._loops:
            loop.join(_GOODBYE_SECONDS / len(self._loops))
        self._outgoing.dispose()
        self._engine.dispose()

    def _partners(self, batch: Batch) -> None:
        for handler in self._handlers:
            handler.partners(batch)

    def _events(self, batch: Batch) -> None:
        for handler in self._handlers:
            handler.events(batch)

    def _behind(self) -> str | None:
        reading = time.monotonic() - self._read_at < _READING_SECONDS
        return None if self._reader.caught_up or reading else "the topics have not been read to their end yet"

    def _standing_still(self) -> str | None:
        seconds = time.monotonic() - self._turned
        return f"standing still for {seconds:.0f} s" if seconds > _STILL_SECONDS else None

    def _measure(self) -> None:
        self._crew.measure()
        self._watch.look(self._crew.problem)
        self._webhooks.measure()
        self._teller.measure()
        if time.monotonic() - self._swept > _SWEEP_SECONDS:
            self._watch.sweep()
            self._webhooks.sweep()
            self._swept = time.monotonic()
        try:
            measure_lag(self._reader, self._settings)
        except KafkaException as error:
            self._log.warning("Kafka does not say how much there is to read", reason=str(error))
