"""A claim on its whole way: portal, Kafka, a real worker, and back to the partner's page."""

from __future__ import annotations

from datetime import date

import httpx2

from deploy.runtime.clock import RealClock
from deploy.runtime.settings import Loaded, Settings, load
from schemas.events import SaleReported
from services.kit.links import Invitation
from services.portal.auth import Cookies, Role, Sessions
from services.portal.queries import open_database
from tests.databases import sqlite_url
from tests.portal.claiming import SALE, pdf
from tests.portal.conftest import mark_in
from tests.portal.feeding import a_partner
from tests.portal.test_pages import words
from tests.portal.test_process import figure, ready, signed_in, write
from tests.streams.harness import NOW, working
from tests.waiting import until

TEN = {"quantity": "10", "serial_numbers": ""}


def reported(sale_id: str, units: int) -> SaleReported:
    """The same sale as a distributor reports it, or another one."""
    return SaleReported(sale_id, "P1", "TS-200", units, date(2026, 11, 10), NOW, (), "distributor-1")


def as_staff(settings: Settings) -> httpx2.Client:
    """A browser of somebody of the staff who may decide."""
    engine = open_database(settings)
    with engine.begin() as connection:
        session_id = Sessions(engine, RealClock()).open(connection, Invitation("staff", ""), "anna", Role.OPERATOR)
    engine.dispose()
    browser = httpx2.Client(follow_redirects=True, timeout=20)
    browser.cookies.set(Cookies(settings).session, session_id)
    return browser


def test_an_accepted_claim_counts_on_the_partners_page_and_once_only(loaded: Loaded) -> None:
    flags = {name: getattr(loaded.settings, name) for name, where in loaded.sources.items() if where == "flag"}
    placed = load(flags | {"portal_db_url": sqlite_url(loaded.settings.data)}, {})
    settings = placed.settings
    with working(settings), ready(placed):
        write(settings, [a_partner("P1")])
        url, partner, anna = settings.public_url, signed_in(settings), as_staff(settings)
        for sale_id in ("INV-1", "INV-2"):
            mark = mark_in(partner.get(f"{url}/claims/new").text)
            form = SALE | TEN | {"sale_id": sale_id, "mark": mark}
            answer = partner.post(f"{url}/claims", data=form, files={"proof": ("invoice.pdf", pdf())})
            assert "1 sale is with us now." in words(answer.text)
        desk = anna.get(f"{url}/claims/desk").text
        claim_ids = sorted({part.split('"')[0] for part in desk.split("/claims/desk/")[1:]})
        for claim_id in claim_ids:
            form = {"mark": mark_in(anna.get(f"{url}/claims/desk/{claim_id}").text), "version": "1", "what": "accepted"}
            assert "is decided" in anna.post(f"{url}/claims/desk/{claim_id}", data=form).text
        until(lambda: figure(partner.get(url).text) == "100 €", 60, "both claims are counted")
        assert "Verdict Counted" in words(partner.get(f"{url}/claims/{claim_ids[0]}").text)
        # What the distributor reports later under the same number is the same sale.
        write(settings, [reported("INV-1", 10), reported("OTHER", 1)])
        until(lambda: "OTHER" in partner.get(f"{url}/sales").text, 60, "the distributor's report is counted")
        assert figure(partner.get(url).text) == "105 €"
