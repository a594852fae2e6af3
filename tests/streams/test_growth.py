"""What does not grow for ever: lines of settled quarters leave memory and topic, partners who left leave, too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from deploy.audit.verify import look
from deploy.rebuild.reading import open_codec
from deploy.rebuild.rebuild import Rebuild
from deploy.runtime.clock import Segment, advance, clock_file, open_clock, write_segments
from deploy.runtime.settings import Settings
from schemas.events import SaleLine, SaleReported, SaleReturned
from schemas.topics import PARTNERS, QUARTER_CLOSES, SALE_LINES, SETTLED_LINES, SETTLED_SALES, TALLIES
from schemas.values import partition_of
from services.intake.byhand import line_of
from services.portal.rebuild import Anew, differences
from tests.rebuild.scene import lose, said
from tests.rebuild.test_readers import Readers
from tests.streams.harness import NOW, Wire, Worker, a_partner, a_sale, working
from tests.streams.test_compaction import compact_at_once
from tests.waiting import until

START = datetime(2026, 12, 20, 12, tzinfo=UTC)
LATER = datetime(2027, 8, 1, tzinfo=UTC)
SOLD = {f"A{n}" for n in range(10)}


def a_later_sale(sale_id: str, partner_id: str) -> SaleReported:
    return SaleReported(sale_id, partner_id, "TS-100", 1, date(2027, 7, 5), NOW)


@pytest.fixture
def wire(settings: Settings) -> Wire:
    """A quarter in which P1 and Gone sold, and Nobody, who is not registered. Then Gone is forgotten."""
    real = datetime.now(UTC).timestamp()  # noqa: TID251 - the test's own clock begins at real time
    write_segments(clock_file(settings), (Segment(real - 5, START.timestamp(), 1.0),))
    wire = Wire(settings)
    wire.send(a_partner("P1"), a_partner("Gone"), *(a_sale(sale_id, "P1", 5) for sale_id in sorted(SOLD)))
    wire.send(a_sale("G", "Gone", 12), a_sale("W", "Nobody", 7))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P1": 50, "Gone": 12, "Nobody": 0}, what="all counted")
        advance(settings, to=datetime(2027, 2, 1, tzinfo=UTC))
        until(lambda: len(wire.messages(QUARTER_CLOSES)) == 4, what="the closes")
        wire.raw(PARTNERS, b"Gone", None, partition=partition_of(b"Gone", settings.partitions))
        wire.flush()
    return wire


def live(wire: Wire) -> set[str]:
    """The sales whose lines are in the stream's state."""
    found = {message.key().decode().partition("/")[2]: message.value() for message in wire.messages(SALE_LINES)}
    return {sale_id for sale_id, value in found.items() if value is not None}


def moved(wire: Wire) -> dict[str, SaleLine]:
    """Those that have left it."""
    lines = [record.event for record in wire.written(SETTLED_LINES)]
    return {line.sale_id: line for line in lines if isinstance(line, SaleLine)}


def test_lines_of_a_settled_quarter_leave_and_their_sales_never_count_again(settings: Settings, wire: Wire) -> None:
    standings = wire.tallies()
    advance(settings, to=LATER)
    with working(settings) as worker:
        until(lambda: live(wire) == set(), what="lines leave, though nobody reports anything")
        assert worker.metric("rebate_lines_settled_total") == 12
        assert {sale_id: line.units for sale_id, line in moved(wire).items()} == {
            **dict.fromkeys(SOLD, 5),
            "G": 12,
            "W": 0,
        }
        _report_late(wire, worker)
        assert worker.metric("rebate_unaccounted_records") == 0
    with working(settings) as worker:
        _report_late(wire, worker)
    for key, tally in standings.items():
        assert wire.tallies()[key].units == tally.units
        assert wire.tallies()[key].rejected == tally.rejected
    assert _units(wire, "P1", "2027Q3") == 1
    _is_sound(settings)


def test_who_was_forgotten_comes_back_as_he_was(settings: Settings, wire: Wire) -> None:
    advance(settings, to=LATER)
    with working(settings):
        until(lambda: live(wire) == set(), what="lines leave")
        before = wire.tallies()["Gone", "2026Q4"]
        wire.send(a_sale("unknown", "Gone", 3), a_sale("G", "Gone", 12))
        wire.flush()
        until(lambda: wire.tallies()["Gone", "2026Q4"].rejected == 1, what="a late sale that nobody knew")
        after = wire.tallies()["Gone", "2026Q4"]
        assert (after.units, after.revision, after.payable_minor) == (12, before.revision, before.payable_minor)
        wire.send(a_partner("Gone"), a_later_sale("H", "Gone"))
        wire.flush()
        until(lambda: _units(wire, "Gone", "2027Q3") == 1, what="a new sale of his")
    assert len([m for m in wire.messages(QUARTER_CLOSES) if m.key() == b"Gone"]) == 2
    _is_sound(settings)


def test_compaction_takes_what_has_left_and_nobody_misses_it(settings: Settings, wire: Wire, tmp_path: Path) -> None:
    readers = Readers(settings, tmp_path / "used")
    before = readers.read()
    compact_at_once(settings, (SALE_LINES, TALLIES, SETTLED_SALES))
    advance(settings, to=LATER)
    with working(settings):
        until(lambda: live(wire) == set(), what="lines leave")
        sold = iter(range(10_000))

        def gone() -> bool:
            wire.send(a_later_sale(f"N{next(sold)}", "P1"), a_later_sale(f"N{next(sold)}", "Nobody"))
            wire.flush()
            keys = {message.key().decode().partition("/")[2] for message in wire.messages(SALE_LINES)}
            return not keys & (SOLD | {"G", "W"})

        until(gone, 180, "compaction takes lines and tombstones")
    with working(settings) as worker:
        _report_late(wire, worker)
    line = line_of(settings, "P1", "A0")
    assert line is not None
    assert line.units == 5
    _is_sound(settings)
    used, new = readers.read(), Readers(settings, tmp_path / "new").read()
    for name in ("portal sale_lines", "payout lines"):
        assert [row for row in used[name] if row["quarter"] == "2026Q4"] == before[name]
        assert new[name] == used[name]
    made = Anew(settings, open_clock(settings), open_codec(settings), tmp_path)
    made.read(lambda _: None)
    assert differences(made, readers.portal, lambda _: None) == []
    made.close()


def test_what_is_left_of_settled_sales_is_made_anew(settings: Settings, wire: Wire) -> None:
    advance(settings, to=LATER)
    with working(settings):
        until(lambda: live(wire) == set(), what="lines leave")
    expected = moved(wire)
    for lost in ((SETTLED_SALES,), (SETTLED_LINES,)):
        lose(settings, *lost)
        assert said(Rebuild(settings).look())
        said(Rebuild(settings).swap())
        assert said(Rebuild(settings).look()) == []
        assert (live(wire), moved(wire)) == (set(), expected)
    lose(settings, SETTLED_SALES, SETTLED_LINES)
    said(Rebuild(settings).swap())
    assert len(live(wire)) == 12  # nobody knows any more that they had left
    with working(settings) as worker:
        until(lambda: live(wire) == set(), what="they leave again")
        assert moved(wire) == expected
        _report_late(wire, worker)
    assert said(Rebuild(settings).look()) == []


def _report_late(wire: Wire, worker: Worker) -> None:
    """The same again, otherwise, with a later day, a return, and the registration that a sale had waited for."""
    wire.send(a_sale("A0", "P1", 5), a_later_sale("A1", "P1"), a_sale("G", "Gone", 1), a_partner("Nobody"))
    wire.send(SaleReturned("R1", "A2", "P1", "TS-100", 5, date(2027, 6, 1), NOW), a_sale("W", "Nobody", 7))
    wire.send(a_later_sale("N", "P1"))
    wire.flush()
    _until_metric(worker, "rebate_sales_events_total", lambda number: number >= 6)
    assert live(wire) <= {"N"} | {f"N{n}" for n in range(10_000)}


def _until_metric(worker: Worker, name: str, enough: Callable[[float], bool]) -> None:
    until(lambda: enough(worker.metric(name)), what=name)


def _units(wire: Wire, partner_id: str, quarter: str) -> int | None:
    tally = wire.tallies().get((partner_id, quarter))
    return tally.units if tally else None


def _is_sound(settings: Settings) -> None:
    """By the auditor's recount, and by the rebuild's."""
    assert look(settings).differences == ()
    assert said(Rebuild(settings).look()) == []
