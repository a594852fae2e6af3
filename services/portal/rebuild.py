"""The read model made anew from the topics, held against the one in use, and put in its place.

What the portal itself is the source of (sessions, choices, tokens, the record of who did what) is no read model: it is
neither compared nor touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, Table, Text, collate, delete, insert, select, union

from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings
from schemas.codec import Codec
from services.kit.consumer import Reader
from services.kit.database import open_engine, reading
from services.portal import tables
from services.portal.counted import count_change
from services.portal.projector import subscriptions
from services.portal.tables import MIGRATIONS, metadata

PROJECTED = (
    tables.partners,
    tables.tallies,
    tables.sale_lines,
    tables.open_serials,
    tables.tier_changes,
    tables.closes,
    tables.payouts,
)
_READING = ("offsets", "inbox", "quarantine")
_CHUNK = 2000
Progress = Callable[[int], None]


class Difference(NamedTuple):
    """A row that is not what the topics say: as it is in use and as it was made anew, None where it is not."""

    table: str
    key: tuple[Any, ...]
    used: tuple[Any, ...] | None
    made: tuple[Any, ...] | None

    def __str__(self) -> str:
        where = f"{self.table} {'/'.join(map(str, self.key))}"
        if self.used is None:
            return f"{where}: missing"
        if self.made is None:
            return f"{where}: nobody ever said so"
        columns = [column.name for column in metadata.tables[self.table].columns]
        wrong = [
            f"{name} is {used!r}, should be {made!r}"
            for name, used, made in zip(columns, self.used, self.made, strict=True)
            if used != made
        ]
        return f"{where}: {'; '.join(wrong)}"


class Anew:
    """A read model of its own in a folder, fed from the topics' beginning. Close it, and the folder may go."""

    def __init__(self, settings: Settings, clock: Clock, codec: Codec, folder: Path) -> None:
        self.engine = open_engine(f"sqlite:///{folder / 'anew.db'}", MIGRATIONS)
        self._reader = Reader(settings, clock, codec, self.engine, metadata, subscriptions(lambda _: None))

    def read(self, progress: Progress) -> None:
        """Read to where the topics end now."""
        done = 0
        while True:
            done += self._reader.step()
            progress(done)
            if self._reader.caught_up:
                return

    def ahead_of(self, used: Engine) -> int:
        """How many records the model in use has still to read to be where this one is."""
        offsets = metadata.tables["offsets"]
        with reading(used).connect() as connection:
            places = {(row.topic, row.partition): row.next_offset for row in connection.execute(select(offsets))}
        return sum(max(0, offset - places.get(place, 0)) for place, offset in self._reader.positions.items())

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()
        self.engine.dispose()


def differences(anew: Anew, used: Engine, progress: Progress) -> list[Difference]:
    """Where the model in use differs. A row that is just being written differs once and is left out."""
    found = _compare(anew.engine, used)
    while found:
        anew.read(progress)
        again = _compare(anew.engine, used)
        still = set(found) & set(again)
        if len(still) == len(found):
            return [difference for difference in again if difference in still]
        found = [difference for difference in again if difference in still]
    return []


def put_in_place(anew: Engine, used: Engine) -> int:
    """Make the model in use what the new one is, reading positions included, in one transaction. Answers the rows.

    Nobody may read topics into it meanwhile.
    """
    copied = 0
    with reading(anew).connect() as source, used.begin() as connection:
        known = _partners(connection) | _partners(source)
        for table in (*PROJECTED, *(metadata.tables[name] for name in _READING)):
            connection.execute(delete(table))
            rows = iter(source.execute(select(table).execution_options(yield_per=_CHUNK)))
            while chunk := [dict(row._mapping) for row in islice(rows, _CHUNK)]:
                connection.execute(insert(table), chunk)
                copied += len(chunk)
        count_change(connection, known)
    return copied


def _partners(connection: Connection) -> set[str]:
    """All whom the read model speaks of."""
    return set(connection.scalars(union(*(select(table.c.partner_id) for table in PROJECTED))))


def _compare(anew: Engine, used: Engine) -> list[Difference]:
    with reading(anew).connect() as made, reading(used).connect() as live:
        return [difference for table in PROJECTED for difference in _of_table(table, live, made)]


def _of_table(table: Table, live: Connection, made: Connection) -> Iterator[Difference]:
    """Both sides walked in the order of their keys."""
    width = len(list(table.primary_key))
    used_rows, made_rows = _walk(table, live), _walk(table, made)
    used, new = next(used_rows, None), next(made_rows, None)
    while used is not None or new is not None:
        used_key = used[0] if used is not None else None
        new_key = new[0] if new is not None else None
        assert width == len(used_key or new_key or ())
        if new_key is None or (used_key is not None and used_key < new_key):
            yield Difference(table.name, used_key or (), used[1] if used else None, None)
            used = next(used_rows, None)
        elif used_key is None or new_key < used_key:
            yield Difference(table.name, new_key, None, new[1] if new else None)
            new = next(made_rows, None)
        else:
            if used is not None and new is not None and used[1] != new[1] and not _was_there_before(table, used, new):
                yield Difference(table.name, used_key, used[1], new[1])
            used, new = next(used_rows, None), next(made_rows, None)


def _was_there_before(table: Table, used: tuple[Any, ...], new: tuple[Any, ...]) -> bool:
    """Whether rows differ in one thing: the model in use knows a line since before it went to ``settled-lines``."""
    if table is not tables.sale_lines:
        return False
    at = list(table.columns).index(table.c.source_offset)
    return bool(new[1][at] < -1 and (*used[1][:at], new[1][at], *used[1][at + 1 :]) == new[1])


def _walk(table: Table, connection: Connection) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    keys = list(table.primary_key)
    bytewise = "C" if connection.dialect.name == "postgresql" else "BINARY"
    order = [collate(key, bytewise) if isinstance(key.type, Text) else key for key in keys]
    places = [list(table.columns).index(key) for key in keys]
    query = select(table).order_by(*order).execution_options(yield_per=_CHUNK)
    for row in connection.execute(query):
        values = tuple(_plain(value) for value in row)
        yield tuple(values[place] for place in places), values


def _plain(value: Any) -> Any:
    """JSON columns come as lists of dicts, which can't be held in a set."""
    return repr(value) if isinstance(value, list) else value


def rows_of(connection: Connection, table: Table) -> Iterator[Sequence[Row[Any]]]:
    """All rows of a table, in chunks."""
    result = iter(connection.execute(select(table).execution_options(yield_per=_CHUNK)))
    while chunk := list(islice(result, _CHUNK)):
        yield chunk
