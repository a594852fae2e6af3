"""Who reported a sale."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of the lines that are there nobody knows."""
    op.add_column("sale_lines", sa.Column("reported_by", sa.Text, nullable=False, server_default=""))
