"""Who may come in for a partner beside himself, and as what."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "contacts",
        sa.Column("contact_id", sa.String(20), primary_key=True),
        sa.Column("partner_id", sa.Text, nullable=False),
        sa.Column("standing", sa.String(12), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("weekly_mail", sa.Boolean, nullable=False),
        sa.Column("removed_at", instant),
        sa.Column("changed_at", instant, nullable=False),
        sa.Column("told", sa.Boolean, nullable=False),
    )
    op.create_index("contacts_of_partner", "contacts", ["partner_id"])
