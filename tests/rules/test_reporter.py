"""Who reported a sale: whoever made the report that stands, in whatever order reports come."""

from __future__ import annotations

from itertools import permutations

from schemas.events import SaleReported, content_hash
from tests.rules.facts import Bench, a_partner, a_return, a_sale


def reporter(*events: object) -> str:
    line = Bench().feed(a_partner(), *events).state.line("P1", "S1")  # type: ignore[arg-type]
    assert line is not None
    return line.reported_by


def in_any_order(*events: SaleReported) -> set[str]:
    return {reporter(*order) for order in permutations(events)}


def test_the_report_that_stands_says_who_reported_the_sale() -> None:
    first, later = a_sale(reported_by="distributor"), a_sale(reported_by="partner", minute=1)
    otherwise = a_sale(units=2, reported_by="somebody", minute=2)
    assert in_any_order(first, later, otherwise) == {"distributor"}


def test_of_two_who_say_the_same_at_the_same_instant_the_order_decides_nothing() -> None:
    assert in_any_order(a_sale(reported_by="b"), a_sale(reported_by="a"), a_sale(reported_by="c")) == {"a"}


def test_a_return_does_not_say_who_reported_the_sale() -> None:
    assert reporter(a_return()) == ""
    assert reporter(a_return(), a_sale(reported_by="distributor")) == "distributor"
    assert reporter(a_sale(reported_by="distributor"), a_return()) == "distributor"


def test_who_reported_it_is_no_part_of_what_is_said() -> None:
    assert content_hash(a_sale(reported_by="a")) == content_hash(a_sale(reported_by="b"))
    bench = Bench().feed(a_partner(), a_sale(units=5, reported_by="b"), a_sale(units=5, reported_by="a", minute=1))
    line = bench.state.line("P1", "S1")
    assert line is not None
    assert (line.units, line.conflicts) == (5, ())
