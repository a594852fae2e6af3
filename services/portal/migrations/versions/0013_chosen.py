"""What somebody did on a page is counted apart: it is shown at once, even where what was reported may be behind."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nobody did anything yet as far as this count goes."""
    op.add_column("page_versions", sa.Column("chosen", sa.BigInteger, nullable=False, server_default="0"))
