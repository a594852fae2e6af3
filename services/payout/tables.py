"""The tables of the payout service. Money is an integer of minor units beside its currency."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
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
    Column("since", Instant, nullable=False),  # when it came into this state, for this reason
    Column("terms_version", Text, nullable=False),  # of the close
    Column("inputs_hash", String(64)),  # of what the amount was counted from; see services.payout.inputs
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
    Column("reverses", Text, ForeignKey("journals.key"), unique=True),  # the journal that this one takes back
    Column("sequence", BigInteger, nullable=False, unique=True),  # from 1, without a gap
    Column("chain", String(64), nullable=False),  # see services.payout.chain
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
    Column("sold_on", Date),  # empty while only a return is known
    Column("line", Text, nullable=False),  # the whole SaleLine as JSON: what a number is explained with
    Index("ix_lines_quarter", "quarter", "sold_on"),
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

# The languages that partners chose, as told on a topic; who is not here is written to in that of his registration.
languages = Table(
    "languages",
    metadata,
    Column("partner_id", String(64), primary_key=True),
    Column("language", String(8), nullable=False),
)

bank_details = Table(
    "bank_details",
    metadata,
    Column("partner_id", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # holder, IBAN, BIC, town and country, encrypted
    Column("masked", String(12), nullable=False),
    Column("sepa", Boolean, nullable=False),
    Column("entered_at", Instant, nullable=False),
    Column("entered_by", Text, nullable=False),  # empty: nobody said
    Column("source", String(10), nullable=False),
    Column("usable_on", Date, nullable=False),  # first day, programme time, on which money may go there
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
    Column("decided_at", Instant, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("msg_id", String(35), primary_key=True),
    Column("day", Date, nullable=False),
    Column("kind", String(4), nullable=False),
    Column("number", Integer, nullable=False),  # from 1; a second one is prepared after the first was given up
    Column("state", String(12), nullable=False),
    Column("reason", Text),  # why it was given up
    Column("prepared_by", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("closed_by", Text),  # who released it or gave it up
    Column("closed_at", Instant),
    Column("execution_date", Date, nullable=False),
    Column("payments", Integer, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("written", Boolean, nullable=False),  # whether the file was put into the folder for payment files
    UniqueConstraint("day", "kind", "number"),
    UniqueConstraint("msg_id", "prepared_by"),  # for approvals to point to
)

run_files = Table(
    "run_files",
    metadata,
    Column("msg_id", String(35), ForeignKey("runs.msg_id"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # the bytes, encrypted: they hold every partner's IBAN
    Column("sha256", String(64), nullable=False),  # of the bytes themselves
    UniqueConstraint("msg_id", "sha256"),  # for approvals to point to
)

# Four eyes, kept by the database: who prepared a run can't approve it, and nobody twice; what is approved are bytes.
approvals = Table(
    "approvals",
    metadata,
    Column("msg_id", String(35), primary_key=True),
    Column("approved_by", Text, primary_key=True),
    Column("prepared_by", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    ForeignKeyConstraint(["msg_id", "prepared_by"], ["runs.msg_id", "runs.prepared_by"]),
    ForeignKeyConstraint(["msg_id", "sha256"], ["run_files.msg_id", "run_files.sha256"]),
    CheckConstraint("approved_by <> prepared_by", name="ck_approvals_four_eyes"),
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
    Column("topic", String(40), nullable=False),
    Column("event", Text, nullable=False),  # as JSON
    Column("created_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Index(
        "ix_outbox_unsent",
        "id",
        sqlite_where=text("sent_at IS NULL"),
        postgresql_where=text("sent_at IS NULL"),
    ),
)

# What the bank says: each file of it, the movements of our payments it speaks of, what fits nothing, its statements.
bank_files = Table(
    "bank_files",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", String(12), nullable=False),
    Column("message_id", String(35), nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # the bytes, encrypted: they hold names and IBANs
    Column("read_at", Instant, nullable=False),
)

bank_mentions = Table(
    "bank_mentions",
    metadata,
    Column("kind", String(12), primary_key=True),
    Column("account", String(16), primary_key=True),
    Column("statement_id", String(35), primary_key=True),
    Column("position", String(20), primary_key=True),
    Column("end_to_end_id", String(35), ForeignKey("payments.end_to_end_id"), primary_key=True),
    Column("debit", Boolean, nullable=False),
    Column("reference", String(35), nullable=False),
    Column("booked_on", Date),
    Column("times", Integer, nullable=False),  # which debit, or return, of the payment it is; only the first is right
    Index("ix_bank_mentions_end_to_end_id", "end_to_end_id"),
)

bank_unmatched = Table(
    "bank_unmatched",
    metadata,
    Column("id", _Counter, primary_key=True),
    Column("key", Text, nullable=False, unique=True),  # the same said again is the same row
    Column("reason", String(24), nullable=False),
    Column("sha256", String(64), ForeignKey("bank_files.sha256"), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("account", String(16)),
    Column("statement_id", String(35)),
    Column("position", String(20)),
    Column("end_to_end_id", String(35), nullable=False),  # empty, or of our form
    Column("msg_id", String(35), nullable=False),  # likewise
    Column("debit", Boolean),
    Column("amount_minor", BigInteger),
    Column("currency", String(3)),
    Column("booked_on", Date),
    Column("valued_on", Date),
    Column("reference", String(35)),
    Column("code", String(5)),  # what the bank gave as status or reason
    Column("seen_at", Instant, nullable=False),
    Column("cleared_at", Instant),
    Column("because", Text),
)

bank_statements = Table(
    "bank_statements",
    metadata,
    Column("account", String(16), primary_key=True),
    Column("statement_id", String(35), primary_key=True),
    Column("sequence", BigInteger),
    Column("day", Date),
    Column("opening_minor", BigInteger),
    Column("closing_minor", BigInteger),
    Column("net_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("read_at", Instant, nullable=False),
    Column("cleared_at", Instant),
    Column("because", Text),
)

bank_details_invalid = Table(
    "bank_details_invalid",
    metadata,
    Column("partner_id", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("reason", String(40), nullable=False),  # the bank's code
    Column("at", Instant, nullable=False),
    ForeignKeyConstraint(["partner_id", "version"], ["bank_details.partner_id", "bank_details.version"]),
)

partner_blocks = Table(
    "partner_blocks",
    metadata,
    Column("id", _Counter, primary_key=True),  # a partner's latest row counts
    Column("partner_id", String(64), nullable=False),
    Column("blocked", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Index("ix_partner_blocks_partner_id", "partner_id"),
)

hold_lifts = Table(
    "hold_lifts",
    metadata,
    Column("obligation_id", Text, ForeignKey("obligations.id"), primary_key=True),
    Column("reason", String(40), primary_key=True),
    Column("facts", String(64), primary_key=True),  # hash of what was seen: with other facts it is held again
    Column("note", Text, nullable=False),
    Column("lifted_by", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

chain_head = Table(
    "chain_head",
    metadata,
    Column("id", Integer, primary_key=True),  # 1: there is one row
    Column("sequence", BigInteger, nullable=False),
    Column("chain", String(64), nullable=False),
)

partner_accounts = Table(
    "partner_accounts",
    metadata,
    Column("partner_id", String(64), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),  # from 0, without a gap; see services.payout.books
)

exports = Table(
    "exports",
    metadata,
    Column("id", _Counter, primary_key=True),
    Column("format", String(12), nullable=False),
    Column("first", Date, nullable=False),
    Column("last", Date, nullable=False),
    Column("sequence", BigInteger, nullable=False),  # of the ledger's last journal then
    Column("exported_at", Instant, nullable=False),
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

APPEND_ONLY = (
    *("journals", "postings", "run_files", "approvals", "bank_details", "bank_files", "partner_accounts"),
    *("bank_details_invalid", "partner_blocks", "hold_lifts", "statements", "statement_items"),
)
"""Tables whose rows a trigger keeps from being changed or deleted."""
SEALED = ("run_files", "bank_details", "bank_files")
"""Of these, what one key sealed may be replaced by what another key sealed, and nothing else may change."""
