"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create them."""
    instant = sa.DateTime(timezone=True)
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
        sa.Column("recorded_at", instant, nullable=False),
    )
    op.create_table(
        "quarantine",
        sa.Column("topic", sa.String(200), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("offset", sa.BigInteger, primary_key=True),
        sa.Column("reason", sa.String(500), nullable=False),
    )
    op.create_table(
        "partners",
        sa.Column("partner_id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("registered_on", sa.Date, nullable=False),
        sa.Column("left_on", sa.Date),
        sa.Column("source_offset", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "tallies",
        sa.Column("partner_id", sa.Text, primary_key=True),
        sa.Column("programme_id", sa.Text, primary_key=True),
        sa.Column("quarter", sa.String(6), primary_key=True),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("tier", sa.BigInteger, nullable=False),
        sa.Column("rebate_minor", sa.BigInteger, nullable=False),
        sa.Column("counted", sa.BigInteger, nullable=False),
        sa.Column("pending", sa.BigInteger, nullable=False),
        sa.Column("rejected", sa.BigInteger, nullable=False),
        sa.Column("returned", sa.BigInteger, nullable=False),
        sa.Column("phase", sa.String(20), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("payable_minor", sa.BigInteger, nullable=False),
        sa.Column("as_of", instant),
        sa.Column("source_offset", sa.BigInteger, nullable=False),
    )
    op.create_index("tallies_by_quarter", "tallies", ["programme_id", "quarter"])
    op.create_table(
        "sale_lines",
        sa.Column("partner_id", sa.Text, primary_key=True),
        sa.Column("sale_id", sa.Text, primary_key=True),
        sa.Column("quarter", sa.String(6), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("product_id", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("sold_on", sa.Date),
        sa.Column("serial_numbers", sa.Text, nullable=False),
        sa.Column("returns", sa.JSON, nullable=False),
        sa.Column("conflicts", sa.Integer, nullable=False),
        sa.Column("reported_at", instant, nullable=False),
        sa.Column("recorded_at", instant, nullable=False),
        sa.Column("source_offset", sa.BigInteger, nullable=False),
    )
    op.create_index("sale_lines_by_sale", "sale_lines", ["sale_id", "status", "partner_id"])
    op.create_index("sale_lines_by_status", "sale_lines", ["partner_id", "quarter", "status"])
    op.create_index("sale_lines_by_verdict", "sale_lines", ["quarter", "status", "reason"])
    op.create_index("sale_lines_newest", "sale_lines", ["partner_id", "quarter", "sold_on", "sale_id"])
    op.create_table(
        "open_serials",
        sa.Column("partner_id", sa.Text, primary_key=True),
        sa.Column("sale_id", sa.Text, primary_key=True),
        sa.Column("serial_number", sa.Text, primary_key=True),
    )
    op.create_index("open_serials_by_serial", "open_serials", ["serial_number", "partner_id"])
    op.create_table(
        "tier_changes",
        sa.Column("partner_id", sa.Text, primary_key=True),
        sa.Column("programme_id", sa.Text, primary_key=True),
        sa.Column("quarter", sa.String(6), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("from_tier", sa.BigInteger, nullable=False),
        sa.Column("to_tier", sa.BigInteger, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("rebate_before_minor", sa.BigInteger, nullable=False),
        sa.Column("rebate_after_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("occurred_at", instant, nullable=False),
    )
    op.create_index("tier_changes_newest", "tier_changes", ["programme_id", "occurred_at"])
    op.create_table(
        "closes",
        sa.Column("partner_id", sa.Text, primary_key=True),
        sa.Column("programme_id", sa.Text, primary_key=True),
        sa.Column("quarter", sa.String(6), primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("rebate_minor", sa.BigInteger, nullable=False),
        sa.Column("payable_minor", sa.BigInteger, nullable=False),
        sa.Column("payable_total_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("closed_at", instant, nullable=False),
    )
    op.create_index("closes_by_quarter", "closes", ["programme_id", "quarter", "kind"])
    op.create_table(
        "payouts",
        sa.Column("partner_id", sa.Text, primary_key=True),
        sa.Column("programme_id", sa.Text, primary_key=True),
        sa.Column("quarter", sa.String(6), primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("end_to_end_id", sa.Text),
        sa.Column("execution_date", sa.Date),
        sa.Column("occurred_at", instant, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("id_hash", sa.String(64), primary_key=True),
        sa.Column("audience", sa.String(10), nullable=False),
        sa.Column("partner_id", sa.Text, nullable=False),
        sa.Column("opened_at", instant, nullable=False),
        sa.Column("used_at", instant, nullable=False),
    )
    op.create_index("sessions_by_age", "sessions", ["opened_at"])
    _preferences()


def _preferences() -> None:
    """What partners chose."""
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "preferences",
        sa.Column("partner_id", sa.Text, primary_key=True),
        sa.Column("weekly_mail", sa.Boolean, nullable=False),
        sa.Column("changed_at", instant, nullable=False),
    )
    op.create_table(
        "preference_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("topic", sa.String(40), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("sent_at", instant),
    )
    op.create_index("preference_outbox_unsent", "preference_outbox", ["sent_at", "id"])
