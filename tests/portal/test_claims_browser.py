"""Claims and work lists in a real browser: the partner's journey, the vendor's decision, and who can't see well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from services.portal.auth import Cookies, Role
from tests.portal.claiming import claim, made, pdf, picture
from tests.portal.conftest import Site
from tests.portal.feeding import a_line, feed
from tests.portal.test_browser import SECONDS, browser, look_at, open_page, served

__all__ = ["browser", "served"]


def staff_page(browser: Browser, site: Site, person: str = "anna", **context: Any) -> Page:
    """A page of somebody of the staff who has signed in."""
    name = Cookies(site.settings).session
    session_id = site.staff(Role.OPERATOR, person).cookies[name]
    opened = browser.new_context(locale="en-GB", **context)
    opened.add_cookies([{"name": name, "value": session_id, "url": site.settings.public_url}])
    page = opened.new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.goto(f"{site.settings.public_url}/claims/desk")
    return page


def report(page: Page, site: Site, proof: Path) -> None:
    """Fill the form in as a partner does."""
    page.goto(site.settings.public_url)
    page.get_by_role("link", name="Missing sales").click()
    page.get_by_role("link", name="Report a missing sale").click()
    one = page.get_by_role("region", name="One sale")
    one.get_by_label("Product").select_option("TS-200")
    one.get_by_label("Day of the sale").fill("2026-11-10")
    one.get_by_label("Units").fill("2")
    one.get_by_label("Number of the sale").fill("INV-77")
    one.get_by_label("Serial numbers").fill("MP7001\nMP7002")
    one.get_by_label("Proof").set_input_files(proof)
    page.get_by_role("button", name="Report the sale").click()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_sale_is_reported_asked_about_answered_and_accepted(
    browser: Browser, served: Site, tmp_path: Path, scripts: bool
) -> None:
    proof, photo = tmp_path / "invoice.pdf", tmp_path / "photo.jpg"
    proof.write_bytes(pdf())
    photo.write_bytes(picture("JPEG"))
    partner = browser.new_context(locale="en-GB", java_script_enabled=scripts).new_page()
    partner.goto(served.settings.public_url + served.link("P1"))
    partner.get_by_role("button", name="Open my page").click()
    report(partner, served, proof)
    expect(partner.get_by_text("1 sale is with us now.")).to_be_visible()

    anna = staff_page(browser, served, java_script_enabled=scripts)
    anna.get_by_role("link", name="INV-77").click()
    with anna.expect_download() as started:
        anna.get_by_role("link", name="invoice.pdf").click()
    assert started.value.path().read_bytes() == proof.read_bytes()
    anna.get_by_label("What is missing?").select_option("proof-unreadable")
    anna.get_by_label("Your question").fill("The second page is dark.")
    anna.get_by_role("button", name="Ask the partner").click()
    expect(anna.get_by_text("is decided; its partner is told.")).to_be_visible()

    partner.get_by_role("link", name="INV-77").click()
    expect(partner.get_by_text("The second page is dark.")).to_be_visible()
    partner.get_by_label("What do you want to tell us?").fill("Here it is again.")
    partner.get_by_label("Proof", exact=True).set_input_files(photo)
    partner.get_by_role("button", name="Send the answer").click()
    expect(partner.get_by_text("You answered")).to_be_visible()

    anna.goto(f"{served.settings.public_url}/claims/desk")
    anna.get_by_role("link", name="INV-77").click()
    expect(anna.get_by_text("Here it is again.")).to_be_visible()
    anna.get_by_role("button", name="Accept the claim").click()
    expect(anna.get_by_text("Nothing waits for a decision.")).to_be_visible()
    assert made(served.engine)[0].status == "accepted"


def test_the_partner_sees_decision_and_verdict_come_by_themselves(browser: Browser, served: Site) -> None:
    claim(served.signed_in("P1"), ("invoice.pdf", pdf()))
    (one,) = made(served.engine)
    partner = open_page(browser, served, "P1")
    partner.goto(f"{served.settings.public_url}/claims/{one.claim_id}")
    expect(partner.locator("[data-live-state]")).to_have_attribute("data-condition", "on")
    expect(partner.get_by_text("Being checked")).to_be_visible()
    anna = staff_page(browser, served)
    anna.get_by_role("link", name="INV-77").click()
    anna.get_by_role("button", name="Accept the claim").click()
    expect(partner.get_by_text("On its way: the sale is being counted right now.")).to_be_visible()
    served.changes.publish(feed(served.engine, a_line("P1", "INV-77", 2)))
    expect(partner.get_by_text("See it among your sales")).to_be_visible()
    partner.get_by_text("See it among your sales").click()
    expect(partner.get_by_text("INV-77").first).to_be_visible()


def test_of_two_who_decide_one_is_told_that_the_other_was_quicker(browser: Browser, served: Site) -> None:
    claim(served.signed_in("P1"), ("invoice.pdf", pdf()))
    anna, ben = staff_page(browser, served), staff_page(browser, served, "ben")
    for page in (anna, ben):
        page.get_by_role("link", name="INV-77").click()
    anna.get_by_role("button", name="Accept the claim").click()
    expect(anna.get_by_text("is decided; its partner is told.")).to_be_visible()
    ben.locator("#refuse-reason").select_option("not-a-sale")
    ben.get_by_role("button", name="Refuse the claim").click()
    expect(ben.get_by_role("alert")).to_contain_text("Somebody was quicker")
    assert made(served.engine)[0].status == "accepted"


def test_a_conflict_is_ended_by_a_return(browser: Browser, served: Site) -> None:
    page = staff_page(browser, served)
    page.get_by_role("link", name="Conflicts").click()
    page.get_by_text("Enter a return for sale S-1 of Muster Datentechnik GmbH").click()
    page.get_by_role("button", name="Take 1 unit off this sale").last.click()
    expect(page.get_by_text("The return is on its way to the count.")).to_be_visible()
    expect(page.get_by_text("There are none.")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 320)])
def test_no_page_has_a_fault_that_axe_finds(browser: Browser, served: Site, scheme: str, width: int) -> None:
    looks: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    long = "X" * 120
    claim(served.signed_in("P1"), (f"{long}.pdf", pdf()), sale_id=long, serial_numbers="MP7001", note=long)
    claim(served.signed_in("P2"), ("a.pdf", pdf()), serial_numbers="MP7001")
    feed(served.engine, a_line("P2", "S-30", 1, status="rejected", reason="sold-in-future", units=0))
    one, other = (row.claim_id for row in made(served.engine))
    faults, base = [], served.settings.public_url
    partner, anna = open_page(browser, served, "P1", **looks), staff_page(browser, served, **looks)
    for path in ("/claims", "/claims/new", f"/claims/{one}"):
        partner.goto(base + path)
        faults += look_at(partner)
    partner.goto(f"{base}/claims/new")
    partner.evaluate("document.querySelectorAll('[required]').forEach(field => field.removeAttribute('required'))")
    partner.get_by_role("button", name="Report the sale").click()
    expect(partner.get_by_role("alert")).to_be_visible()
    faults += look_at(partner)
    for path in (
        *("/claims/desk", f"/claims/desk/{one}", f"/claims/desk/{other}", "/conflicts", "/conflicts?kind=sale"),
        *("/rejected", "/rejected?reason=sold-in-future", "/closing", "/closing?quarter=2026Q3"),
    ):
        anna.goto(base + path)
        anna.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        faults += look_at(anna)
    assert faults == []
