"""Portal and payout read on through a rebuild and end with the rows that a reader of all topics would have."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, Table, select

from deploy.rebuild.reading import open_codec
from deploy.runtime.clock import open_clock
from deploy.runtime.settings import Settings
from schemas.topics import POSITIONS, SALE_LINES, SETTLED_LINES, TALLIES
from services.kit.consumer import Reader, Subscription
from services.kit.database import open_engine
from services.payout import lines as payout_lines
from services.payout import tables as payout
from services.payout.database import open_database
from services.portal import tables as portal
from services.portal.projector import subscriptions
from tests.rebuild.scene import Scene

PORTAL = (portal.tallies, portal.sale_lines)
PAYOUT = (payout.lines,)


class Readers:
    """The portal's and payout's read models in a folder."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        folder.mkdir()
        self._settings = settings
        self.portal = open_engine(f"sqlite:///{folder / 'portal.db'}", portal.MIGRATIONS)
        self._payout = open_database(dataclasses.replace(settings, payout_db_url=f"sqlite:///{folder / 'payout.db'}"))

    def read(self) -> dict[str, list[dict[str, Any]]]:
        """Start, read to the end, stop; returns the rows, leaving out where they came from."""
        topics = (SALE_LINES, SETTLED_LINES)
        own = [Subscription(topic, payout_lines.project, payout_lines.anew) for topic in topics]
        _read(self._settings, self.portal, portal.metadata, subscriptions(lambda _: None))
        _read(self._settings, self._payout, payout.metadata, own)
        return {
            f"{service} {table.name}": _rows(engine, table)
            for service, engine, tables in (("portal", self.portal, PORTAL), ("payout", self._payout, PAYOUT))
            for table in tables
        }


def _read(settings: Settings, engine: Engine, metadata: MetaData, what: Any) -> None:
    reader = Reader(settings, open_clock(settings), open_codec(settings), engine, metadata, what)
    while not reader.caught_up:
        reader.step()
    reader.close()


def _rows(engine: Engine, table: Table) -> list[dict[str, Any]]:
    columns = [column for column in table.columns if column.name != "source_offset"]
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(select(*columns).order_by(*table.primary_key))]


def test_readers_end_with_the_right_rows_after_corruption_and_after_loss(settings: Settings, tmp_path: Path) -> None:
    scene, readers = Scene(settings), Readers(settings, tmp_path / "used")
    sound = readers.read()
    assert len(sound["portal sale_lines"]) > 15

    scene.put(scene.tally("P1"), units=1)
    scene.put(scene.line("P4", "S1"), sale_id="S1-again")
    scene.remove_line("P5", "S0")
    assert readers.read() != sound
    assert len(scene.swap()) == 3
    assert readers.read() == sound
    assert Readers(settings, tmp_path / "empty").read() == sound

    scene.lose(POSITIONS, TALLIES, SALE_LINES)
    assert readers.read() == sound  # rows stand until others come
    scene.swap()
    mended = readers.read()
    assert _plain(mended) == _plain(sound)
    assert _plain(Readers(settings, tmp_path / "new").read()) == _plain(sound)


def _plain(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Without what only says when something was applied."""
    return {name: [{k: v for k, v in row.items() if k != "as_of"} for row in table] for name, table in rows.items()}
