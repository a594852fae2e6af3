"""A partner's sales: the list and its filters, the same as a file, and what is known of one."""

from __future__ import annotations

import csv
import html
import io
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace
from starlette.testclient import TestClient

from schemas.events import LineStatus
from tests.portal.conftest import Site
from tests.portal.feeding import a_line, a_partner, a_return, a_tally, a_tier_change, feed
from tests.portal.test_exports import cells
from tests.portal.test_pages import words


def links(page: str, name: str) -> str:
    """Where the link of this name leads."""
    before = page.split(f">{name}</a>")[0]
    return before.rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")


def table(browser: TestClient, address: str) -> list[dict[str, str]]:
    text = browser.get(address).content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))


def test_the_list_leads_from_page_to_page_and_keeps_its_filter(site: Site) -> None:
    day = date(2026, 10, 1)
    feed(site.engine, *(a_line("P2", f"T-{n:03}", sold_on=day + timedelta(n % 30)) for n in range(120)))
    browser = site.signed_in("P2")
    page = browser.get("/sales?status=counted&from=2026-10-02").text
    seen = []
    while True:
        seen += [part.split("<")[0] for part in page.split('<span class="id">')[1:]]
        if ">Older</a>" not in page:
            break
        address = links(page, "Older")
        assert parse_qs(urlsplit(address).query)["from"] == ["2026-10-02"]
        page = browser.get(address).text
    assert len(seen) == len(set(seen)) == 117
    assert seen[50] in browser.get(links(page, "Newer")).text
    assert f">{seen[0]}<" not in browser.get(links(page, "Newer")).text


def test_a_sale_of_another_quarter_is_found_by_looking_in_all(site: Site) -> None:
    feed(site.engine, a_line("P1", "OLD-1", sold_on=date(2026, 8, 3), serial_numbers=("MP0815",)))
    browser = site.signed_in("P1")
    page = browser.get("/sales?q=mp0815").text
    assert "No sale fits" in page
    assert "OLD-1" in browser.get(links(page, "Look in all quarters")).text


def test_the_file_holds_what_is_filtered_and_no_formula(site: Site) -> None:
    feed(site.engine, a_line("P1", "=1+1", 3, sold_on=date(2026, 8, 3), serial_numbers=("@A", "B")))
    browser = site.signed_in("P1")
    answer = browser.get("/sales.csv?quarter=2026Q4&status=rejected")
    assert answer.headers["content-disposition"] == 'attachment; filename="sales-2026Q4.csv"'
    (row,) = table(browser, "/sales.csv?quarter=2026Q4&status=rejected")
    assert (row["Sale"], row["Product number"], row["Verdict"], row["Quantity"]) == (
        "S-3",
        "KB-010",
        "Not counted",
        "2",
    )
    assert "was not on the programme's list" in row["Why it does not count"]
    rows = table(browser, "/sales.csv?quarter=all")
    assert [row["Sale"] for row in rows] == ["S-3", "S-2", "S-1", "'=1+1"]
    assert rows[-1]["Serial numbers"] == "'@A, B"
    assert (rows[-1]["Sold on"], rows[-1]["Received"]) == ("2026-08-03", "2026-11-03 10:30:00")


def test_the_workbook_holds_the_same(site: Site) -> None:
    answer = site.signed_in("P1").get("/sales.xlsx?quarter=all")
    assert answer.headers["content-disposition"] == 'attachment; filename="sales-all.xlsx"'
    assert [row[0] for row in cells(answer.content)] == ["Sale", "S-3", "S-2", "S-1"]


@pytest.mark.parametrize(
    ("reported_by", "shown"),
    [
        ("ACME <Distribution>", "ACME &lt;Distribution&gt;"),
        ("claim", "You, by a claim"),
        ("sales import", "The vendor"),
    ],
)
def test_who_reported_a_sale_is_shown_wherever_the_sale_is(site: Site, reported_by: str, shown: str) -> None:
    partner = site.signed_in("P1")
    assert "Reported by" not in partner.get("/sale?id=S-1").text
    assert "Reported by" not in partner.get("/sales").text
    feed(site.engine, a_line("P1", "S-1", 40, reported_by=reported_by))
    for page in ("/sale?id=S-1", "/sales"):
        assert f"<dt>Reported by</dt><dd>{shown}</dd>" in partner.get(page).text
    reporters = {row["Sale"]: row["Reported by"] for row in table(partner, "/sales.csv?quarter=all")}
    assert reporters == {"S-1": html.unescape(shown), "S-2": "", "S-3": ""}
    titles, *rows = cells(partner.get("/sales.xlsx?quarter=all").content)
    assert {row[0]: row[titles.index("Reported by")] for row in rows}["S-1"] == html.unescape(shown)


def test_a_file_speaks_the_partners_language(site: Site) -> None:
    feed(site.engine, a_partner("P1", language="de"))
    (row,) = table(site.signed_in("P1"), "/sales.csv?status=rejected")
    assert row["Ergebnis"] == "Nicht gezählt"


def test_the_history_of_a_sale_says_what_it_brings_and_what_happened(site: Site) -> None:
    came, back = datetime(2026, 11, 3, 9, 30, tzinfo=UTC), a_return(1, date(2026, 11, 20), "return-exceeds-sale")
    feed(
        site.engine,
        a_line("P1", "S-2", 8, units=7, returns=(back,), conflicts=("ff",), serial_numbers=("MP7", "MP8")),
        a_tally(site.programme, "P1", 47, counted=2, rejected=1),
        replace(a_tier_change(site.programme, "P1", 1, 40, 50), occurred_at=came),
        replace(a_tier_change(site.programme, "P1", 2, 50, 47), occurred_at=back.recorded_at),
        replace(a_tier_change(site.programme, "P1", 3, 9, 10), occurred_at=came - timedelta(days=1)),
    )
    said = words(site.signed_in("P1").get("/sale?id=S-2").text)
    for part in (
        "7 units of it count in Q4 2026.",
        "7 × 10 € = 70 €",
        "with 47 units: 470 € in all. Without this sale it would be 400 €.",
        "The earliest report stands.",
        "MP7, MP8",
        "3 November 2026, 09:00 The reporter's system made the report",
        "3 November 2026, 10:30 The report reached us and got its verdict",
        "At the same moment your quarter reached the step from 50 units on",
        "A return of 1 unit reached us Came back on 20 Nov, return R-1120.",
        "At the same moment your quarter fell below the step from 50 units on",
    ):
        assert part in said
    assert "from 10 units on" not in said
    assert said.index("made the report") < said.index("reached us") < said.index("A return of")


def test_a_sale_at_a_threshold_brings_more_than_its_own_units(site: Site) -> None:
    feed(site.engine, a_line("P1", "S-2", 10), a_tally(site.programme, "P1", 50, counted=2))
    said = words(site.signed_in("P1").get("/sale?id=S-2").text)
    assert "10 × 15 € = 150 €" in said
    assert "750 € in all. Without this sale it would be 400 €." in said


@pytest.mark.parametrize("sale_id", ["..", "a/b", "a?b=1&c#d", "%2e", "a b", "ä+b", "//", "x" * 128])
def test_a_sale_with_any_number_has_a_history(site: Site, sale_id: str) -> None:
    feed(site.engine, a_line("P1", sale_id, 1))
    browser = site.signed_in("P1")
    page = browser.get("/sales").text
    here = page.split(f'id="{anchor_of(page, 0)}-history" href="')[0]
    assert here
    addresses = [part.split('"')[0].replace("&amp;", "&") for part in page.split('href="')[1:]]
    histories = [browser.get(address).text for address in addresses if address.startswith("/sale?")]
    assert sum(f"Sale {sale_id}" in words(history) for history in histories) == 1


def anchor_of(page: str, number: int) -> str:
    return page.split('<details id="')[1 + number].split('"')[0]


def test_a_return_without_its_sale_has_a_history_too(site: Site) -> None:
    alone = a_line(
        *("P1", "S-8", 0),
        status=LineStatus.PENDING,
        reason="return-before-sale",
        units=0,
        sold_on=None,
        returns=(a_return(2, date(2026, 11, 5)),),
    )
    feed(site.engine, alone)
    browser = site.signed_in("P1")
    assert "Waiting 1" in words(browser.get("/sales").text)
    said = words(browser.get("/sale?id=S-8").text)
    assert "We know of a return, but not of the sale it belongs to." in said
    assert "A return of 2 units reached us" in said
    assert "made the report" not in said
