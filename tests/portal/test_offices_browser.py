"""Money in a real browser: a partner gives his account, two people pay him, and payout goes away amid it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.testclient import TestClient

from deploy.runtime.settings import Port
from services.kit.listening import listening
from services.portal.auth import Cookies, Role
from services.portal.server import Server
from streams.rules.terms import Programme
from tests.conftest import free_ports
from tests.portal.beside import IBAN, Town, town
from tests.portal.feeding import a_partner, feed
from tests.portal.test_browser import SECONDS, browser, look_at

__all__ = ["browser"]


@pytest.fixture
def served(tmp_path: Path, programme: Programme) -> Iterator[Town]:
    """A portal behind a real server, beside payout and notification."""
    base = free_ports()
    said = {"port_base": base, "public_url": f"http://127.0.0.1:{base + Port.PORTAL}"}
    with town(tmp_path, programme, "payout", "notification", **said) as made:
        feed(made.site.engine, a_partner("P1"))
        server = Server(made.site.app, made.site.changes)
        listener = listening("127.0.0.1", base + Port.PORTAL, "the pages")
        thread = threading.Thread(target=server.serve_on, args=(listener, lambda: False), daemon=True)
        thread.start()
        yield made
        server.stop()
        thread.join(10)


def page_of(browser: Browser, served: Town, client: TestClient, **looks: Any) -> Page:
    """A page in the session of this client."""
    context = browser.new_context(locale="en-GB", **looks)
    name, address = Cookies(served.settings).session, served.settings.public_url
    context.add_cookies([{"name": name, "value": client.cookies[name], "url": address}])
    page = context.new_page()
    page.set_default_timeout(SECONDS * 1000)
    return page


@pytest.mark.parametrize("scripts", [True, False])
def test_a_partner_gives_his_account_and_two_people_pay_him(browser: Browser, served: Town, scripts: bool) -> None:
    address = served.settings.public_url
    partner = page_of(browser, served, served.partner("P1", confirmed=True), java_script_enabled=scripts)
    partner.goto(f"{address}/details")
    partner.get_by_role("link", name="Give us your bank details").click()
    partner.get_by_label("Account holder", exact=True).fill("Kontor Nord GmbH")
    partner.get_by_label("IBAN", exact=True).fill(IBAN[:-1] + "2")
    partner.get_by_role("button", name="Check it").click()
    expect(partner.get_by_role("alert")).to_contain_text("This IBAN can't be right.")
    partner.get_by_label("IBAN", exact=True).fill("de02 1203 0000 0000 2020 51")
    partner.get_by_role("button", name="Check it").click()
    expect(partner.get_by_text("Deutsche Kreditbank Berlin")).to_be_visible()
    assert IBAN not in partner.url
    partner.get_by_role("button", name="Yes, pay to this account").click()
    expect(partner.get_by_role("status").first).to_contain_text("Your bank details are kept.")
    expect(partner.get_by_text("DE…2051")).to_be_visible()

    served.payout.sells("P1", 50)
    served.payout.closes("P1", 75_000, units=50)
    served.payout.recount()
    looks = {"java_script_enabled": scripts}
    clerk = page_of(browser, served, served.staff("A. Clerk", Role.APPROVER), **looks)
    clerk.goto(f"{address}/payments")
    clerk.get_by_role("button", name="Prepare a run now").click()
    clerk.get_by_role("link", name="RB-").click()
    expect(clerk.get_by_text("You have prepared it, so somebody else must approve it.")).to_be_visible()
    expect(clerk.get_by_role("button", name="Approve")).to_have_count(0)
    head = page_of(browser, served, served.staff("B. Head", Role.APPROVER), **looks)
    head.goto(clerk.url)
    head.get_by_role("button", name="Approve").click()
    head.get_by_role("button", name="Release and pay").click()
    expect(head.get_by_role("status").first).to_contain_text("The run is released.")
    (written,) = Path(served.settings.payments).glob("RB-*.xml")
    assert IBAN.encode() in written.read_bytes()
    with head.expect_download() as started:
        head.get_by_role("button", name="Download the file").click()
    assert started.value.path().read_bytes() == written.read_bytes()


def test_payout_away_is_said_calmly_and_back_it_goes_on(browser: Browser, served: Town) -> None:
    page = page_of(browser, served, served.staff("A. Clerk", Role.OPERATOR))
    page.goto(f"{served.settings.public_url}/holds")
    expect(page.get_by_text("Nothing is held up.")).to_be_visible()
    served.closes("payout")
    page.reload()
    expect(page.get_by_text("Nothing is lost and nothing was changed.")).to_be_visible()
    page.get_by_role("link", name="Programme", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    served.opens("payout")
    page.get_by_role("link", name="Held payments").click()
    expect(page.get_by_text("Nothing is held up.")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 320)])
def test_no_page_of_the_offices_has_a_fault_that_axe_finds(
    browser: Browser, served: Town, scheme: str, width: int
) -> None:
    looks: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    address = served.settings.public_url
    for quarter in ("2026Q1", "2026Q2", "2026Q3"):
        served.payout.sells("P2", 10, quarter)
    served.earns("P2")
    served.earns("P1")
    made = served.payout.prepare("A. Clerk")
    faults = []
    head = page_of(browser, served, served.staff("B. Head", Role.APPROVER), **looks)
    for path in (
        "/payments",
        f"/payments/{made[0].msg_id}",
        "/holds",
        "/holds/of/topseller/P2/2026Q4/1",
        "/bank",
        "/mails",
    ):
        head.goto(address + path)
        faults += look_at(head)
    partner = page_of(browser, served, served.partner("P1", confirmed=True), **looks)
    for path in ("/details", "/details/bank", "/endpoints"):
        partner.goto(address + path)
        faults += look_at(partner)
    served.closes("payout")
    for page, path in ((head, "/payments"), (partner, "/details/bank")):
        page.goto(address + path)
        faults += look_at(page)
    assert faults == []
