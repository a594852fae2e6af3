"""What stands in a partition: its state as published, and how far that has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from deploy.rebuild.reading import Reading
from deploy.rebuild.told import Told, told
from schemas.events import Position
from schemas.topics import POSITIONS, SALE_LINES, TALLIES
from streams.rules.terms import Programme

Positions = Mapping[str, Position]
"""By source."""


class Published(NamedTuple):
    """A partition's state. Between ``before`` and ``after`` it was read: what lies between them was moving."""

    before: Positions
    told: Told
    tallies: dict[str, bytes]
    """By the record's key, as they stand there; likewise the lines."""
    lines: dict[str, bytes]
    after: Positions


def published(reading: Reading, programme: Programme) -> Published:
    """Read a partition's state. The stream may go on meanwhile."""
    return Published(
        before=_positions(reading),
        told=told(reading, programme),
        tallies=reading.latest(TALLIES),
        lines=reading.latest(SALE_LINES),
        after=_positions(reading),
    )


def _positions(reading: Reading) -> Positions:
    return {event.source: event for _, event in reading.events(POSITIONS) if isinstance(event, Position)}
