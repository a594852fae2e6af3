"""The thread that reads the topics into the read model, beside the web server, and tells what partners chose."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import structlog
from confluent_kafka import KafkaException
from sqlalchemy import Engine

from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings
from schemas.codec import Codec
from services.kit.consumer import Reader, measure_lag
from services.portal.live import Changes
from services.portal.metrics import PROJECTED
from services.portal.projector import subscriptions
from services.portal.tables import metadata
from services.portal.telling import relay

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.portal")
_LAG_EVERY = 15.0


class Feed:
    """Reads until it is told to stop. What stops it otherwise ends the process: a portal that stands still lies."""

    def __init__(self, settings: Settings, clock: Clock, codec: Codec, engine: Engine, changes: Changes) -> None:
        self._settings, self._changes = settings, changes
        self._touched: set[str] = set()
        self._reader = Reader(settings, clock, codec, engine, metadata, subscriptions(self._note))
        self._relay = relay(settings, codec, engine, clock)
        self._stopping = threading.Event()
        self._was_caught_up = False
        self.failure: Exception | None = None
        """What ended the reading, if it was not told to stop."""

    def start(self, on_failure: Callable[[], None]) -> threading.Thread:
        """Read in a thread of its own; ``on_failure`` is called there when it breaks."""

        def run() -> None:
            try:
                self._read()
            except Exception as failure:  # noqa: BLE001 - handed to the main thread, which raises it again
                self.failure = failure
                on_failure()

        thread = threading.Thread(target=run, name="feed")
        thread.start()
        return thread

    def stop(self) -> None:
        """End the reading after the batch at hand."""
        self._stopping.set()

    def health(self) -> str | None:
        """What is wrong, or None."""
        if self.failure is not None:
            return "reading the topics has failed"
        return None if self._was_caught_up else "still reading what happened before"

    def _read(self) -> None:
        measured = 0.0
        try:
            while not self._stopping.is_set():
                self._reader.step(timeout=0.1)
                self._relay.step()
                self._was_caught_up = self._was_caught_up or self._reader.caught_up
                if self._touched:
                    self._changes.publish(self._touched)
                    PROJECTED.inc(len(self._touched))
                    self._touched.clear()
                if time.monotonic() - measured > _LAG_EVERY:
                    self._measure_lag()
                    measured = time.monotonic()
        finally:
            self._reader.close()

    def _measure_lag(self) -> None:
        try:
            measure_lag(self._reader, self._settings)
        except KafkaException as error:
            _log.warning("Kafka does not say how much there is to read", reason=str(error))

    def _note(self, partner_ids: Iterable[str]) -> None:
        self._touched.update(partner_ids)
