"""The projection of ``sale-lines`` and ``settled-lines``: which sale counts how many units in which quarter, for the
recount; and each line whole, rejected ones too, for whoever must explain a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import msgspec
from sqlalchemy import Connection, delete, func, select

from schemas.events import SaleLine
from services.kit.consumer import Batch
from services.kit.database import upsert
from services.payout import obligations
from services.payout.tables import lines

_decoder = msgspec.json.Decoder(SaleLine)


def project(batch: Batch) -> None:
    """Handle a batch of either topic. Partners with open obligations are to be looked at again.

    A line that moves from one to the other stays: what it says is in the new one, too, in the same transaction.
    """
    latest: dict[tuple[str, str], SaleLine | None] = {}
    for record in batch.received:
        if record.moved:
            continue
        partner_id, _, sale_id = record.key.partition("/")
        latest[partner_id, sale_id] = record.event if isinstance(record.event, SaleLine) else None
    rows = [
        {
            "partner_id": partner_id,
            "sale_id": sale_id,
            "quarter": line.quarter,
            "units": line.units,
            "sold_on": line.sold_on,
            "line": msgspec.json.encode(line).decode(),
        }
        for (partner_id, sale_id), line in latest.items()
        if line is not None
    ]
    if rows:
        statement = upsert(lines, batch.connection.engine)
        new = {name: statement.excluded[name] for name in ("quarter", "units", "sold_on", "line")}
        batch.connection.execute(
            statement.on_conflict_do_update(index_elements=["partner_id", "sale_id"], set_=new), rows
        )
    for (partner_id, sale_id), line in latest.items():
        if line is None:
            batch.connection.execute(delete(lines).where(lines.c.partner_id == partner_id, lines.c.sale_id == sale_id))
    obligations.look_again(batch.connection, {partner_id for partner_id, _ in latest})


def anew(_connection: Connection) -> None:
    """Nothing to do when the topic was made anew: a line stands until its next record comes, whatever its offset."""


def units(connection: Connection, partner_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """For each (partner, quarter) with lines, the units that count."""
    rows = connection.execute(
        select(lines.c.partner_id, lines.c.quarter, func.sum(lines.c.units))
        .where(lines.c.partner_id.in_(partner_ids))
        .group_by(lines.c.partner_id, lines.c.quarter)
    )
    return {(partner_id, quarter): int(total) for partner_id, quarter, total in rows}


def units_since(connection: Connection, partner_ids: Sequence[str], quarter: str, day: date) -> dict[str, int]:
    """For each partner with lines there, the units of a quarter that count and were sold on this day or later."""
    rows = connection.execute(
        select(lines.c.partner_id, func.sum(lines.c.units))
        .where(lines.c.partner_id.in_(partner_ids), lines.c.quarter == quarter, lines.c.sold_on >= day)
        .group_by(lines.c.partner_id)
    )
    return {partner_id: int(total) for partner_id, total in rows}


def of_quarter(connection: Connection, quarter: str, partner_id: str | None = None) -> Iterator[SaleLine]:
    """The lines of a quarter in the order of their keys, whatever their status; of one partner or of all."""
    chosen = select(lines.c.line).where(lines.c.quarter == quarter).order_by(lines.c.partner_id, lines.c.sale_id)
    if partner_id is not None:
        chosen = chosen.where(lines.c.partner_id == partner_id)
    for text in connection.execute(chosen.execution_options(yield_per=1000)).scalars():
        yield _decoder.decode(text)
