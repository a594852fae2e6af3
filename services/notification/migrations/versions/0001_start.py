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
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("left_on", sa.Date),
    )
    op.create_table(
        "messages",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String(64), nullable=False, unique=True),
        sa.Column("partner_id", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text),
        sa.Column("kind", sa.String(30), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("recorded_at", instant, nullable=False),
        sa.Column("queued_at", instant, nullable=False),
        sa.Column("next_try_at", instant, nullable=False),
        sa.Column("sent_at", instant),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.String(300)),
        sa.Column("wave", sa.Boolean, nullable=False),
        sa.Column("claimed_by", sa.String(80)),
        sa.Column("edition", sa.Integer, nullable=False),
        sa.Column("sent_to", sa.String(32)),
    )
    op.create_index("messages_due", "messages", ["state", "wave", "next_try_at", "number"])
    op.create_index("messages_of_partner", "messages", ["partner_id"])
    _addresses()
    _reachability()
    _webhooks(instant)
    _staff(instant)


def _reachability() -> None:
    """What partners chose, and what is known of their addresses."""
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "preferences",
        sa.Column("partner_id", sa.Text, primary_key=True),
        sa.Column("weekly_mail", sa.Boolean, nullable=False),
        sa.Column("changed_at", instant, nullable=False),
    )
    op.create_table(
        "bounces",
        sa.Column("report_id", sa.String(64), primary_key=True),
        sa.Column("message_number", sa.BigInteger, nullable=False),
        sa.Column("partner_id", sa.Text, nullable=False),
        sa.Column("sent_to", sa.String(32)),
        sa.Column("status", sa.String(11), nullable=False),
        sa.Column("diagnostic", sa.String(300), nullable=False),
        sa.Column("read_at", instant, nullable=False),
    )
    op.create_index("bounces_of_message", "bounces", ["message_number"])
    op.create_table(
        "bad_addresses",
        sa.Column("partner_id", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.String(32), nullable=False),
        sa.Column("status", sa.String(11), nullable=False),
        sa.Column("since", instant, nullable=False),
    )


def _addresses() -> None:
    op.create_table(
        "former_addresses",
        sa.Column("partner_id", sa.Text, primary_key=True),
        sa.Column("email", sa.Text, primary_key=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )


def _webhooks(instant: sa.DateTime) -> None:
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("partner_id", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("types", sa.Text, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("disabled_at", instant),
        sa.Column("disabled_reason", sa.String(200)),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("delivered_at", instant),
        sa.Column("free_at", instant, nullable=False),
        sa.Column("claim", sa.String(40)),
    )
    op.create_index("webhook_endpoints_of_partner", "webhook_endpoints", ["partner_id"])
    op.create_table(
        "webhook_secrets",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("endpoint_id", sa.String(40), sa.ForeignKey("webhook_endpoints.id"), nullable=False, index=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", instant),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("endpoint_id", sa.String(40), sa.ForeignKey("webhook_endpoints.id"), nullable=False),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("recorded_at", instant, nullable=False),
        sa.Column("queued_at", instant, nullable=False),
        sa.Column("next_try_at", instant, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.UniqueConstraint("endpoint_id", "event_id", name="webhook_deliveries_once"),
    )
    op.create_index("webhook_deliveries_due", "webhook_deliveries", ["endpoint_id", "state", "number"])
    op.create_table(
        "webhook_attempts",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("delivery", number, sa.ForeignKey("webhook_deliveries.number"), nullable=False, index=True),
        sa.Column("at", instant, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("said", sa.String(200), nullable=False),
    )


def _staff(instant: sa.DateTime) -> None:
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "staff_alerts",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("fact", sa.String(200), nullable=False, unique=True),
        sa.Column("partner_id", sa.Text),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("raised_at", instant, nullable=False),
    )
    op.create_table(
        "staff_tellings",
        sa.Column("alert", number, sa.ForeignKey("staff_alerts.number"), primary_key=True),
        sa.Column("address", sa.String(16), primary_key=True),
        sa.Column("told_at", instant, nullable=False),
    )
