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
