"""Records that are put aside: how they look among the dead letters, and when there are so many that something is wrong.

A dead letter is the original bytes, with where it came from and what is wrong in headers. One that is larger than the
topic takes is cut, and its headers say so, with the size and hash of what it was.

The excess is by how much some latest stretch of a partition of ``sales`` holds more dead letters than the share that
the settings accept. Each letter carries the excess that it led to; the excess at any place follows from the last letter
before it, so a worker that takes the partition over knows it too, and no restart begins from nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka.structs import ConsumerRecord

from deploy.runtime.errors import Exit, StaffelError
from deploy.runtime.settings import Settings
from schemas.codec import header
from schemas.topics import DEAD_LETTERS
from streams.intake import DeadLetter, size_of, size_of_headers

KEPT_BYTES = 65_536
"""How much of a letter that is too large is kept."""
_ROOM_FOR_HEADERS = 16_384
_EXCESS = "dlq.excess"
Headers = list[tuple[str, Any]]


class TooManyDeadLetters(StaffelError):
    """The stream stops rather than put aside what will turn out to be everybody's sales."""


class Excess(NamedTuple):
    """Dead letters above the accepted share, as of an offset."""

    amount: float = 0.0
    offset: int = -1

    def after_letter(self, offset: int, percent: int) -> Excess:
        """The excess with one more letter: each record since the last one was worth its share."""
        return Excess(max(0.0, self.amount - (offset - self.offset) * percent / 100) + 1, offset)

    def within(self, settings: Settings, where: str) -> Excess:
        """The same, if it is not too large. Raises TooManyDeadLetters, with the way out."""
        percent, limit = settings.dead_letters_percent_max, settings.dead_letters_excess_max
        if percent and self.amount > limit:
            raise TooManyDeadLetters(
                f"{where}: {limit} more dead letters than {percent} percent of its records up to offset {self.offset}; "
                "nothing more is put aside",
                "mend the sender first; then run the workers with STAFFEL_DEAD_LETTERS_PERCENT_MAX=0 until the bad "
                "records are past, and ./staffel replay what can be read by then",
                Exit.REFUSED,
                "dead-letters",
            )
        return self

    @classmethod
    def of(cls, headers: Sequence[tuple[str, bytes | None]] | None) -> Excess | None:
        """What a letter's header says. None if it has none."""
        amount, _, offset = (header(headers, _EXCESS) or "").partition("@")
        return cls(float(amount), int(offset)) if offset else None


def as_letter(record: ConsumerRecord, letter: DeadLetter, excess: Excess) -> tuple[bytes | None, bytes | None, Headers]:
    """Key, value and headers of a dead letter."""
    ours = {
        "dlq.topic": record.topic,
        "dlq.partition": str(record.partition),
        "dlq.offset": str(record.offset),
        "dlq.timestamp": str(record.timestamp),
        "dlq.reason": letter.reason,
        "dlq.message": letter.message,
        _EXCESS: f"{excess.amount:.2f}@{excess.offset}",
    }
    key, value, headers = record.key, record.value, list(record.headers)
    if size_of(record) > int(DEAD_LETTERS.config["max.message.bytes"]) - _ROOM_FOR_HEADERS:
        whole = record.value or b""
        ours |= {"dlq.cut": "true", "dlq.size": str(len(whole)), "dlq.sha256": hashlib.sha256(whole).hexdigest()}
        key, value = key and key[:KEPT_BYTES], value and value[:KEPT_BYTES]
        headers = headers if size_of_headers(headers) <= KEPT_BYTES else []
    return key, value, [*headers, *((name, text.encode()) for name, text in ours.items())]
