"""Sales are listed page by page and counted by day from indexes alone."""

from datetime import date

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COLUMNS = {
    "partner_id": sa.Text,
    "sale_id": sa.Text,
    "sold_on": sa.Date,
    "listed_on": sa.Date,
    "returns": sa.JSON,
}


def upgrade() -> None:
    """A line of which only a return is known stands at the day of its first return."""
    op.add_column("sale_lines", sa.Column("listed_on", sa.Date, nullable=False, server_default="0001-01-01"))
    lines = sa.table("sale_lines", *(sa.column(name, kind) for name, kind in _COLUMNS.items()))
    op.execute(sa.update(lines).where(lines.c.sold_on.is_not(None)).values(listed_on=lines.c.sold_on))
    for line in op.get_bind().execute(sa.select(lines).where(lines.c.sold_on.is_(None))).all():
        if line.returns:
            own = sa.and_(lines.c.partner_id == line.partner_id, lines.c.sale_id == line.sale_id)
            day = date.fromisoformat(line.returns[0]["returned_on"])
            op.execute(sa.update(lines).where(own).values(listed_on=day))
    op.drop_index("sale_lines_newest", "sale_lines")
    op.drop_index("sale_lines_by_status", "sale_lines")
    op.create_index("sale_lines_newest", "sale_lines", ["partner_id", "quarter", "listed_on", "sale_id", "units"])
    op.create_index("sale_lines_of_status", "sale_lines", ["partner_id", "quarter", "status", "listed_on", "sale_id"])
    no_sale = sa.text("sold_on IS NULL")
    op.create_index(
        "sale_lines_without_sale",
        "sale_lines",
        ["partner_id", "quarter"],
        sqlite_where=no_sale,
        postgresql_where=no_sale,
    )
