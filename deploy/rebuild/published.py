"""What stands in a partition: its state as published, and how far that has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from deploy.rebuild.reading import Reading
from deploy.rebuild.told import Told, told
from schemas.events import Position
from schemas.topics import POSITIONS, SALE_LINES, SETTLED_LINES, SETTLED_SALES, TALLIES
from streams.rules.terms import Programme

Positions = Mapping[str, Position]
"""By source."""


class Published(NamedTuple):
    """A partition's state. Between ``before`` and ``after`` it was read: what lies between them was moving."""

    before: Positions
    told: Told
    tallies: dict[str, bytes]
    """By the record's key, as they stand there; likewise all that follows."""
    lines: dict[str, bytes]
    moved_lines: dict[str, bytes]
    """Those that have left the state."""
    settled: dict[str, bytes]
    """What is left of them there."""
    settling: set[str]
    """Partners of whom lines left while the state was read: positions don't tell of that."""
    after: Positions


def published(reading: Reading, programme: Programme) -> Published:
    """Read a partition's state. The stream may go on meanwhile."""
    before, settled_before = _positions(reading), reading.latest(SETTLED_SALES)
    found = told(reading, programme)
    of_tallies, of_lines, of_moved = (reading.latest(topic) for topic in (TALLIES, SALE_LINES, SETTLED_LINES))
    settled = reading.latest(SETTLED_SALES)
    settling = {key.partition("/")[0] for key, _ in settled_before.items() ^ settled.items()}
    return Published(before, found, of_tallies, of_lines, of_moved, settled, settling, after=_positions(reading))


def _positions(reading: Reading) -> Positions:
    return {event.source: event for _, event in reading.events(POSITIONS) if isinstance(event, Position)}
