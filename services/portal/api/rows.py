"""What the JSON interface reads besides what the pages read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from services.portal.queries import PartnerRows
from services.portal.tables import sale_lines


class ApiRows(PartnerRows):
    """One partner's rows, as his systems read them."""

    def sales_changed(self, after: int, limit: int) -> Sequence[Row[Any]]:
        """His sales whose line was written behind this offset, in the order of writing.

        All lines of a partner lie in one partition, so their offsets count up, and whoever remembers the last one
        misses no change. Those that had settled before the portal's database was made anew come first.
        """
        query = self._own(sale_lines).where(sale_lines.c.source_offset > after)
        return self._connection.execute(query.order_by(sale_lines.c.source_offset).limit(limit)).all()
