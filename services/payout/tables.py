"""The tables of the payout service. Money is an integer of minor units beside its currency."""

from __future__ import annotations

from enum import StrEnum

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
    text,
)

from services.kit.consumer import consumer_tables
from services.kit.database import Instant

metadata = MetaData()
consumer_tables(metadata)
# SQLite counts up only a column declared INTEGER.
_Counter = BigInteger().with_variant(Integer, "sqlite")


class State(StrEnum):
    """Where an obligation stands; the package's docstring says what each means."""

    RECORDED = "recorded"
    HELD = "held"
    WAITING = "waiting"
    PAYABLE = "payable"
    IN_PAYMENT = "in_payment"
    NETTED = "netted"
    PAID = "paid"
    RETURNED = "returned"


OPEN = (State.RECORDED, State.HELD, State.WAITING, State.PAYABLE, State.RETURNED)
"""States in which the money has not moved."""


class RunState(StrEnum):
    """Where a payment run stands."""

    DRAFT = "draft"
    APPROVED = "approved"
    RELEASED = "released"
    ACCEPTED = "accepted"
    PARTLY = "partly"
    REJECTED = "rejected"
    VOID = "void"


class PaymentState(StrEnum):
    """Where one payment of a run stands."""

    PREPARED = "prepared"
    """In a run that is not released yet: nothing is booked."""
    RELEASED = "released"
    ACCEPTED = "accepted"
    """The bank has said that it takes it; the money has not left yet."""
    SETTLED = "settled"
    """The account was debited."""
    REJECTED = "rejected"
    """The bank refused it: no money has moved."""
    RETURNED = "returned"
    """The money came back after it had left."""
    VOID = "void"
    """The run was given up before its release."""


BOOKED = (PaymentState.RELEASED, PaymentState.ACCEPTED, PaymentState.SETTLED)
"""States in which a payment takes from what is owed."""

obligations = Table(
    "obligations",
    metadata,
    Column("id", Text, primary_key=True),  # programme/partner/quarter/revision
    Column("programme_id", Text, nullable=False),
    Column("partner_id", String(64), nullable=False),
    Column("quarter", String(6), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("total_minor", BigInteger, nullable=False),  # what all revisions up to this one made payable
    Column("currency", String(3), nullable=False),
    Column("closed_at", Instant, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("contradicted", Boolean, nullable=False),  # the same revision was closed again with other content
    Column("state", String(12), nullable=False),
    Column("reason", String(40)),
    Column("sequence", Integer, nullable=False),  # number of the latest status published
    UniqueConstraint("programme_id", "partner_id", "quarter", "revision"),
    Index("ix_obligations_partner_id", "partner_id"),
    Index("ix_obligations_state", "state"),
)

journals = Table(
    "journals",
    metadata,
    Column("key", Text, primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("booked_at", Instant, nullable=False),
)

postings = Table(
    "postings",
    metadata,
    Column("journal", Text, ForeignKey("journals.key"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("account", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Index("ix_postings_account", "account"),
)

lines = Table(
    "lines",
    metadata,
    Column("partner_id", String(64), primary_key=True),
    Column("sale_id", Text, primary_key=True),
    Column("quarter", String(6), nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("line", Text, nullable=False),  # the whole SaleLine as JSON: what a number is explained with
    Index("ix_lines_quarter", "quarter"),
)

partners = Table(
    "partners",
    metadata,
    Column("partner_id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("registered_on", Date, nullable=False),
    Column("left_on", Date),
)

bank_details = Table(
    "bank_details",
    metadata,
    Column("partner_id", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # holder and IBAN, encrypted
    Column("masked", String(12), nullable=False),
    Column("sepa", Boolean, nullable=False),
    Column("entered_at", Instant, nullable=False),
)

checks = Table(
    "checks",
    metadata,
    Column("id", _Counter, primary_key=True),
    Column("partner_id", String(64), nullable=False),  # his obligations are to be looked at again
)

run_days = Table(
    "run_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("msg_id", String(35)),  # empty if nothing was payable
    Column("decided_at", Instant, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("msg_id", String(35), primary_key=True),
    Column("day", Date, nullable=False, unique=True),
    Column("state", String(12), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("execution_date", Date, nullable=False),
    Column("payments", Integer, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("written", Boolean, nullable=False),  # whether the file was put into the folder for payment files
)

run_files = Table(
    "run_files",
    metadata,
    Column("msg_id", String(35), ForeignKey("runs.msg_id"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # the bytes, encrypted: they hold every partner's IBAN
    Column("sha256", String(64), nullable=False),  # of the bytes themselves
)

payments = Table(
    "payments",
    metadata,
    Column("end_to_end_id", String(35), primary_key=True),
    Column("msg_id", String(35), ForeignKey("runs.msg_id"), nullable=False),
    Column("partner_id", String(64), nullable=False),
    Column("bank_version", Integer, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("state", String(12), nullable=False),
    Column("reason", String(40)),  # the bank's code, where it refused or returned it
    Column("settled_on", Date),  # value date of the debit
    Column("returned_on", Date),
    UniqueConstraint("msg_id", "partner_id"),
)

settlements = Table(
    "settlements",
    metadata,
    Column("end_to_end_id", String(35), ForeignKey("payments.end_to_end_id"), primary_key=True),
    Column("obligation_id", Text, ForeignKey("obligations.id"), primary_key=True),
    Column("active", Boolean, nullable=False),
)
Index(
    "uq_settlements_active",
    settlements.c.obligation_id,
    unique=True,
    sqlite_where=text("active"),
    postgresql_where=text("active"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Counter, primary_key=True),
    Column("event", Text, nullable=False),  # a PayoutStatusChanged as JSON
    Column("created_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Index(
        "ix_outbox_unsent",
        "id",
        sqlite_where=text("sent_at IS NULL"),
        postgresql_where=text("sent_at IS NULL"),
    ),
)

statement_years = Table(
    "statement_years",
    metadata,
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column(
        "issued", Integer, nullable=False
    ),  # number of the year's latest statement; whoever issues one locks the row
)

statements = Table(
    "statements",
    metadata,
    Column("number", String(20), primary_key=True),  # BA-2027-000123
    Column("document_id", Text, nullable=False, unique=True),  # what it is about: never stated twice
    Column("kind", String(12), nullable=False),
    Column("partner_id", String(64), nullable=False),
    Column("issued_on", Date, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("facts", LargeBinary, nullable=False),  # what it was made of, as JSON
    Column("facts_sha256", String(64), nullable=False),
    Column("pdf", LargeBinary, nullable=False),
    Column("pdf_sha256", String(64), nullable=False),
    Column("csv", LargeBinary, nullable=False),
    Column("csv_sha256", String(64), nullable=False),
    Index("ix_statements_partner_id", "partner_id"),
)

statement_items = Table(
    "statement_items",
    metadata,
    Column("number", String(20), ForeignKey("statements.number"), primary_key=True),
    Column("obligation_id", Text, ForeignKey("obligations.id"), primary_key=True),
    Index("ix_statement_items_obligation_id", "obligation_id"),
)

APPEND_ONLY = ("journals", "postings", "run_files", "bank_details", "statements", "statement_items")
"""Tables whose rows a trigger keeps from being changed or deleted."""
