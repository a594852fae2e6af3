"""Events to rows: what each topic does to the read model.

Rows of latest state remember the offset behind them and never go back to an earlier record; events have a natural key
and are only ever added. So any part may be read again.

A line that leaves the stream's state moves from ``sale-lines`` to ``settled-lines``, and its row stays. Whoever begins
anew finds it there only; any record of ``sale-lines`` is newer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, delete, insert, select, update

from schemas import topics
from schemas.events import (
    Event,
    LineStatus,
    Partner,
    PayoutStatusChanged,
    QuarterClosed,
    SaleLine,
    Tally,
    TierChanged,
)
from schemas.values import Quarter
from services.kit.consumer import Batch, Received, Subscription
from services.kit.database import upsert
from services.portal import contacts, preferences, tables
from services.portal.counted import count_change

Row = dict[str, Any]
SETTLED = -(1 << 62)
"""Where the offsets of ``settled-lines`` begin in the table of lines: all lie before those of ``sale-lines``."""
Touched = Callable[[Iterable[str]], None]
"""Told which partners a batch concerns, before its transaction commits."""


def subscriptions(touched: Touched) -> tuple[Subscription, ...]:
    """What the portal reads. Partners come first: who has a name is greeted by it from the first sale on."""

    def latest(
        table: Table, row_of: Callable[[Any], Row], key_of: Callable[[str], Row], first_offset: int = 0
    ) -> Callable[[Batch], None]:
        def handle(batch: Batch) -> None:
            rows, gone = _sorted_out(batch.received, row_of, key_of, first_offset)
            _put(batch.connection, table, rows)
            _remove(batch.connection, table, gone)
            if table is tables.partners and gone:
                _shut_out(batch.connection, [row["partner_id"] for row in gone])
            if table is tables.sale_lines:
                _index_serials(batch.connection, rows + gone)
            _changed(batch.connection, rows + gone)

        return handle

    def added(table: Table, row_of: Callable[[Any], Row]) -> Callable[[Batch], None]:
        def handle(batch: Batch) -> None:
            rows = [row_of(record.event) for record in batch.received if record.event is not None]
            if rows:
                batch.connection.execute(upsert(table, batch.connection.engine).on_conflict_do_nothing(), rows)
            _changed(batch.connection, rows)

        return handle

    def _changed(connection: Connection, rows: list[Row]) -> None:
        partner_ids = {row["partner_id"] for row in rows}
        count_change(connection, partner_ids)
        touched(partner_ids)

    return (
        Subscription(topics.PARTNERS, latest(tables.partners, partner_row, lambda key: {"partner_id": key})),
        Subscription(topics.TALLIES, latest(tables.tallies, tally_row, _tally_key), _anew(tables.tallies)),
        Subscription(topics.SALE_LINES, latest(tables.sale_lines, line_row, _line_key), _anew(tables.sale_lines)),
        Subscription(topics.SETTLED_LINES, latest(tables.sale_lines, line_row, _line_key, SETTLED), _settled_anew),
        Subscription(topics.TIER_CHANGES, added(tables.tier_changes, tier_change_row)),
        Subscription(topics.QUARTER_CLOSES, added(tables.closes, close_row)),
        Subscription(topics.PAYOUTS, added(tables.payouts, payout_row)),
        Subscription(topics.PREFERENCES, preferences.project),
    )


def _anew(table: Table) -> Callable[[Connection], None]:
    """Lets the records of a topic that was made anew be newer than the rows, which stand until then."""

    def forget_offsets(connection: Connection) -> None:
        connection.execute(update(table).values(source_offset=-1))

    return forget_offsets


def _settled_anew(connection: Connection) -> None:
    own = tables.sale_lines.c.source_offset < -1
    connection.execute(update(tables.sale_lines).where(own).values(source_offset=SETTLED - 1))


def partner_row(event: Partner) -> Row:
    """What the pages need of a partner. His address for mail is not among it."""
    return _picked(event, tables.partners)


def tally_row(event: Tally) -> Row:
    return _picked(event, tables.tallies)


def line_row(event: SaleLine) -> Row:
    day = event.sold_on or (event.returns[0].returned_on if event.returns else None)
    return _picked(event, tables.sale_lines) | {
        "quarter": event.quarter or (str(Quarter.of(day)) if day else ""),
        "listed_on": day or date.min,
        "serial_numbers": "\n".join(_plain(serial) for serial in event.serial_numbers),
        "returns": [
            {
                "return_id": _plain(back.return_id),
                "quantity": back.quantity,
                "returned_on": back.returned_on.isoformat(),
                "recorded_at": back.recorded_at.isoformat(),
                "reason": back.reason,
            }
            for back in event.returns
        ],
        "conflicts": len(event.conflicts),
    }


def tier_change_row(event: TierChanged) -> Row:
    return _picked(event, tables.tier_changes)


def close_row(event: QuarterClosed) -> Row:
    return _picked(event, tables.closes)


def payout_row(event: PayoutStatusChanged) -> Row:
    return _picked(event, tables.payouts)


def _picked(event: Event, table: Table) -> Row:
    """The event's fields that the table has columns for."""
    found = ((column.name, getattr(event, column.name, None)) for column in table.columns)
    return {name: _plain(value) if isinstance(value, str) else value for name, value in found}


def _plain(text: str) -> str:
    # PostgreSQL keeps no NUL in a text, and what a reporter writes must not stop the reading.
    return str(text).replace("\0", "\N{REPLACEMENT CHARACTER}")


def _tally_key(key: str) -> Row:
    programme_id, partner_id, quarter = key.split("/", 2)
    return {"programme_id": programme_id, "partner_id": partner_id, "quarter": quarter}


def _line_key(key: str) -> Row:
    partner_id, sale_id = key.split("/", 1)
    return {"partner_id": partner_id, "sale_id": sale_id}


def _sorted_out(
    received: Sequence[Received], row_of: Callable[[Any], Row], key_of: Callable[[str], Row], first_offset: int
) -> tuple[list[Row], list[Row]]:
    """The rows to put and those to remove: of each key only the latest, as PostgreSQL changes a row once a statement.

    The lists are in the order of their keys, so that two readers at once lock rows in the same order.
    """
    rows: list[Row] = []
    gone: list[Row] = []
    for key, record in sorted({record.key: record for record in received if not record.moved}.items()):
        offset = {"source_offset": first_offset + record.offset}
        if record.event is not None:
            rows.append(row_of(record.event) | offset)
        else:
            gone.append(key_of(key) | offset)
    return rows, gone


def _shut_out(connection: Connection, partner_ids: Sequence[str]) -> None:
    """Nobody comes in for a partner who was erased. One who was registered anew meanwhile is there."""
    known = tables.partners.c.partner_id
    there = set(connection.scalars(select(known).where(known.in_(partner_ids))))
    contacts.forget_all(connection, [partner_id for partner_id in partner_ids if partner_id not in there])


def _put(connection: Connection, table: Table, rows: list[Row]) -> None:
    if not rows:
        return
    statement = upsert(table, connection.engine)
    keys = [column.name for column in table.primary_key]
    changed = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    newer = statement.excluded.source_offset > table.c.source_offset
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed, where=newer), rows)


def _remove(connection: Connection, table: Table, gone: list[Row]) -> None:
    if not gone:
        return
    same = (column == bindparam(f"old_{column.name}") for column in table.primary_key)
    statement = delete(table).where(and_(*same, table.c.source_offset < bindparam("old_source_offset")))
    connection.execute(statement, [{f"old_{name}": value for name, value in row.items()} for row in gone])


def _index_serials(connection: Connection, rows: list[Row]) -> None:
    table = tables.open_serials
    of_sale = and_(table.c.partner_id == bindparam("old_partner_id"), table.c.sale_id == bindparam("old_sale_id"))
    lines = [{"old_partner_id": row["partner_id"], "old_sale_id": row["sale_id"]} for row in rows]
    if lines:
        connection.execute(delete(table).where(of_sale), lines)
    serials = [
        {"partner_id": row["partner_id"], "sale_id": row["sale_id"], "serial_number": serial}
        for row in rows
        if row.get("status") in (LineStatus.COUNTED, LineStatus.PENDING)
        for serial in sorted(set(row["serial_numbers"].split("\n")) - {""})
    ]
    if serials:
        connection.execute(insert(table), serials)
