"""All that the portal's database holds about a partner, for him to take with him."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, LargeBinary, select

from services.portal.tables import metadata

_NOT_TOLD = ("hash", "secret", "sealed", "key", "digest")
"""Columns of these names hold what opens something; they are worth nothing to read, and something to steal."""
_NOT_HIS = ("sessions", "contacts")
"""The second stands there as notification tells it, with names."""


def own_data(connection: Connection, partner_id: str) -> dict[str, Any]:
    """By table, every row that carries his id. A table that is added later is told by itself."""
    found: dict[str, Any] = {}
    for table in metadata.sorted_tables:
        if "partner_id" not in table.c or table.name in _NOT_HIS:
            continue
        columns = [column for column in table.c if _is_told(column)]
        rows = connection.execute(select(*columns).where(table.c.partner_id == partner_id))
        found[table.name] = [dict(row._mapping) for row in rows]
    return found


def _is_told(column: Column[Any]) -> bool:
    words = column.name.split("_")
    return not isinstance(column.type, LargeBinary) and not any(word in _NOT_TOLD for word in words)
