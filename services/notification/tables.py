"""The service's tables."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

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


UNSENT = (State.WAITING, State.PENDING, State.FAILED)

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
    Column("recipient", Text),  # an address that is not the partner's present one; null: that, or his contact's
    Column("contact_id", String(20)),  # to which of his contacts it goes; null: to the partner himself
    Column("kind", String(30), nullable=False),
    Column("event", Text, nullable=False),  # as JSON; nothing personal, but for the host of a webhook
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
    Column("language", String(8), nullable=False),  # empty: that of the registration
    Column("changed_at", Instant, nullable=False),
)

# People whom partners named beside the address of their registration. Which of them may come in is the portal's to say.
contacts = Table(
    "contacts",
    metadata,
    Column("contact_id", String(20), primary_key=True),
    Column("partner_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("standing", String(12), nullable=False),
    Column("language", String(8), nullable=False),
    Column("weekly_mail", Boolean, nullable=False),
    Column("added_at", Instant, nullable=False),
    Column("bad_status", String(11)),  # RFC 3463: why mail to the address came back; none goes there any more
    Index("contacts_of_partner", "partner_id"),
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


class EndpointState(StrEnum):
    """Whether an endpoint is sent to."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    """Nothing came through for days, or it said 410. What is due to it waits until somebody enables it again."""


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    """Due as soon as ``next_try_at`` is reached."""
    DELIVERED = "delivered"
    FAILED = "failed"
    """All attempts failed. Sent again by a replay alone."""


_number = BigInteger().with_variant(Integer, "sqlite")

# Every instant below is real time: receivers compare signatures with their own clock.
webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("partner_id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("types", Text, nullable=False),  # separated by spaces; empty: all
    Column("state", String(20), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
    Column("disabled_reason", String(200)),
    Column("failures", Integer, nullable=False),  # since the last success
    Column("delivered_at", Instant),  # the last success
    # Claimed, or left alone after a failure, until then. One request at a time goes to an endpoint.
    Column("free_at", Instant, nullable=False),
    Column("claim", String(40)),
    Index("webhook_endpoints_of_partner", "partner_id"),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("endpoint_id", String(40), ForeignKey("webhook_endpoints.id"), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", Instant),  # None: the present one; else it was replaced, and signs as well until then
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("endpoint_id", String(40), ForeignKey("webhook_endpoints.id"), nullable=False),
    Column("event_id", String(64), nullable=False),  # goes out as webhook-id
    Column("type", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("queued_at", Instant, nullable=False),  # when its attempts began: now, or at its latest replay
    Column("next_try_at", Instant, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    UniqueConstraint("endpoint_id", "event_id", name="webhook_deliveries_once"),
    Index("webhook_deliveries_due", "endpoint_id", "state", "number"),
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    Column("delivery", _number, ForeignKey("webhook_deliveries.number"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("status", Integer),  # None: no answer
    Column("duration_ms", Integer, nullable=False),
    Column("said", String(200), nullable=False),  # by the endpoint; or why there was no answer
)

staff_alerts = Table(
    "staff_alerts",
    metadata,
    Column("number", _number, primary_key=True, autoincrement=True),
    # The fact itself: what was said once is not said again.
    Column("fact", String(200), nullable=False, unique=True),
    Column("partner_id", Text),
    Column("text", String(500), nullable=False),
    Column("raised_at", Instant, nullable=False),
)

staff_tellings = Table(
    "staff_tellings",
    metadata,
    Column("alert", _number, ForeignKey("staff_alerts.number"), primary_key=True),
    Column("address", String(16), primary_key=True),  # a hash: the address itself is a secret
    Column("told_at", Instant, nullable=False),
)
