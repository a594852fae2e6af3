"""Claims, and the returns that staff enters; the outbox is that of all that the portal tells."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables, and call the outbox what it is now."""
    op.drop_index("preference_outbox_unsent", "preference_outbox")
    op.rename_table("preference_outbox", "outbox")
    op.create_index("outbox_unsent", "outbox", ["sent_at", "id"])
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "claims",
        sa.Column("claim_id", sa.String(20), primary_key=True),
        sa.Column("partner_id", sa.Text, nullable=False),
        sa.Column("report_id", sa.String(20), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("sale_id", sa.Text, nullable=False),
        sa.Column("product_id", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("sold_on", sa.Date, nullable=False),
        sa.Column("serial_numbers", sa.Text, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("reason", sa.String(40)),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("told", sa.Integer, nullable=False),
        sa.Column("claimed_at", instant, nullable=False),
        sa.Column("changed_at", instant, nullable=False),
        sa.UniqueConstraint("partner_id", "sale_id", "attempt", name="claims_once"),
    )
    op.create_index("claims_by_partner", "claims", ["partner_id", "claimed_at"])
    op.create_index("claims_by_status", "claims", ["status", "claimed_at"])
    op.create_index("claims_by_sale", "claims", ["sale_id"])
    op.create_table(
        "claim_serials",
        sa.Column("claim_id", sa.String(20), primary_key=True),
        sa.Column("serial_number", sa.Text, primary_key=True),
    )
    op.create_index("claim_serials_by_serial", "claim_serials", ["serial_number"])
    op.create_table(
        "claim_steps",
        sa.Column("claim_id", sa.String(20), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("what", sa.String(20), nullable=False),
        sa.Column("by_vendor", sa.Integer, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("reason", sa.String(40)),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at", instant, nullable=False),
    )
    op.create_table(
        "claim_reports",
        sa.Column("report_id", sa.String(20), primary_key=True),
        sa.Column("partner_id", sa.Text, nullable=False),
        sa.Column("made", sa.Integer, nullable=False),
        sa.Column("known", sa.Integer, nullable=False),
        sa.Column("made_at", instant, nullable=False),
    )
    op.create_index("claim_reports_by_partner", "claim_reports", ["partner_id", "made_at"])
    op.create_table(
        "claim_proofs",
        sa.Column("proof_id", sa.String(40), primary_key=True),
        sa.Column("belongs_to", sa.String(20), nullable=False),
        sa.Column("partner_id", sa.Text, nullable=False),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("kind", sa.String(4), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("sent_at", instant, nullable=False),
    )
    op.create_index("claim_proofs_by_owner", "claim_proofs", ["belongs_to"])
    op.create_index("claim_proofs_by_partner", "claim_proofs", ["partner_id", "sent_at"])
    op.create_index("claim_proofs_by_content", "claim_proofs", ["sha256"])
    op.create_table(
        "staff_returns",
        sa.Column("return_id", sa.String(40), primary_key=True),
        sa.Column("partner_id", sa.Text, nullable=False),
        sa.Column("sale_id", sa.Text, nullable=False),
        sa.Column("serial_number", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("entered_at", instant, nullable=False),
    )
    op.create_index("staff_returns_by_sale", "staff_returns", ["partner_id", "sale_id"])
