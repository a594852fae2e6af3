"""A record on its way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from schemas.topics import Topic


class Outgoing(NamedTuple):
    """A record to be written in a transaction."""

    topic: Topic
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, Any]]
    partition: int = -1
    """That of the key, if none is said."""
