"""How often something was changed that a partner's pages show: pages of the same count are the same.

Whoever writes rows that these pages are made of counts it in the same transaction, as the last thing he does there.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from services.kit.database import upsert
from services.portal.tables import page_versions


def count_change(connection: Connection, partner_ids: Iterable[str]) -> None:
    """The pages of these partners are others as soon as the transaction is committed."""
    rows = [{"partner_id": partner_id, "version": 1} for partner_id in sorted(set(partner_ids))]
    if rows:
        statement = upsert(page_versions, connection.engine)
        one_more = {"version": page_versions.c.version + 1}
        connection.execute(statement.on_conflict_do_update(index_elements=["partner_id"], set_=one_more), rows)
