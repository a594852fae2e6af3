"""Partners choose the language that they are spoken to in."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Who has chosen nothing is spoken to in the language of his registration."""
    op.add_column("preferences", sa.Column("language", sa.String(8), nullable=False, server_default=""))
