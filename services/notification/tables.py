"""The service's tables."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from sqlalchemy import BigInteger, Boolean, Column, Date, Index, Integer, MetaData, String, Table, Text

from services.kit.consumer import consumer_tables
from services.kit.database import Instant

MIGRATIONS = Path(__file__).parent / "migrations"

metadata = MetaData()
consumer_tables(metadata)


class State(StrEnum):
    """Where a message stands."""

    WAITING = "waiting-for-address"
    """The partner has none, or mail to the one he has came back (``last_error``)."""
    PENDING = "pending"
    """Due as soon as ``next_try_at`` is reached."""
    SENT = "sent"
    """The mail server has taken it."""
    FAILED = "failed"
    """Refused for good, or too often: somebody must look. A new address of the partner makes it pending again."""
    EXPIRED = "expired"
    """Never to be sent; ``last_error`` says why."""
    SUPERSEDED = "superseded"
    """Not sent, since a later mail says what it would have said."""


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
    # Of the weekly wave: everything else goes before it.
    Column("wave", Boolean, nullable=False, default=False),
    # Which process is sending it. Until ``next_try_at`` it is nobody else's; then that process is taken for dead.
    Column("claimed_by", String(80)),
    # How often an operator had it sent anew: part of the Message-ID.
    Column("edition", Integer, nullable=False, default=0),
    # What ``addresses.fingerprint`` makes of the address that it went to.
    Column("sent_to", String(32)),
    Index("messages_due", "state", "wave", "next_try_at", "number"),
    Index("messages_of_partner", "partner_id"),
)

# What partners chose, as told on the topic. Who is not here gets every mail.
preferences = Table(
    "preferences",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("weekly_mail", Boolean, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

# Reports that mail came back, each once.
bounces = Table(
    "bounces",
    metadata,
    Column("report_id", String(64), primary_key=True),  # a hash of the report's own Message-ID
    Column("message_number", BigInteger, nullable=False),
    Column("partner_id", Text, nullable=False),
    Column("sent_to", String(32)),
    Column("status", String(11), nullable=False),  # RFC 3463, like 5.1.1
    Column("diagnostic", String(300), nullable=False),
    Column("read_at", Instant, nullable=False),
    Index("bounces_of_message", "message_number"),
)

# Partners whose address takes no mail. A row goes when the partner has another address.
bad_addresses = Table(
    "bad_addresses",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("fingerprint", String(32), nullable=False),
    Column("status", String(11), nullable=False),
    Column("since", Instant, nullable=False),
)

former_addresses = Table(
    "former_addresses",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("email", Text, primary_key=True),
    Column("until", Instant, nullable=False),  # the stack's clock
)
