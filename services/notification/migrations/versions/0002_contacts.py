"""People whom partners named, and the mails that go to them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and let a message name whom it is for."""
    op.create_table(
        "contacts",
        sa.Column("contact_id", sa.String(20), primary_key=True),
        sa.Column("partner_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("standing", sa.String(12), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("weekly_mail", sa.Boolean, nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bad_status", sa.String(11)),
    )
    op.create_index("contacts_of_partner", "contacts", ["partner_id"])
    op.add_column("messages", sa.Column("contact_id", sa.String(20)))
