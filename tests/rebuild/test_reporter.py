"""Lines of before it was kept who reported a sale are as good as they were."""

from __future__ import annotations

from msgspec.structs import replace

from deploy.rebuild.compare import Comparison, Live
from schemas.values import line_key, tally_key
from tests.rules.facts import NOON, Bench, a_partner, a_sale


def test_a_line_without_its_reporter_is_no_difference_and_another_reporter_is_one() -> None:
    bench = Bench().feed(a_partner(), a_sale(reported_by="distributor"))
    line, key = bench.state.line("P1", "S1"), line_key("P1", "S1")
    assert line is not None
    tallies = {tally_key(t.programme_id, t.partner_id, t.quarter): t for t in bench.state.tallies()}
    comparison = Comparison(bench.programme, {"P1": a_partner()}, {"P1": NOON}, {}, {}, NOON, NOON)
    found = {
        said: comparison.compare(
            Live({key: replace(line, reported_by=said)}, {}, {}, dict(tallies)), {key: line}, lambda a, b: a == b
        )
        for said in ("", "somebody")
    }
    assert not found[""].lines
    assert found["somebody"].lines == {key: line}
