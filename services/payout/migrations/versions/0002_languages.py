"""The languages that partners chose for themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "languages",
        sa.Column("partner_id", sa.String(64), primary_key=True),
        sa.Column("language", sa.String(8), nullable=False),
    )
