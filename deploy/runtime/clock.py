"""The one clock. Real time, or a test clock that starts elsewhere and runs faster.

A test clock is a list of segments in ``DATA/clock.json``, shared by every process of a stack: from this real instant
on, the clock shows that instant and runs so many times as fast. It also maps the broker's times onto itself.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Settings


class Clock(Protocol):
    """Time, as the programme sees it."""

    @property
    def rate(self) -> float:
        """Seconds of this clock in a second of real time."""

    def now(self) -> datetime:
        """This instant, in UTC."""

    def at(self, real: datetime) -> datetime:
        """What the clock showed at an instant of real time."""


class RealClock:
    """The machine's clock."""

    rate = 1.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)

    def at(self, real: datetime) -> datetime:
        return real


class Segment(NamedTuple):
    """From ``real`` on (seconds since 1970) the clock shows ``shown`` and runs ``rate`` times as fast."""

    real: float
    shown: float
    rate: float


class TestClock:
    """A clock read from a file, which other processes may extend."""

    __test__ = False  # not a test, whatever pytest makes of its name

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = -1
        self._segments: tuple[Segment, ...] = ()
        self._refresh()

    @property
    def rate(self) -> float:
        self._refresh()
        return self._segments[-1].rate

    def now(self) -> datetime:
        return self._map(time.time())

    def at(self, real: datetime) -> datetime:
        return self._map(real.timestamp())

    def _map(self, real: float) -> datetime:
        self._refresh()
        segment = next((s for s in reversed(self._segments) if s.real <= real), self._segments[0])
        return datetime.fromtimestamp(segment.shown + (real - segment.real) * segment.rate, UTC)

    def _refresh(self) -> None:
        stamp = os.stat(self._path).st_mtime_ns
        if stamp != self._stamp:
            self._segments = read_segments(self._path)
            self._stamp = stamp


def clock_file(settings: Settings) -> Path:
    """Where a stack keeps its test clock."""
    return settings.data / "clock.json"


def open_clock(settings: Settings) -> Clock:
    """The clock of this stack: its test clock if it has one or ``--clock`` asks for one, else real time."""
    path = clock_file(settings)
    if not path.exists():
        if not settings.clock and settings.clock_rate == 1.0:
            return RealClock()
        shown = parse_instant(settings.clock).timestamp() if settings.clock else time.time()
        write_segments(path, (Segment(time.time(), shown, settings.clock_rate),))
    return TestClock(path)


def advance(settings: Settings, to: datetime | None = None, by: timedelta | None = None) -> datetime:
    """Move a stack's test clock forward and return what it shows.

    Raises UsageError if the stack has none, or it would go back.
    """
    path = clock_file(settings)
    if not path.exists():
        raise UsageError(
            "this stack runs on real time, which can't be moved",
            "start it with a test clock: ./staffel up --clock 2026-10-01T00:00:00Z",
        )
    segments = read_segments(path)
    real = time.time()
    shown = TestClock(path).now()
    target = to if to is not None else shown + (by or timedelta())
    if target < shown:
        raise UsageError(f"the clock shows {shown:%Y-%m-%d %H:%M} and can't go back to {target:%Y-%m-%d %H:%M}")
    write_segments(path, (*segments, Segment(real, target.timestamp(), segments[-1].rate)))
    return target


def parse_instant(text: str) -> datetime:
    """Read an ISO instant; without a zone it is UTC. Raises UsageError."""
    try:
        instant = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise UsageError(f"{text!r} is not an instant", "write it like 2026-10-01T00:00:00Z") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def read_segments(path: Path) -> tuple[Segment, ...]:
    """The segments in a clock file."""
    return tuple(Segment(*row) for row in json.loads(path.read_text("utf-8")))


def write_segments(path: Path, segments: tuple[Segment, ...]) -> None:
    """Replace a clock file in one step, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(segments), "utf-8")
    draft.replace(path)
