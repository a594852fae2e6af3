"""The page that takes a number apart: every report in one group, every group in the sum."""

from __future__ import annotations

from datetime import date

from schemas.events import CloseKind, SaleLine
from streams.rules.explain import Line, explain
from tests.portal.conftest import Site
from tests.portal.feeding import a_close, a_line, a_partner, a_return, feed
from tests.portal.test_pages import words

AUGUST, SEPTEMBER = date(2026, 8, 3), date(2026, 9, 3)


def some_lines(partner_id: str = "P1") -> list[SaleLine]:
    """49 units counted of 56 reported."""
    back = a_return(3, date(2026, 9, 20))
    return [
        a_line(partner_id, "T-1", 45, sold_on=AUGUST, product_id="TS-100"),
        a_line(partner_id, "T-2", 7, units=4, sold_on=SEPTEMBER, returns=(back,), conflicts=("ff",)),
        a_line(partner_id, "T-3", 2, units=0, status="rejected", reason="product-not-in-programme", sold_on=SEPTEMBER),
        a_line(partner_id, "T-4", 2, units=0, status="pending", reason="partner-not-registered", sold_on=SEPTEMBER),
    ]


def test_the_page_leads_from_the_reports_to_the_rebate_and_from_there_to_the_closes(site: Site) -> None:
    feed(
        site.engine,
        *some_lines(),
        a_close(site.programme, "P1", CloseKind.PROVISIONAL, 0, 47, 0, 0),
        a_close(site.programme, "P1", CloseKind.FINAL, 1, 50, 75000, 75000),
        a_close(site.programme, "P1", CloseKind.ADJUSTMENT, 2, 49, -26000, 49000),
    )
    said = words(site.signed_in("P1").get("/why?quarter=2026Q3").text)
    assert "Reported 4 56" in said
    assert "Not counted: Product not in the programme" in said
    assert "Waiting: Partner not registered" in said
    assert "The sale itself counts with what is left. (1) \N{MINUS SIGN}3 Counted 2 49" in said
    assert "1 sale was reported again with other content." in said
    assert "49 × 10 € = 490 €" in said
    assert "From 50 units on it would be 15 € for every unit: 260 € more." in said
    assert "Notebook 14, entry TS-100 Aug 1 45 450,00 €" in said
    assert "Together 2 49 490,00 €" in said
    assert "units +3, rebate +280,00 €" in said
    assert "units \N{MINUS SIGN}1, rebate \N{MINUS SIGN}260,00 €" in said


def test_an_empty_quarter_says_when_something_will_stand_there(site: Site) -> None:
    feed(site.engine, a_partner("P8"))
    said = words(site.signed_in("P8").get("/why").text)
    assert "Nothing has been reported for this quarter yet." in said
    assert "The first step is not reached yet. From 10 units on" in said
    assert "The quarter was not closed yet." in said


def test_the_number_on_his_page_leads_there_and_back_without_a_script(site: Site) -> None:
    browser = site.signed_in("P1")
    assert 'href="/why?quarter=2026Q4"' in browser.get("/").text
    page = browser.get("/why?quarter=2026Q4").text
    assert 'href="/?quarter=2026Q4"' in page
    assert "data-live=" not in page


def test_nobody_sees_why_anothers_number_is_what_it_is(site: Site) -> None:
    feed(site.engine, *some_lines("P2"))
    assert site.signed_in("P1").get("/why?quarter=2026Q3").status_code == 404
    assert site.signed_in().get("/why").status_code == 404
    assert "49 × 10" in site.signed_in("P2").get("/why?quarter=2026Q3").text


def test_the_read_model_explains_what_the_lines_explain(site: Site) -> None:
    feed(site.engine, *some_lines())
    terms = site.programme.terms[0]
    whole = explain(map(Line.of, some_lines()), terms, [])
    assert whole.counted.units == 49
    assert {part.reason for part in whole.rejected} == {"product-not-in-programme"}
    said = words(site.signed_in("P1").get("/why?quarter=2026Q3").text)
    assert f"Reported {whole.reported.sales} {whole.reported.units}" in said
