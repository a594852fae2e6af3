"""What comes past the horizon changes nothing, and neither the rebuild nor the audit wants it to."""

from __future__ import annotations

from datetime import UTC, date, datetime

from deploy.audit.verify import look
from deploy.rebuild.rebuild import Rebuild
from deploy.runtime.clock import Segment, advance, clock_file, write_segments
from deploy.runtime.settings import Settings
from schemas.events import SaleReported, SaleReturned
from schemas.topics import QUARTER_CLOSES
from tests.streams.harness import NOW, Wire, a_partner, a_sale, working
from tests.waiting import until

START = datetime(2026, 12, 20, 12, tzinfo=UTC)


def test_reports_and_registrations_past_the_horizon_change_no_sale_that_is_known(settings: Settings) -> None:
    real = datetime.now(UTC).timestamp()  # noqa: TID251 - the test's own clock begins at real time
    write_segments(clock_file(settings), (Segment(real - 5, START.timestamp(), 1.0),))
    wire = Wire(settings)
    wire.send(a_partner("P1"), *(a_sale(f"A{n}", "P1", 5) for n in range(10)), a_sale("W", "P2", 7))
    wire.flush()
    with working(settings) as worker:
        until(lambda: wire.units().get("P1") == 50, what="all counted")
        advance(settings, to=datetime(2027, 8, 1, tzinfo=UTC))
        until(lambda: len(wire.messages(QUARTER_CLOSES)) >= 2, what="the closes")
        wire.send(SaleReported("A1", "P1", "TS-100", 1, date(2027, 7, 5), NOW.replace(year=2025)), a_partner("P2"))
        wire.send(SaleReturned("R1", "A2", "P1", "TS-100", 5, date(2027, 6, 1), NOW), a_sale("W", "P2", 7))
        wire.send(*(SaleReported("N", who, "TS-100", 1, date(2027, 7, 5), NOW) for who in ("P1", "P2")))
        wire.flush()
        until(lambda: worker.metric("rebate_sales_events_total") == 16, what="the late reports")
        until(lambda: (tally := wire.tallies().get(("P2", "2027Q3"))) and tally.units == 1, what="the registration")
    assert {who: wire.tallies()[who, "2026Q4"].units for who in ("P1", "P2")} == {"P1": 50, "P2": 0}
    assert [difference for part in Rebuild(settings).look() for difference in part.differences] == []
    assert look(settings).differences == ()
