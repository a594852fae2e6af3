"""``verify`` finds nothing where all is well, and what is wrong where it is not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec

from deploy.audit.verify import look
from deploy.runtime.clock import Segment, advance, clock_file, write_segments
from deploy.runtime.settings import Loaded, Settings
from schemas.codec import headers_for
from schemas.events import QuarterClosed, SaleReturned
from schemas.topics import QUARTER_CLOSES, SALES, TALLIES
from schemas.values import partition_of, tally_key
from tests.cli.calling import call
from tests.streams.harness import NOW, Wire, Worker, a_partner, a_sale, working
from tests.waiting import until


def test_a_sound_stream_has_no_differences_and_a_touched_tally_is_named(loaded: Loaded) -> None:
    settings, wire = loaded.settings, Wire(loaded.settings)
    wire.send(*(a_partner(f"P{n}") for n in range(5)))
    wire.send(*(a_sale(f"A{n}", f"P{n % 6}", n % 4) for n in range(60)))  # with nothing sold, and a stranger
    wire.send(*(a_sale(f"A{n}", f"P{n % 6}", n % 4) for n in range(30)), a_sale("A1", "P1", 7))  # again, and otherwise
    wire.send(SaleReturned("R1", "A3", "P3", "TS-100", 2, date(2026, 11, 5), NOW))
    wire.raw(SALES, b"P1", b"poison")
    wire.raw(SALES, b"else", wire.codec.encode(SALES, a_sale("B", "P2", 5)), partition=1 - partition_of(b"P2", 2))
    wire.flush()
    with working(settings) as worker:
        until(lambda: _settled(worker, settings), what="all applied")
    found = look(settings)
    assert (found.differences, found.compared, found.moving, found.forgotten) == ((), 6, 0, 0)
    assert found.reports == 93
    said = call(loaded, "verify", "--json")
    assert (said.code, said.object["differences"]) == (0, [])

    tally = wire.tallies()["P2", "2026Q4"]
    _publish(wire, msgspec.structs.replace(tally, units=tally.units + 1))
    said = call(loaded, "verify")
    assert said.code == 5
    assert f"P2 2026Q4: published {tally.units + 1} units" in said.out
    assert said.out.count("2026Q4") == 1


def test_what_the_closes_make_payable_is_held_against_the_reports(settings: Settings) -> None:
    start = datetime(2026, 12, 20, 12, tzinfo=UTC)
    real = datetime.now(UTC).timestamp()  # noqa: TID251 - the test's own clock begins at real time
    write_segments(clock_file(settings), (Segment(real - 5, start.timestamp(), 1.0),))
    wire = Wire(settings)
    wire.send(a_partner("P1"), a_partner("P2"), a_sale("A", "P1", 50), a_sale("B", "P2", 9))
    wire.flush()
    with working(settings):
        until(lambda: len(wire.units()) == 2, what="both counted")
        advance(settings, by=timedelta(days=45))
        until(lambda: len(wire.messages(QUARTER_CLOSES)) == 4, what="provisional and final")
    assert look(settings).differences == ()

    close = next(r.event for r in wire.written(QUARTER_CLOSES) if getattr(r.event, "payable_minor", 0))
    assert isinstance(close, QuarterClosed)
    wire.raw(QUARTER_CLOSES, b"P1", wire.codec.encode(QUARTER_CLOSES, close), headers=_headers(close))
    wire.flush()
    assert look(settings).differences == (
        "P1 2026Q4: closes make 150000 cents payable, the tally says 75000",
        "P1 2026Q4: closes make 150000 cents payable, the sales reported earn 75000",
    )


def _settled(worker: Worker, settings: Settings) -> bool:
    return worker.metric("rebate_unaccounted_records") == 0 and look(settings).reports == 93


def _publish(wire: Wire, tally: object) -> None:
    where = partition_of(tally.partner_id.encode(), 2)  # type: ignore[attr-defined]
    key = tally_key(tally.programme_id, tally.partner_id, tally.quarter)  # type: ignore[attr-defined]
    wire.raw(TALLIES, key.encode(), wire.codec.encode(TALLIES, tally), partition=where)  # type: ignore[arg-type]
    wire.flush()


def _headers(close: QuarterClosed) -> object:
    return headers_for(close, source="/tests", time=NOW, subject=close.partner_id)
