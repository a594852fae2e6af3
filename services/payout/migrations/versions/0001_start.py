"""The first tables, and the triggers that make the ledger and the payment files append-only."""

import sqlalchemy as sa
from alembic import op

from services.payout.migrations.guards import allow_resealing_only, demand_balance, forbid_changes

revision = "0001"
down_revision = None

_INSTANT = sa.DateTime(timezone=True)
_COUNTER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_APPEND_ONLY = (
    *("journals", "postings", "approvals", "partner_accounts", "statements", "statement_items"),
    *("bank_details_invalid", "partner_blocks", "hold_lifts"),
)
_SEALED = ("run_files", "bank_details", "bank_files")


def upgrade() -> None:
    """Create them."""
    _consumer()
    _obligations()
    _ledger()
    _inputs()
    _runs()
    _outbox()
    _bank()
    _holds()
    _books()
    _statements()
    for table in _APPEND_ONLY:
        forbid_changes(table)
    for table in _SEALED:
        allow_resealing_only(table)
    if op.get_bind().dialect.name == "postgresql":
        demand_balance()


def _consumer() -> None:
    op.create_table(
        "offsets",
        sa.Column("topic", sa.String(200), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("topic_id", sa.String(40), nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "inbox",
        sa.Column("event_id", sa.String(64), primary_key=True),
        sa.Column("topic", sa.String(200), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", _INSTANT, nullable=False),
    )
    op.create_table(
        "quarantine",
        sa.Column("topic", sa.String(200), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("offset", sa.BigInteger, primary_key=True),
        sa.Column("reason", sa.String(500), nullable=False),
    )


def _obligations() -> None:
    op.create_table(
        "obligations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("programme_id", sa.Text, nullable=False),
        sa.Column("partner_id", sa.String(64), nullable=False),
        sa.Column("quarter", sa.String(6), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("total_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("closed_at", _INSTANT, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("contradicted", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("reason", sa.String(40)),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("since", _INSTANT, nullable=False),
        sa.Column("terms_version", sa.Text, nullable=False),
        sa.Column("inputs_hash", sa.String(64)),
        sa.UniqueConstraint("programme_id", "partner_id", "quarter", "revision"),
    )
    op.create_index("ix_obligations_partner_id", "obligations", ["partner_id"])
    op.create_index("ix_obligations_state", "obligations", ["state"])


def _ledger() -> None:
    op.create_table(
        "journals",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("booked_at", _INSTANT, nullable=False),
        sa.Column("reverses", sa.Text, sa.ForeignKey("journals.key"), unique=True),
        sa.Column("sequence", sa.BigInteger, nullable=False, unique=True),
        sa.Column("chain", sa.String(64), nullable=False),
    )
    op.create_table(
        "postings",
        sa.Column("journal", sa.Text, sa.ForeignKey("journals.key"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
    )
    op.create_index("ix_postings_account", "postings", ["account"])


def _inputs() -> None:
    op.create_table(
        "lines",
        sa.Column("partner_id", sa.String(64), primary_key=True),
        sa.Column("sale_id", sa.Text, primary_key=True),
        sa.Column("quarter", sa.String(6), nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("sold_on", sa.Date),
        sa.Column("line", sa.Text, nullable=False),
    )
    op.create_index("ix_lines_quarter", "lines", ["quarter", "sold_on"])
    op.create_table(
        "partners",
        sa.Column("partner_id", sa.String(64), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("registered_on", sa.Date, nullable=False),
        sa.Column("left_on", sa.Date),
    )
    op.create_table(
        "bank_details",
        sa.Column("partner_id", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("masked", sa.String(12), nullable=False),
        sa.Column("sepa", sa.Boolean, nullable=False),
        sa.Column("entered_at", _INSTANT, nullable=False),
        sa.Column("entered_by", sa.Text, nullable=False),
        sa.Column("source", sa.String(10), nullable=False),
        sa.Column("usable_on", sa.Date, nullable=False),
    )
    op.create_table(
        "checks",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("partner_id", sa.String(64), nullable=False),
    )


def _runs() -> None:
    op.create_table(
        "run_days",
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("decided_at", _INSTANT, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("msg_id", sa.String(35), primary_key=True),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("kind", sa.String(4), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("prepared_by", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("closed_by", sa.Text),
        sa.Column("closed_at", _INSTANT),
        sa.Column("execution_date", sa.Date, nullable=False),
        sa.Column("payments", sa.Integer, nullable=False),
        sa.Column("total_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("written", sa.Boolean, nullable=False),
        sa.UniqueConstraint("day", "kind", "number"),
        sa.UniqueConstraint("msg_id", "prepared_by"),
    )
    op.create_table(
        "run_files",
        sa.Column("msg_id", sa.String(35), sa.ForeignKey("runs.msg_id"), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.UniqueConstraint("msg_id", "sha256"),
    )
    op.create_table(
        "approvals",
        sa.Column("msg_id", sa.String(35), primary_key=True),
        sa.Column("approved_by", sa.Text, primary_key=True),
        sa.Column("prepared_by", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["msg_id", "prepared_by"], ["runs.msg_id", "runs.prepared_by"]),
        sa.ForeignKeyConstraint(["msg_id", "sha256"], ["run_files.msg_id", "run_files.sha256"]),
        sa.CheckConstraint("approved_by <> prepared_by", name="ck_approvals_four_eyes"),
    )
    op.create_table(
        "payments",
        sa.Column("end_to_end_id", sa.String(35), primary_key=True),
        sa.Column("msg_id", sa.String(35), sa.ForeignKey("runs.msg_id"), nullable=False),
        sa.Column("partner_id", sa.String(64), nullable=False),
        sa.Column("bank_version", sa.Integer, nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("reason", sa.String(40)),
        sa.Column("settled_on", sa.Date),
        sa.Column("returned_on", sa.Date),
        sa.UniqueConstraint("msg_id", "partner_id"),
    )
    op.create_table(
        "settlements",
        sa.Column("end_to_end_id", sa.String(35), sa.ForeignKey("payments.end_to_end_id"), primary_key=True),
        sa.Column("obligation_id", sa.Text, sa.ForeignKey("obligations.id"), primary_key=True),
        sa.Column("active", sa.Boolean, nullable=False),
    )
    op.create_index(
        "uq_settlements_active",
        "settlements",
        ["obligation_id"],
        unique=True,
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("topic", sa.String(40), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("sent_at", _INSTANT),
    )
    op.create_index(
        "ix_outbox_unsent",
        "outbox",
        ["id"],
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )


def _bank() -> None:
    op.create_table(
        "bank_files",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("message_id", sa.String(35), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("read_at", _INSTANT, nullable=False),
    )
    op.create_table(
        "bank_mentions",
        sa.Column("kind", sa.String(12), primary_key=True),
        sa.Column("account", sa.String(16), primary_key=True),
        sa.Column("statement_id", sa.String(35), primary_key=True),
        sa.Column("position", sa.String(20), primary_key=True),
        sa.Column("end_to_end_id", sa.String(35), sa.ForeignKey("payments.end_to_end_id"), primary_key=True),
        sa.Column("debit", sa.Boolean, nullable=False),
        sa.Column("reference", sa.String(35), nullable=False),
        sa.Column("booked_on", sa.Date),
        sa.Column("times", sa.Integer, nullable=False),
    )
    op.create_index("ix_bank_mentions_end_to_end_id", "bank_mentions", ["end_to_end_id"])
    op.create_table(
        "bank_unmatched",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("reason", sa.String(24), nullable=False),
        sa.Column("sha256", sa.String(64), sa.ForeignKey("bank_files.sha256"), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("account", sa.String(16)),
        sa.Column("statement_id", sa.String(35)),
        sa.Column("position", sa.String(20)),
        sa.Column("end_to_end_id", sa.String(35), nullable=False),
        sa.Column("msg_id", sa.String(35), nullable=False),
        sa.Column("debit", sa.Boolean),
        sa.Column("amount_minor", sa.BigInteger),
        sa.Column("currency", sa.String(3)),
        sa.Column("booked_on", sa.Date),
        sa.Column("valued_on", sa.Date),
        sa.Column("reference", sa.String(35)),
        sa.Column("code", sa.String(5)),
        sa.Column("seen_at", _INSTANT, nullable=False),
        sa.Column("cleared_at", _INSTANT),
        sa.Column("because", sa.Text),
    )
    op.create_table(
        "bank_statements",
        sa.Column("account", sa.String(16), primary_key=True),
        sa.Column("statement_id", sa.String(35), primary_key=True),
        sa.Column("sequence", sa.BigInteger),
        sa.Column("day", sa.Date),
        sa.Column("opening_minor", sa.BigInteger),
        sa.Column("closing_minor", sa.BigInteger),
        sa.Column("net_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("read_at", _INSTANT, nullable=False),
        sa.Column("cleared_at", _INSTANT),
        sa.Column("because", sa.Text),
    )


def _holds() -> None:
    op.create_table(
        "bank_details_invalid",
        sa.Column("partner_id", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["partner_id", "version"], ["bank_details.partner_id", "bank_details.version"]),
    )
    op.create_table(
        "partner_blocks",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("partner_id", sa.String(64), nullable=False),
        sa.Column("blocked", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
    )
    op.create_index("ix_partner_blocks_partner_id", "partner_blocks", ["partner_id"])
    op.create_table(
        "hold_lifts",
        sa.Column("obligation_id", sa.Text, sa.ForeignKey("obligations.id"), primary_key=True),
        sa.Column("reason", sa.String(40), primary_key=True),
        sa.Column("facts", sa.String(64), primary_key=True),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("lifted_by", sa.Text, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
    )


def _books() -> None:
    head = op.create_table(
        "chain_head",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("chain", sa.String(64), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "sequence": 0, "chain": "0" * 64}])
    op.create_table(
        "partner_accounts",
        sa.Column("partner_id", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False, unique=True),
    )
    op.create_table(
        "exports",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("format", sa.String(12), nullable=False),
        sa.Column("first", sa.Date, nullable=False),
        sa.Column("last", sa.Date, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("exported_at", _INSTANT, nullable=False),
    )


def _statements() -> None:
    op.create_table(
        "statement_years",
        sa.Column("year", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("issued", sa.Integer, nullable=False),
    )
    op.create_table(
        "statements",
        sa.Column("number", sa.String(20), primary_key=True),
        sa.Column("document_id", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("partner_id", sa.String(64), nullable=False),
        sa.Column("issued_on", sa.Date, nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("facts", sa.LargeBinary, nullable=False),
        sa.Column("facts_sha256", sa.String(64), nullable=False),
        sa.Column("pdf", sa.LargeBinary, nullable=False),
        sa.Column("pdf_sha256", sa.String(64), nullable=False),
        sa.Column("csv", sa.LargeBinary, nullable=False),
        sa.Column("csv_sha256", sa.String(64), nullable=False),
    )
    op.create_index("ix_statements_partner_id", "statements", ["partner_id"])
    op.create_table(
        "statement_items",
        sa.Column("number", sa.String(20), sa.ForeignKey("statements.number"), primary_key=True),
        sa.Column("obligation_id", sa.Text, sa.ForeignKey("obligations.id"), primary_key=True),
    )
    op.create_index("ix_statement_items_obligation_id", "statement_items", ["obligation_id"])
