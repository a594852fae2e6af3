"""A standing says what its lines come to, and when it was last touched."""

from __future__ import annotations

from datetime import date, timedelta

from schemas.events import Tally
from tests.rules.facts import NOON, Bench, a_partner, a_return, a_sale


def standing(bench: Bench) -> Tally:
    found = bench.state.tally("P1", "2026Q4")
    assert found is not None
    return found


def test_a_standing_says_tier_rate_and_rebate_of_its_units() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=26))
    assert (standing(bench).tier, standing(bench).rate_minor, standing(bench).rebate_minor) == (25, 1000, 26_000)
    bench.feed(a_return(units=17))
    assert (standing(bench).tier, standing(bench).rate_minor, standing(bench).rebate_minor) == (0, 0, 0)


def test_a_standing_counts_its_lines_by_verdict() -> None:
    sales = (a_sale("A"), a_sale("B"), a_sale("C", product_id="XX-1"), a_sale("D"), a_return("D"))
    bench = Bench().feed(a_partner(), *sales)
    found = standing(bench)
    assert (found.counted, found.pending, found.rejected, found.returned) == (2, 0, 1, 1)


def test_a_standing_knows_when_the_latest_report_of_it_was_recorded() -> None:
    bench = Bench().feed(a_partner(), a_sale("A"), recorded_at=NOON)
    assert standing(bench).as_of == NOON
    later = NOON + timedelta(hours=3)
    bench.feed(a_sale("B", product_id="XX-1"), recorded_at=later)
    assert standing(bench).as_of == later
    bench.feed(a_sale("C", on=date(2026, 9, 30)), recorded_at=later + timedelta(hours=1))
    assert standing(bench).as_of == later, "another quarter's sale"
