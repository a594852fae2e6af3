"""The chain through the ledger: each journal has the next number and a hash of itself and of the hash before it.

Whoever edits, removes, inserts or swaps journals in the database breaks it, and ``services.payout.audit`` says where.
Whoever also makes all later hashes anew is found out by a head that was noted elsewhere before. A journal's hash is

    SHA-256(hash before ‖ "\\n" ‖ JSON of [number, key, instant, [[account, amount, currency], …]])

with the hash before as 64 hex digits (64 zeros before the first journal), the instant in UTC with microseconds, and
JSON in ASCII without blanks: any language can recompute it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from services.payout.tables import chain_head


class Head(NamedTuple):
    """Where the chain ends: the number of its last journal, and that one's hash."""

    sequence: int
    chain: str

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read what ``str`` wrote. Raises ValueError for anything else."""
        sequence, _, chain = text.strip().partition(":")
        if not sequence.isdecimal() or len(chain) != 64 or set(chain) - set("0123456789abcdef"):
            raise ValueError(f"{text!r} is not the head of a ledger: it looks like 1234:9f86d081…, with 64 digits")
        return cls(int(sequence), chain)

    def __str__(self) -> str:
        return f"{self.sequence}:{self.chain}"


START = Head(0, "0" * 64)
"""The head of an empty ledger."""


def head(connection: Connection) -> Head:
    """Where the chain ends now."""
    found = connection.execute(select(chain_head.c.sequence, chain_head.c.chain)).one()
    return Head(found.sequence, found.chain)


def locked(connection: Connection) -> Head:
    """The same, and nobody else moves it before this transaction ends."""
    found = connection.execute(select(chain_head.c.sequence, chain_head.c.chain).with_for_update()).one()
    return Head(found.sequence, found.chain)


def after(before: Head, key: str, at: datetime, postings: Sequence[tuple[str, int, str]]) -> Head:
    """The head once this journal is booked behind ``before``."""
    sequence = before.sequence + 1
    return Head(sequence, link(before.chain, sequence, key, at, postings))


def link(before: str, sequence: int, key: str, at: datetime, postings: Sequence[tuple[str, int, str]]) -> str:
    """A journal's hash."""
    content = json.dumps(
        [sequence, key, at.astimezone(UTC).isoformat(timespec="microseconds"), postings], separators=(",", ":")
    )
    return hashlib.sha256(f"{before}\n{content}".encode()).hexdigest()


def move(connection: Connection, to: Head) -> None:
    """Let the chain end here."""
    connection.execute(update(chain_head).values(to._asdict()))
