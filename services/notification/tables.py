"""The service's tables."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from sqlalchemy import BigInteger, Column, Date, Index, Integer, MetaData, String, Table, Text

from services.kit.consumer import consumer_tables
from services.kit.database import Instant

MIGRATIONS = Path(__file__).parent / "migrations"

metadata = MetaData()
consumer_tables(metadata)


class State(StrEnum):
    """Where a message stands."""

    WAITING = "waiting-for-address"
    PENDING = "pending"
    """Due as soon as ``next_try_at`` is reached."""
    SENT = "sent"
    """The mail server has taken it."""
    FAILED = "failed"
    """Refused for good, or too often: somebody must look. A new address of the partner makes it pending again."""
    EXPIRED = "expired"
    """Never to be sent; ``last_error`` says why."""


partners = Table(
    "partners",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("left_on", Date),
)

messages = Table(
    "messages",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    # What makes a second delivery of the same event harmless.
    Column("event_id", String(64), nullable=False, unique=True),
    Column("partner_id", Text, nullable=False),
    Column("recipient", Text),  # an address that is not the partner's present one; null: that
    Column("kind", String(30), nullable=False),
    Column("event", Text, nullable=False),  # as JSON; events hold nothing personal
    Column("recorded_at", Instant, nullable=False),  # the stack's clock; the next three are real time
    Column("queued_at", Instant, nullable=False),
    Column("next_try_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", String(300)),
    Index("messages_due", "state", "number"),
    Index("messages_of_partner", "partner_id"),
)

former_addresses = Table(
    "former_addresses",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("email", Text, primary_key=True),
    Column("until", Instant, nullable=False),  # the stack's clock
)
