"""Sessions know who somebody is, what he may do, and whether he has shown more than a link."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Nobody who is signed in now has shown anything but a link."""
    instant = sa.DateTime(timezone=True)
    with op.batch_alter_table("sessions") as table:
        table.add_column(sa.Column("person", sa.Text, nullable=False, server_default=""))
        table.add_column(sa.Column("role", sa.Integer, nullable=False, server_default="0"))
        table.add_column(sa.Column("viewing", sa.Text, nullable=False, server_default=""))
        table.add_column(sa.Column("confirmed_at", instant))
