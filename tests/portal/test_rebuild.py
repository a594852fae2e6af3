"""The read model made anew from the topics: the same row by row, and put in place where it was not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import Engine, delete, insert, select, update

from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded, Settings
from schemas.codec import Codec, ConfluentRegistry
from schemas.events import PayoutStatus
from services.kit.links import Invitation
from services.portal import tables
from services.portal.auth import Sessions
from services.portal.queries import open_database
from services.portal.rebuild import PROJECTED, Anew, differences, put_in_place
from streams.rules.terms import Programme
from tests.cli.calling import call
from tests.portal.conftest import HandClock
from tests.portal.feeding import NOON, a_line, a_partner, a_payout, a_tally, a_tier_change
from tests.portal.test_process import on_sqlite, placed, ready, write

__all__ = ["on_sqlite", "placed"]


@contextmanager
def anew(settings: Settings, folder: Path) -> Iterator[Anew]:
    codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)
    made = Anew(settings, open_clock(settings), codec, folder)
    try:
        made.read(lambda _: None)
        yield made
    finally:
        made.close()


def everything(engine: Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        return {
            table.name: sorted([str(_plain(value)) for value in row] for row in connection.execute(select(table)))
            for table in PROJECTED
        }


def _plain(value: Any) -> Any:
    """An instant reads the same from every database."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def tell(settings: Settings, programme: Programme) -> None:
    write(settings, [a_partner("P1"), a_partner("p2"), a_partner("Q.4")])
    write(settings, [a_line("P1", f"S-{n}", 1, serial_numbers=(f"N{n}",)) for n in range(30)])
    write(settings, [a_line("P1", "s-1", 2), a_line("p2", "S-1", 5), a_line("P1", "S-1", 0, status="returned")])
    write(
        settings, [a_tally(programme, "P1", 31), a_tally(programme, "p2", 5), a_tier_change(programme, "P1", 1, 0, 31)]
    )
    write(settings, [a_payout("P1", 1, 1, PayoutStatus.PAYABLE, 48000)])


def test_made_anew_it_is_the_same_and_what_was_changed_by_hand_is_found_and_put_right(
    placed: Loaded, programme: Programme, tmp_path: Path
) -> None:
    settings = placed.settings
    tell(settings, programme)
    with ready(placed):
        pass
    used = open_database(settings)
    sessions = Sessions(used, HandClock(NOON))
    with used.begin() as connection:
        session = sessions.open(connection, Invitation("partner", "P1"))
    before = everything(used)
    with anew(settings, tmp_path) as made:
        assert everything(made.engine) == before
        assert differences(made, used, lambda _: None) == []
        with used.begin() as connection:
            lines = tables.sale_lines
            connection.execute(update(lines).where(lines.c.sale_id == "S-7").values(units=99))
            connection.execute(delete(lines).where(lines.c.sale_id == "s-1"))
            connection.execute(
                insert(tables.partners).values(
                    partner_id="X", name="X", language="de", country="DE", registered_on=NOON.date(), source_offset=1
                )
            )
        found = [str(difference) for difference in differences(made, used, lambda _: None)]
        assert sorted(found) == [
            "partners X: nobody ever said so",
            "sale_lines P1/S-7: units is 99, should be 1",
            "sale_lines P1/s-1: missing",
        ]
        put_in_place(made.engine, used)
        assert everything(used) == before
        assert sessions.find_all([session])
    used.dispose()
    # And reading goes on behind what was put in place.
    write(settings, [a_line("p2", "S-later", 3)])
    with ready(placed):
        pass
    used = open_database(settings)
    assert len(everything(used)["sale_lines"]) == len(before["sale_lines"]) + 1
    used.dispose()


def test_the_commands_say_what_they_found_and_rebuild_refuses_beside_a_portal(
    on_sqlite: Loaded, programme: Programme, tmp_path: Path
) -> None:
    settings = on_sqlite.settings
    tell(settings, programme)
    with ready(on_sqlite):
        assert "no differences" in call(on_sqlite, "read-model", "check").out
        refused = call(on_sqlite, "read-model", "rebuild")
        assert refused.code != 0
        assert "the portal runs" in refused.err
    used = open_database(settings)
    before = everything(used)
    with used.begin() as connection:
        connection.execute(delete(tables.tallies))
    used.dispose()
    found = call(on_sqlite, "read-model", "check")
    assert found.code == Exit.DIFFERS
    assert "tallies p2/topseller/2026Q4: missing" in found.out
    assert call(on_sqlite, "read-model", "rebuild").code == 0
    used = open_database(settings)
    assert everything(used) == before
    used.dispose()
    folder = tmp_path / "parquet"
    assert call(on_sqlite, "read-model", "export", "--out", str(folder)).code == 0
    lines = pq.read_table(folder / "sale_lines.parquet").to_pylist()
    assert len(lines) == 32
    assert {line["sale_id"]: line["units"] for line in lines}["S-2"] == 1
    assert pq.read_table(folder / "closes.parquet").num_rows == 0
