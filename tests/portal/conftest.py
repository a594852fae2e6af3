"""A portal of one's own: read model, pages and sessions, with both clocks in the test's hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from deploy.runtime.settings import ROOT, Settings, load
from services.kit.contacts import Standing
from services.kit.database import open_engine
from services.kit.links import Invitation, link_for
from services.portal import contacts
from services.portal.auth import PARTNER, STAFF, Cookies, Forms, Role, Sessions, Visitor
from services.portal.live import Changes
from services.portal.tables import MIGRATIONS
from services.portal.web import create_web
from streams.rules.terms import Programme, parse
from tests.databases import database_url, sqlite_url
from tests.portal.feeding import NOON, a_line, a_partner, a_tally, feed

__all__ = ["database_url"]


class HandClock:
    """A clock that moves when told to."""

    rate = 1.0

    def __init__(self, shown: datetime) -> None:
        self.shown = shown

    def now(self) -> datetime:
        return self.shown

    def at(self, real: datetime) -> datetime:
        return real

    def pass_by(self, time: timedelta) -> None:
        self.shown += time


class Site:
    """A portal and what a test does with it."""

    def __init__(self, settings: Settings, programme: Programme, engine: Engine) -> None:
        self.settings, self.programme, self.engine = settings, programme, engine
        self.clock, self.real = HandClock(NOON), HandClock(NOON)
        self.changes = Changes()
        self.app: ASGIApp = create_web(settings, programme, engine, self.clock, self.changes, self.real)

    def browser(self) -> TestClient:
        """A browser without cookies. It is shown error pages as everybody else is."""
        return TestClient(self.app, self.settings.public_url, raise_server_exceptions=False, follow_redirects=False)

    def signed_in(self, partner_id: str = "") -> TestClient:
        """A browser with a partner's session, or without an id one of the vendor's staff."""
        browser = self.browser()
        answer = redeem(browser, self.link(partner_id))
        assert answer.status_code == 303, answer.text
        return browser

    def with_session(self, visitor: Visitor) -> TestClient:
        """A browser with the session of such a visitor; his own session id is not looked at."""
        invitation = Invitation(visitor.audience, visitor.partner_id)
        with self.engine.begin() as connection:
            sessions = Sessions(self.engine, self.real)
            session_id = sessions.open(
                connection, invitation, visitor.person, visitor.role, confirmed=visitor.confirmed
            )
            if visitor.viewing:
                sessions.view(connection, session_id, visitor.viewing)
        browser = self.browser()
        browser.cookies.set(Cookies(self.settings).session, session_id)
        return browser

    def confirmed(self, partner_id: str) -> TestClient:
        """A browser of a partner who has just shown a second factor."""
        return self.with_session(Visitor(PARTNER, partner_id, "", confirmed=True))

    def contact(self, partner_id: str, contact_id: str, standing: Standing, language: str = "en") -> TestClient:
        """A browser of somebody whom a partner named, by a session that was even confirmed."""
        with self.engine.begin() as connection:
            if contacts.find(connection, partner_id, contact_id) is None:
                contacts.add(connection, partner_id, contact_id, standing, language, self.real.now())
        return self.with_session(Visitor(PARTNER, partner_id, "", contact_id, confirmed=True))

    def staff(self, role: Role, person: str = "anna", viewing: str = "") -> TestClient:
        """A browser of somebody among the vendor's staff, perhaps looking at a partner's pages."""
        return self.with_session(Visitor(STAFF, "", "", person, role, viewing=viewing))

    def mark(self, browser: TestClient) -> str:
        """What the forms of this browser's pages carry, without looking at one."""
        return Forms(self.settings).mark(browser.cookies.get(Cookies(self.settings).session, ""))

    def link(self, partner_id: str = "", person: str = "") -> str:
        """The path of a personal link."""
        link = link_for(self.settings, Invitation("partner" if partner_id else "staff", partner_id, person))
        return link.removeprefix(self.settings.public_url)


def redeem(browser: TestClient, path: str) -> Any:
    """Open a personal link and press its button."""
    return browser.post(path, data={"mark": mark_in(browser.get(path).text)})


def mark_in(html: str) -> str:
    """What a page's form carries."""
    found = re.search(r'name="mark" value="([^"]+)"', html)
    assert found, "the page has no form"
    return unescape(found[1])


@pytest.fixture(scope="session")
def programme() -> Programme:
    """The programme that ships."""
    return parse((ROOT / "programme.toml").read_text("utf-8"))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An empty read model on each kind of database."""
    engine = open_engine(database_url, MIGRATIONS)
    yield engine
    engine.dispose()


@pytest.fixture
def site(tmp_path: Path, programme: Programme) -> Iterator[Site]:
    """A portal with two partners: P1 with 48 units in two sales and a rejected one, P2 with one sale."""
    settings = load({"data": tmp_path / "data", "public_url": "http://portal.test"}, {}).settings
    engine = open_engine(sqlite_url(tmp_path), MIGRATIONS)
    feed(engine, a_partner("P1"), a_partner("P2", name="Muster Datentechnik GmbH"))
    feed(
        engine,
        a_line("P1", "S-1", 40, serial_numbers=("MP0001",)),
        a_line("P1", "S-2", 8),
        a_line("P1", "S-3", 2, status="rejected", reason="product-not-in-programme", units=0, product_id="KB-010"),
        a_line("P2", "S-9", 1),
        a_tally(programme, "P1", 48, counted=2, rejected=1),
        a_tally(programme, "P2", 1, counted=1),
    )
    yield Site(settings, programme, engine)
    engine.dispose()
