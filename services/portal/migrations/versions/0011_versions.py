"""Changes of what a partner's pages show are counted, so that a page that is the same still is not made again."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Who is not in the table has seen no change yet. The index gives the sale of a serial number by itself."""
    op.create_table(
        "page_versions",
        sa.Column("partner_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.drop_index("open_serials_by_serial", "open_serials")
    op.create_index("open_serials_by_serial", "open_serials", ["serial_number", "partner_id", "sale_id"])
