"""The vendor's pages: figures by product and week, who is near a threshold, the list of partners and one of them."""

from __future__ import annotations

import csv
import io
from datetime import date

from sqlalchemy import Engine

from schemas.events import LineStatus
from schemas.values import Quarter
from services.portal.breakdown import Breakdowns
from services.portal.directory import PAGE_SIZE, Directory, PartnersFilter
from services.portal.queries import snapshot
from streams.rules.terms import Programme
from tests.portal.conftest import HandClock, Site
from tests.portal.feeding import NOON, a_line, a_partner, a_tally, feed
from tests.portal.test_exports import cells
from tests.portal.test_pages import words

Q4 = Quarter(2026, 4)


class Watch:
    """Seconds in the test's hand; each look takes as long as told."""

    def __init__(self) -> None:
        self.now, self.each = 0.0, 0.0

    def __call__(self) -> float:
        self.now += self.each
        return self.now


def test_units_and_rebate_are_split_by_product_and_week_at_each_partners_rate(
    engine: Engine, programme: Programme
) -> None:
    feed(
        engine,
        a_line("P1", "S-1", 40, product_id="TS-100", sold_on=date(2026, 10, 5)),
        a_line("P1", "S-2", 10, product_id="TS-200", sold_on=date(2026, 10, 25)),
        a_line("P2", "S-3", 10, product_id="TS-200", sold_on=date(2026, 10, 11)),
        a_line("P2", "S-4", 3, product_id="KB-1", status=LineStatus.REJECTED, units=0),
        a_line("P3", "S-5", 9, sold_on=date(2026, 9, 30)),
        a_tally(programme, "P1", 50),
        a_tally(programme, "P2", 10),
        a_tally(programme, "P3", 9, "2026Q3"),
    )
    found = Breakdowns(engine, programme, HandClock(NOON)).of(Q4)
    assert [tuple(share) for share in found.products] == [("TS-100", 40, 60_000), ("TS-200", 20, 20_000)]
    assert [tuple(share) for share in found.weeks] == [
        (date(2026, 10, 5), 50, 65_000),
        (date(2026, 10, 12), 0, 0),
        (date(2026, 10, 19), 10, 15_000),
    ]
    assert found.made_at == NOON


def test_figures_that_took_long_are_kept_and_those_that_did_not_are_not(engine: Engine, programme: Programme) -> None:
    watch = Watch()
    breakdowns = Breakdowns(engine, programme, HandClock(NOON), watch)
    feed(engine, a_line("P1", "S-1", 1), a_tally(programme, "P1", 1))
    assert breakdowns.of(Q4).products[0].units == 1
    feed(engine, a_line("P1", "S-1", 2), a_tally(programme, "P1", 2))
    assert breakdowns.of(Q4).products[0].units == 2
    watch.each = 1.0
    assert breakdowns.of(Q4).products[0].units == 2
    feed(engine, a_line("P1", "S-1", 3), a_tally(programme, "P1", 3))
    assert breakdowns.of(Q4).products[0].units == 2
    watch.now += 20
    assert breakdowns.of(Q4).products[0].units == 3


def test_partners_are_found_by_name_country_and_tier(engine: Engine, programme: Programme) -> None:
    feed(
        engine,
        a_partner("P1", name="Nordlicht GmbH"),
        a_partner("P2", name="Südwind 50%_off", country="AT"),
        a_partner("P3", name="Ostwind"),
        a_tally(programme, "P1", 9),
        a_tally(programme, "P2", 49),
        a_tally(programme, "P3", 50),
        a_tally(programme, "P3", 9, "2026Q3"),
    )
    with snapshot(engine) as connection:
        directory = Directory(connection, programme, Q4)

        def found(**wanted: object) -> list[str]:
            page = directory.page(PartnersFilter(**wanted))  # type: ignore[arg-type]
            assert page.total == len(page.standings)
            return [standing.partner.partner_id for standing in page.standings]

        assert found() == ["P1", "P2", "P3"]
        assert found(search="NORD") == found(search="p1") == ["P1"]
        assert found(search="%_") == ["P2"]
        assert found(search="wind", country="DE") == ["P3"]
        assert found(tier=0) == ["P1"]
        assert found(tier=25) == ["P2"]
        assert found(near_units=3) == ["P2", "P1"]  # both lack one; with more units there is more to gain
        assert directory.countries() == ["AT", "DE"]
        (near, _) = directory.page(PartnersFilter(near_units=3)).standings
        assert near.next_tier is not None
        assert (near.next_tier.units_missing, near.next_tier.gain_minor) == (1, 26_000)


def test_the_list_has_pages_and_the_file_has_all(site: Site) -> None:
    feed(site.engine, *(a_partner(f"T{n:03}", name=f"=Händler {n}") for n in range(PAGE_SIZE + 7)))
    browser = site.signed_in()
    assert "Page 2 of 2" in words(browser.get("/partners?page=99").text)
    assert "T056" in browser.get("/partners?page=2").text
    text = browser.get("/partners.csv?q=T0").content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))
    assert len(rows) == PAGE_SIZE + 7
    assert rows[0]["Name"] == "'=Händler 0"
    (row,) = csv.DictReader(
        io.StringIO(browser.get("/partners.csv?near=1").content.decode("utf-8-sig"), newline=""), delimiter=";"
    )
    assert (row["Partner number"], row["Units to the next tier"], row["What it is worth"]) == ("P1", "2", "270,00")
    assert [row[0] for row in cells(browser.get("/partners.xlsx?q=P2").content)] == ["Partner number", "P2"]


def test_the_page_leads_to_who_is_near_a_threshold_and_to_him(site: Site) -> None:
    browser = site.signed_in()
    page = browser.get("/programme").text
    assert "Beispiel Systemhaus GmbH P1 2 €270" in words(page)
    assert 'href="/partners/P1"' in page
    said = words(browser.get("/partners/P1").text)
    assert "To the next tier 2 units, worth €270" in said
    assert "Rebate €480 Units 48" in said
    assert "Counted 2 Not counted 1" in said


def test_a_partner_who_is_not_registered_has_a_page_too(site: Site) -> None:
    feed(site.engine, a_line("P7", "S-1", status=LineStatus.PENDING, reason="partner-not-registered", units=0))
    assert "not registered yet" in words(site.signed_in().get("/partners/P7").text)


def test_each_table_of_the_programme_is_a_file(site: Site) -> None:
    browser = site.signed_in()
    tables = {
        name: browser.get(f"/programme/{name}.csv").content.decode("utf-8-sig").splitlines()
        for name in ("countries", "tiers", "products", "weeks")
    }
    assert tables == {
        "countries": ["Country;Partners;Units;Rebate", "DE;2;49;480,00"],
        "tiers": ["Tier;Partners;Units;Rebate", "0;1;1;0,00", "25;1;48;480,00"],
        "products": ["Product number;Product;Units;Rebate", tables["products"][1]],
        "weeks": ["Week from;Units;Rebate", "2026-11-02;49;480,00"],
    }
    assert tables["products"][1].startswith("TS-200;")


def test_what_is_still_to_be_accrued_is_what_no_close_made_payable(site: Site) -> None:
    feed(site.engine, a_tally(site.programme, "P1", 50, payable_minor=49_000))
    said = words(site.signed_in().get("/programme").text)
    assert "Closes have made €490 of it payable; €260 is to be accrued." in said
