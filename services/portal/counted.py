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
    _count(connection, partner_ids, version=1, chosen=0)


def count_choice(connection: Connection, partner_ids: Iterable[str]) -> None:
    """The same for what somebody did on a page: he and everybody else is shown it at once."""
    _count(connection, partner_ids, version=0, chosen=1)


def _count(connection: Connection, partner_ids: Iterable[str], **more: int) -> None:
    rows = [{"partner_id": partner_id, **more} for partner_id in sorted(set(partner_ids))]
    if rows:
        statement = upsert(page_versions, connection.engine)
        added = {name: page_versions.c[name] + number for name, number in more.items()}
        connection.execute(statement.on_conflict_do_update(index_elements=["partner_id"], set_=added), rows)
