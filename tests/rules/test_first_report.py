"""The ordinary case is judged at one go, and comes to what the general way comes to."""

from __future__ import annotations

from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Partner, SaleReported
from streams.rules.lines import first_report, judged, with_sale
from tests.rules.facts import a_partner, programme
from tests.rules.test_any_order import moments, sales

PROGRAMME = programme()
partners = st.none() | st.builds(
    a_partner,
    st.just("P1"),
    country=st.sampled_from(["DE", "US"]),
    left_on=st.sampled_from([None, date(2026, 11, 5), date(2026, 10, 1)]),
)


@settings(max_examples=300, deadline=None)
@given(sales, moments, partners)
def test_a_first_report_comes_to_the_same_line_at_one_go(sale: SaleReported, at, partner: Partner | None) -> None:  # type: ignore[no-untyped-def]
    at_one_go = first_report(sale, at, 7, partner, PROGRAMME)
    assert at_one_go == judged(with_sale(None, sale, at, 7), partner, PROGRAMME)
