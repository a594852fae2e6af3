"""The pages in a real browser: live, operable by keyboard, readable for everybody, narrow or dark."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from deploy.runtime.settings import Port, load
from schemas.events import CloseKind, PayoutStatus
from services.kit.listening import listening
from services.portal.auth import IDLE
from services.portal.server import Server
from tests.conftest import free_ports
from tests.portal.conftest import Site
from tests.portal.feeding import a_close, a_line, a_partner, a_payout, a_return, a_tally, a_tier_change, feed
from tests.portal.test_statements import CSV, NUMBER, PDF, put
from tests.waiting import until

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SECONDS = 20  # a deadline, not a promise: the machine may be busy
expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "the browser tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def served(site: Site) -> Iterator[Site]:
    """The portal behind a real server, with enough on it that no list is empty."""
    base = free_ports()
    settings = load({"data": site.settings.data, "port_base": base}, {}).settings
    own = Site(settings, site.programme, site.engine)
    feed(
        own.engine,
        a_line(
            *("P1", "S-4", 0),
            status="pending",
            reason="return-before-sale",
            units=0,
            sold_on=None,
            returns=(a_return(1, date(2026, 11, 5)),),
        ),
        a_line("P2", "S-1", 1, serial_numbers=("MP0001",)),
        a_tally(own.programme, "P1", 31, "2026Q3", phase="final", revision=1, payable_minor=31000),
        a_close(own.programme, "P1", CloseKind.FINAL, 1, 31, 31000, 31000),
        a_payout("P1", 1, 1, PayoutStatus.WAITING, 31000, "no-bank-details"),
        a_tier_change(own.programme, "P1", 1, 24, 25),
        a_tier_change(own.programme, "P2", 2, 10, 9),
    )
    put(own, "P1")
    server = Server(own.app, own.changes)
    thread = threading.Thread(
        target=server.serve_on,
        args=(listening(settings.listen, settings.port(Port.PORTAL), "the pages"), lambda: False),
    )
    thread.start()
    yield own
    server.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert settings.port(Port.PORTAL) == base


def open_page(browser: Browser, site: Site, partner_id: str = "", **context: Any) -> Page:
    """Come in through the link of a mail."""
    page = browser.new_context(locale="en-GB", **context).new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.goto(site.settings.public_url + site.link(partner_id))
    page.get_by_role("button", name="Open my page").click()
    page.wait_for_selector("[data-live]")
    return page


def sixty_sales(site: Site) -> None:
    """More sales of P1 than a page holds; they have no units."""
    feed(site.engine, *(a_line("P1", f"T-{n:03}", 0, sold_on=date(2026, 10, 1 + n % 30)) for n in range(60)))
    feed(site.engine, a_tally(site.programme, "P1", 48, counted=62, rejected=1))


def sell(site: Site, sale_id: str, units: int) -> None:
    """One more unit for P1, as the reading would bring it."""
    touched = feed(site.engine, a_line("P1", sale_id, 1), a_tally(site.programme, "P1", units, counted=3))
    site.changes.publish(touched)


def test_a_sale_appears_by_itself(browser: Browser, served: Site) -> None:
    page = open_page(browser, served, "P1")
    expect(page.locator("[data-live-state]")).to_have_attribute("data-condition", "on")
    expect(page.locator(".figure")).to_have_text("480 €")
    sell(served, "NEW-1", 50)
    expect(page.locator(".figure")).to_have_text("750 €")
    expect(page.get_by_text("You stand on the highest step")).to_be_visible()
    expect(page.locator(".id", has_text="NEW-1")).to_be_visible()
    expect(page.locator("[data-say]")).to_have_text("50 units, 750 €")


def test_an_update_takes_away_neither_place_nor_focus_nor_what_is_open(browser: Browser, served: Site) -> None:
    page = open_page(browser, served, "P1")
    expect(page.locator("[data-live-state]")).to_have_attribute("data-condition", "on")
    sale = page.locator("summary", has_text="S-2")
    sale.scroll_into_view_if_needed()
    sale.focus()
    page.keyboard.press("Enter")
    focused = page.evaluate("document.activeElement.id")
    before = sale.bounding_box()
    sell(served, "NEW-1", 49)
    expect(page.locator(".figure")).to_have_text("490 €")
    expect(page.locator(".id", has_text="NEW-1")).to_be_attached()
    assert page.evaluate("document.activeElement.id") == focused
    assert page.evaluate("document.activeElement.parentElement.open") is True
    after = sale.bounding_box()
    assert before is not None
    assert after is not None
    # One row came in above; the place may move by it, but not jump to the top.
    assert abs(after["y"] - before["y"]) < 150


def test_the_programme_page_follows_too(browser: Browser, served: Site) -> None:
    page = open_page(browser, served)
    expect(page.locator("[data-live-state]")).to_have_attribute("data-condition", "on")
    expect(page.locator(".totals")).to_contain_text("€480")
    sell(served, "NEW-1", 50)
    expect(page.locator(".totals")).to_contain_text("€750")


def test_a_page_that_nobody_sees_gives_its_connection_back(browser: Browser, served: Site) -> None:
    page = open_page(browser, served, "P1")
    until(lambda: served.changes._watching, what="the page's stream")
    page.goto("about:blank")
    until(lambda: not served.changes._watching, what="the stream's end")


def test_the_page_says_when_the_session_has_ended(browser: Browser, served: Site) -> None:
    page = open_page(browser, served, "P1")
    expect(page.locator("[data-live-state]")).to_have_attribute("data-condition", "on")
    served.real.pass_by(IDLE)
    sell(served, "NEW-1", 50)
    expect(page.locator("[data-live-words]")).to_contain_text("Your session has ended")
    expect(page.locator(".figure")).to_have_text("480 €")


def test_everything_works_without_scripts(browser: Browser, served: Site) -> None:
    sixty_sales(served)
    page = open_page(browser, served, "P1", java_script_enabled=False)
    page.get_by_role("link", name="Sales", exact=True).click()
    page.get_by_role("link", name="Not counted 1").click()
    expect(page.locator("table.sales tbody tr")).to_have_count(1)
    page.get_by_role("link", name="All 64").click()
    page.get_by_role("link", name="Older").click()
    expect(page.locator("table.sales tbody tr")).to_have_count(14)
    page.get_by_label("Sale or serial number").fill("mp0001")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("table.sales tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Standing").click()
    page.get_by_role("link", name="Q3 2026").click()
    expect(page.get_by_text("is earned and waits for your bank details")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out")).to_be_visible()


def test_a_statement_is_downloaded_and_not_shown(browser: Browser, served: Site) -> None:
    page = open_page(browser, served, "P1")
    page.get_by_role("link", name="All quarters, payments and statements").click()
    for form, content in (("PDF", PDF), ("CSV", CSV)):
        with page.expect_download() as started:
            page.get_by_role("link", name=f"{NUMBER} {form}").first.click()
        assert started.value.suggested_filename == f"{NUMBER}.{form.lower()}"
        assert started.value.path().read_bytes() == content
    expect(page.get_by_role("heading", name="Your quarters")).to_be_visible()


def test_the_page_is_walked_by_keyboard_in_the_order_of_sight(browser: Browser, served: Site) -> None:
    page = open_page(browser, served, "P1")
    seen = []
    for _ in range(20):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.innerText || document.activeElement.name"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"{seen[-1]} does not show that it has the focus"
    texts = [text.split("\n")[0].strip() for text in seen]
    assert texts[:6] == ["Skip to the content", "Topseller Partner rebate", "Sign out", "Standing", "Sales", "Quarters"]
    here = texts.index("Q4 2026")  # the ways to other pages lie between
    assert texts[here : here + 5] == [
        *("Q4 2026", "Q3 2026", "Enter bank details", "Why this number?", "The same as a table"),
    ]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 320)])
def test_no_page_has_a_fault_that_axe_finds(browser: Browser, served: Site, scheme: str, width: int) -> None:
    looks: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    page = open_page(browser, served, "P1", **looks)
    faults = []
    paths = (
        "/",
        "/?quarter=2026Q3",
        "/sales?quarter=all",
        "/sales?q=none",
        "/sale?id=S-2",
        "/sale?id=S-4",
        "/quarters",
    )
    for path in (*paths, "/why", "/why?quarter=2026Q3", "/nothing"):
        page.goto(served.settings.public_url + path)
        faults += look_at(page)
    page = open_page(browser, served, **looks)
    faults += look_at(page)
    for path in ("/partners", "/partners?near=1", "/partners?q=none", "/partners/P1"):
        page.goto(served.settings.public_url + path)
        faults += look_at(page)
    page.goto(served.settings.public_url + served.link("P1"))
    faults += look_at(page)
    assert faults == []


def look_at(page: Page) -> list[str]:
    """What axe finds on a page, and whether it must be scrolled sideways."""
    results = Axe().run(page)
    faults = [f"{page.url} {v['id']}: {v['nodes'][0]['html']}" for v in results.response["violations"]]
    width, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    return faults + ([f"{page.url} is {width} wide in a window of {window}"] if width > window else [])


def test_a_long_name_or_number_does_not_widen_a_narrow_page(browser: Browser, served: Site) -> None:
    long = "X" * 128
    feed(served.engine, a_partner("P1", name=long), a_line("P1", long, 1, product_id=long, serial_numbers=(long,)))
    feed(served.engine, a_line("P2", long, 1, serial_numbers=(long,)), a_tally(served.programme, "P2", 10**9))
    own, vendors = ("/", "/sales", f"/sale?id={long}", "/quarters", "/why"), ("/programme", "/partners", "/partners/P1")
    for partner_id, path in (*(("P1", path) for path in own), *(("", path) for path in vendors)):
        page = open_page(browser, served, partner_id, viewport={"width": 320, "height": 800})
        page.goto(served.settings.public_url + path)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        wide = page.evaluate("[...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > 320)")
        assert wide == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_nothing_on_a_page_is_refused_by_its_own_policy(browser: Browser, served: Site) -> None:
    page = browser.new_context().new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(served.settings.public_url + served.link("P1"))
    page.get_by_role("button").click()
    expect(page.locator("[data-live-state]")).to_have_attribute("data-condition", "on")
    sell(served, "NEW-1", 50)
    expect(page.locator(".figure")).to_have_text("750 €")
    assert complaints == []


def test_from_the_standing_to_why_and_back(browser: Browser, served: Site) -> None:
    page = open_page(browser, served, "P1")
    page.get_by_role("link", name="Q3 2026").click()
    page.get_by_role("link", name="Why this number?").click()
    expect(page.get_by_role("heading", name="From units to rebate")).to_be_visible()
    page.get_by_role("link", name="Back to your page").click()
    expect(page).to_have_url(f"{served.settings.public_url}/?quarter=2026Q3")
    expect(page.locator(".figure")).to_have_text("310 €")


def test_a_sale_is_found_by_its_serial_number_and_tells_its_history(browser: Browser, served: Site) -> None:
    page = open_page(browser, served, "P1")
    page.get_by_role("link", name="Sales", exact=True).click()
    page.get_by_label("Sale or serial number").fill("MP0001")
    page.keyboard.press("Enter")
    expect(page.locator("table.sales tbody tr")).to_have_count(1)
    page.locator("summary", has_text="S-1").click()
    page.get_by_role("link", name="The whole history").click()
    expect(page.get_by_role("heading", name="Sale S-1")).to_be_visible()
    expect(page.get_by_text("40 × 10 € = 400 €")).to_be_visible()
    expect(page.get_by_text("The report reached us and got its verdict")).to_be_visible()
    page.get_by_role("link", name="Back to your sales").click()
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV", exact=True).click()
    assert started.value.suggested_filename == "sales-2026Q4.csv"
    assert "MP0001" in started.value.path().read_text("utf-8-sig")


def test_from_the_quarters_on_to_the_money_and_the_statement(browser: Browser, served: Site) -> None:
    page = open_page(browser, served, "P1")
    page.get_by_role("link", name="All quarters, payments and statements").click()
    quarter = page.locator("section", has=page.get_by_role("heading", name="Q3 2026"))
    expect(quarter.get_by_text("It is earned and kept for you")).to_be_visible()
    with page.expect_download() as started:
        quarter.get_by_role("link", name=f"{NUMBER} PDF").click()
    assert started.value.path().read_bytes() == PDF


def test_staff_finds_who_is_near_a_threshold(browser: Browser, served: Site) -> None:
    page = open_page(browser, served)
    page.get_by_role("link", name="1 partner is near a threshold").click()
    expect(page.get_by_text("2 units, worth €270")).to_be_visible()
    page.get_by_role("link", name="Beispiel Systemhaus GmbH").click()
    expect(page.get_by_role("heading", name="Beispiel Systemhaus GmbH")).to_be_visible()
    expect(page.get_by_role("heading", name="Q3 2026")).to_be_visible()
    page.get_by_role("link", name="Partners", exact=True).click()
    page.get_by_label("Name or partner number").fill("muster")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
