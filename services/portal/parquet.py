"""The read model as Parquet files, for the vendor's own analyses."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import JSON, BigInteger, Boolean, Date, Engine, Integer, Table
from sqlalchemy.types import TypeEngine

from services.kit.database import Instant
from services.portal.queries import snapshot
from services.portal.rebuild import PROJECTED, rows_of

_ROW_GROUP = 100_000


def export(engine: Engine, folder: Path) -> dict[str, int]:
    """Write a file for each table, all of one moment; answers how many rows each has. Files of that name are replaced.

    Partners' names are in it, as they are in the read model; addresses and bank details are not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    with snapshot(engine) as connection:
        for table in PROJECTED:
            schema = _schema(table)
            path = folder / f"{table.name}.parquet"
            unfinished = path.with_suffix(".parquet.part")
            counts[table.name] = 0
            with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
                for rows in rows_of(connection, table):
                    listed = [dict(row._mapping) for row in rows]
                    writer.write_table(pa.Table.from_pylist(listed, schema), _ROW_GROUP)
                    counts[table.name] += len(rows)
            unfinished.replace(path)
    return counts


def _schema(table: Table) -> pa.Schema:
    return pa.schema([pa.field(c.name, _kind(c.type), nullable=bool(c.nullable)) for c in table.columns])


def _kind(kind: TypeEngine[object]) -> pa.DataType:
    if isinstance(kind, Instant):
        return pa.timestamp("ms", tz="UTC")
    if isinstance(kind, Date):
        return pa.date32()
    if isinstance(kind, Boolean):
        return pa.bool_()
    if isinstance(kind, (BigInteger, Integer)):
        return pa.int64()
    if isinstance(kind, JSON):
        return _RETURNS
    return pa.string()


_RETURNS = pa.list_(
    pa.struct(
        [
            pa.field("return_id", pa.string()),
            pa.field("quantity", pa.int64()),
            pa.field("returned_on", pa.string()),
            pa.field("recorded_at", pa.string()),
            pa.field("reason", pa.string()),
        ]
    )
)
"""The one column of JSON: the returns of a sale."""
