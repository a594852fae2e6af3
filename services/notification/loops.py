"""What runs beside the service's own loop, so that whoever answers slowly delays nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread
from traceback import format_tb

import structlog
from sqlalchemy.exc import OperationalError

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.notification")
_IDLE_SECONDS = 0.5  # between two looks into the tables
_TROUBLE_SECONDS = 5.0
_STILL_SECONDS = 120


class Loop:
    """Calls ``step`` in a thread of its own until closed; pauses when it answers that there was nothing to do.

    What goes wrong in a step is logged and the step is repeated after a pause: every step begins at the tables.
    """

    def __init__(self, name: str, step: Callable[[], bool]) -> None:
        self.name, self._step = name, step
        self._over = Event()
        self._turned = time.monotonic()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def problem(self) -> str | None:
        """What is wrong with it, for the health page."""
        seconds = time.monotonic() - self._turned
        return f"{self.name} stands still for {seconds:.0f} s" if seconds > _STILL_SECONDS else None

    def stop(self) -> None:
        """Ask it to end after the step under way."""
        self._over.set()

    def join(self, seconds: float) -> None:
        """Wait so long for its end. What is then still under way ends with the process, and is repeated."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._over.is_set():
            pause = _IDLE_SECONDS
            try:
                if self._step():
                    pause = 0
            except OperationalError as error:
                _log.warning("the database does not answer", loop=self.name, error=type(error.orig).__name__)
                pause = _TROUBLE_SECONDS
            except Exception as error:  # noqa: BLE001  # its text might name somebody
                where = "".join(format_tb(error.__traceback__))
                _log.error("a step failed", loop=self.name, error=type(error).__name__, where=where)
                pause = _TROUBLE_SECONDS
            self._turned = time.monotonic()
            self._over.wait(pause)
