"""An owner lets his accountant in, in a real browser and with real mail; what the accountant sees, and does not."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from deploy.runtime.clock import RealClock
from deploy.runtime.settings import Port
from schemas.events import CloseKind
from services.kit.contacts import Standing
from services.kit.listening import listening
from services.notification.database import open_for_sending
from services.notification.outbox import Outbox
from services.notification.pace import Allowance
from services.notification.sender import Sender
from services.notification.sender import Server as MailServer
from services.notification.tables import partners as known_partners
from services.portal.server import Server
from streams.rules.terms import Programme
from tests.conftest import free_ports
from tests.notification.mailbox import Mailbox
from tests.portal.beside import Town, town
from tests.portal.feeding import a_close, a_line, a_partner, a_tally, feed
from tests.portal.test_browser import SECONDS, browser, look_at
from tests.portal.test_offices_browser import page_of
from tests.portal.test_statements import NUMBER, put

__all__ = ["browser"]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.close()


@pytest.fixture
def served(tmp_path: Path, programme: Programme, mailbox: Mailbox) -> Iterator[Town]:
    """A portal behind a real server, beside payout and notification, whose mails go to the mailbox."""
    base = free_ports()
    said = {"port_base": base, "public_url": f"http://127.0.0.1:{base + Port.PORTAL}", "smtp_url": mailbox.url}
    with town(tmp_path, programme, "payout", "notification", **said) as made:
        feed(made.site.engine, a_partner("P1"), a_line("P1", "S-1", 31))
        feed(made.site.engine, a_tally(programme, "P1", 31, "2026Q3", phase="final", revision=1, payable_minor=31000))
        feed(made.site.engine, a_close(programme, "P1", CloseKind.FINAL, 1, 31, 31000, 31000))
        put(made.site, "P1")
        with made.mail_engine.begin() as connection:
            row = {"partner_id": "P1", "name": "Beispiel Systemhaus GmbH", "email": "p1@partner.example"}
            connection.execute(known_partners.insert().values(row | {"language": "en", "country": "DE"}))
        server = Server(made.site.app, made.site.changes)
        listener = listening("127.0.0.1", base + Port.PORTAL, "the pages")
        thread = threading.Thread(target=server.serve_on, args=(listener, lambda: False), daemon=True)
        thread.start()
        yield made
        server.stop()
        thread.join(10)


def send_mails(served: Town, programme: Programme) -> int:
    """All that is due goes out."""
    clock = RealClock()
    outgoing = open_for_sending(served.settings.notification_db_url)
    outbox = Outbox(outgoing, "here:1", clock=clock, programme=programme, quiet=None, allowance=Allowance(0))
    sender = Sender(outbox, MailServer(), served.settings, clock, programme)
    sent = sender.step(seconds=SECONDS)
    sender.close()
    outgoing.dispose()
    return sent


def fresh(browser: Browser, **looks: Any) -> Page:
    page = browser.new_context(locale="en-GB", **looks).new_page()
    page.set_default_timeout(SECONDS * 1000)
    return page


@pytest.mark.parametrize("scripts", [True, False])
def test_an_owner_lets_his_accountant_in(
    browser: Browser, served: Town, mailbox: Mailbox, programme: Programme, scripts: bool
) -> None:
    address = served.settings.public_url
    owner = page_of(browser, served, served.partner("P1", confirmed=True), java_script_enabled=scripts)
    owner.goto(f"{address}/details")
    owner.get_by_role("link", name="Who may come in").click()
    owner.get_by_label("Name", exact=True).fill("Sam Zahl")
    owner.get_by_label("Mail address", exact=True).fill("sam@zahl.example")
    owner.get_by_role("button", name="Add the person").click()
    expect(owner.get_by_role("status").first).to_contain_text("gets a mail with a link")
    expect(owner.get_by_role("heading", name="Sam Zahl")).to_be_visible()

    assert send_mails(served, programme) == 2
    (told,) = mailbox.to("p1@partner.example")
    assert "Sam Zahl was named on your page as an accountant" in re.sub(r"\s+", " ", told.part("plain"))
    (invitation,) = mailbox.to("sam@zahl.example")
    link = re.search(rf"{re.escape(address)}/l/\S+", invitation.part("plain"))
    assert link
    sam = fresh(browser, java_script_enabled=scripts)
    sam.goto(link[0])
    sam.get_by_role("button", name="Open my page").click()
    ways = sam.get_by_role("navigation", name="Pages")
    expect(ways.get_by_role("link")).to_have_text(["Standing", "Sales", "Quarters"])
    ways.get_by_role("link", name="Quarters").click()
    with sam.expect_download() as started:
        sam.get_by_role("link", name=f"{NUMBER} PDF").first.click()
    assert started.value.path().read_bytes().startswith(b"%PDF")
    sam.goto(address)
    sam.get_by_label("Language of mails and pages").select_option("nl")
    sam.get_by_role("button", name="Use this language").click()
    expect(sam.locator("html")).to_have_attribute("lang", "nl")
    for path in ("/details", "/details/bank", "/details/contacts", "/tokens", "/confirm", "/claims/new"):
        answer = sam.goto(address + path)
        assert answer is not None
        assert answer.status == 404
    expect(sam.get_by_role("heading", level=1)).to_be_visible()

    owner.get_by_text("Change or remove").click()
    owner.get_by_role("button", name="Remove this person").click()
    expect(owner.get_by_role("status").first).to_contain_text("sessions and links have ended")
    gone = sam.goto(f"{address}/quarters")
    assert gone is not None
    assert gone.status == 404
    again = sam.goto(link[0])
    assert again is not None
    assert again.status == 404


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("light", 320), ("dark", 320)])
def test_no_page_about_people_has_a_fault_that_axe_finds(
    browser: Browser, served: Town, scheme: str, width: int
) -> None:
    looks: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    address = served.settings.public_url
    owner = page_of(browser, served, served.partner("P1", confirmed=True), **looks)
    owner.goto(f"{address}/details/contacts")
    faults = look_at(owner)
    owner.get_by_label("Name", exact=True).fill("Sam Zahl www.elsewhere.example")
    owner.get_by_label("Mail address", exact=True).fill("sam.von.einer.langen@buchhaltung-und-mehr.example")
    owner.get_by_label("What may this person do?").last.select_option("owner")
    owner.get_by_role("button", name="Add the person").click()
    expect(owner.get_by_role("alert")).to_contain_text("Write a name")
    faults += look_at(owner)
    owner.get_by_label("Name", exact=True).fill("Sam Zahl")
    owner.get_by_role("button", name="Add the person").click()
    expect(owner.get_by_role("heading", name="Activation code")).to_be_visible()
    owner.get_by_text("Change or remove").click()
    faults += look_at(owner)
    served.closes("notification")
    owner.goto(f"{address}/details/contacts")
    expect(owner.get_by_text("You can remove people all the same.")).to_be_visible()
    faults += look_at(owner)
    sam = page_of(browser, served, served.site.contact("P1", "c-accountantaaa", Standing.ACCOUNTANT, "en"), **looks)
    sam.goto(address)
    faults += look_at(sam)
    assert faults == []
