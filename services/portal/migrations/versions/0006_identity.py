"""The vendor's people, second factors, codes that work once, and the count of tries."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "staff",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("role", sa.Integer, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("signed_in_at", instant),
    )
    op.create_table(
        "factors",
        sa.Column("factor_id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("label", sa.String(40), nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("last_counter", sa.BigInteger),
        sa.Column("credential_id", sa.LargeBinary, unique=True),
        sa.Column("public_key", sa.LargeBinary),
        sa.Column("sign_count", sa.BigInteger),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("used_at", instant),
    )
    op.create_index("factors_by_owner", "factors", ["owner"])
    op.create_table(
        "single_codes",
        sa.Column("code_hash", sa.String(64), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("purpose", sa.String(10), nullable=False),
        sa.Column("expires_at", instant),
    )
    op.create_index("single_codes_by_owner", "single_codes", ["owner", "purpose"])
    op.create_table(
        "attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("at", instant, nullable=False),
    )
    op.create_index("attempts_by_key", "attempts", ["key_hash", "at"])
    op.create_index("attempts_by_age", "attempts", ["at"])
