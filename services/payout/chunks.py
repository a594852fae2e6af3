"""Many rows in portions that a database takes in one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
SIZE = 1000


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in order, at most ``SIZE`` at a time."""
    for start in range(0, len(items), SIZE):
        yield items[start : start + SIZE]
