"""What an amount was counted from, as one hash: frozen on the obligation when it first becomes payable.

Lines may change afterwards without a new revision, as long as the rebate stays the same. The hash stays with what was
counted then; ``matches`` says whether the present lines are still those.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from services.payout.chunks import chunks
from services.payout.tables import lines, obligations

Counted = Iterable[tuple[str, int]]
"""Sale id and units of each line that counts."""


def inputs_hash(
    programme_id: str, partner_id: str, quarter: str, revision: int, terms_version: str, counted: Counted
) -> str:
    """SHA-256 over the canonical JSON (ASCII, no blanks) of all that decides an amount; lines sorted by sale id."""
    facts = [programme_id, partner_id, quarter, revision, terms_version, sorted(counted)]
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()


def freeze(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """Freeze the inputs of these obligations, of which the recount has just found that they can be paid."""
    fresh = [row for row in rows if row.inputs_hash is None]
    for some in chunks(fresh):
        counted = _counted(connection, some)
        connection.execute(
            update(obligations)
            .where(obligations.c.id == bindparam("of"), obligations.c.inputs_hash.is_(None))
            .values(inputs_hash=bindparam("hash")),
            [{"of": row.id, "hash": _hash(row, counted.get((row.partner_id, row.quarter), ()))} for row in some],
        )


def matches(connection: Connection, row: Row[Any]) -> bool | None:
    """Whether the present lines are those that an obligation was counted from; None if nothing is frozen yet."""
    if row.inputs_hash is None:
        return None
    counted = _counted(connection, [row]).get((row.partner_id, row.quarter), ())
    return bool(_hash(row, counted) == row.inputs_hash)


def _hash(row: Row[Any], counted: Counted) -> str:
    return inputs_hash(row.programme_id, row.partner_id, row.quarter, row.revision, row.terms_version, counted)


def _counted(connection: Connection, rows: Sequence[Row[Any]]) -> dict[tuple[str, str], list[tuple[str, int]]]:
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    wanted = connection.execute(
        select(lines.c.partner_id, lines.c.quarter, lines.c.sale_id, lines.c.units).where(
            lines.c.partner_id.in_({row.partner_id for row in rows}),
            lines.c.quarter.in_({row.quarter for row in rows}),
            lines.c.units != 0,
        )
    )
    for partner_id, quarter, sale_id, units in wanted:
        found.setdefault((partner_id, quarter), []).append((sale_id, units))
    return found
