"""How a source is known again: by the last record of it that was applied.

A log that lost its end, by an unclean election or a disk, and was written on looks like any other: as long as before,
or longer, with other records in old places.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka.structs import ConsumerRecord

from schemas.events import Position


class Mark(NamedTuple):
    """Where the last record applied stood, and what it was; or that none was."""

    offset: int = -1
    hash: str = ""


def mark_after(before: Position | None, applied: Sequence[ConsumerRecord]) -> Mark:
    """The mark once records have been applied. Without any, it stays where it was."""
    if applied:
        last = applied[-1]
        return Mark(last.offset, hash_of(last.key, last.value, last.timestamp))
    return Mark(before.last_offset, before.last_hash) if before else Mark()


def hash_of(key: bytes | None, value: bytes | None, timestamp: int) -> str:
    """Of a record. ``timestamp`` is the broker's, in milliseconds: it tells even the same report sent twice."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (str(timestamp).encode(), key or b"", value or b""):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
