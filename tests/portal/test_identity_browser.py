"""Signing in and second factors in a real browser, with a passkey of its own."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from deploy.runtime.clock import RealClock
from deploy.runtime.settings import load
from services.kit.listening import listening
from services.portal.auth import Role
from services.portal.identity import staff
from services.portal.identity.activation import make_activation_code
from services.portal.identity.codes import Codes
from services.portal.identity.tables import factors
from services.portal.server import Server
from tests.conftest import free_ports
from tests.portal.conftest import Site
from tests.portal.test_browser import browser, look_at, open_page

__all__ = ["browser"]

PASSWORD = "correct horse battery"


@pytest.fixture
def named(site: Site) -> Iterator[Site]:
    """The portal behind a real server, under a name: browsers know passkeys for names only."""
    base = free_ports()
    flags = {"data": site.settings.data, "port_base": base, "public_url": f"http://localhost:{base}"}
    settings = load(flags, {}).settings
    own = Site(settings, site.programme, site.engine)
    own.real.shown = RealClock().now()
    with own.engine.begin() as connection:
        staff.add(connection, "anna", PASSWORD, Role.APPROVER, "test")
    server = Server(own.app, own.changes)
    socket = listening(settings.listen, base, "the pages")
    thread = threading.Thread(target=server.serve_on, args=(socket, lambda: False))
    thread.start()
    yield own
    server.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()


def no_barriers(page: Page) -> None:
    """Whether the page is for everybody: wide and light, narrow and dark."""
    faults = []
    for scheme, width in (("light", 1200), ("dark", 320)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        faults += look_at(page)
    page.set_viewport_size({"width": 1200, "height": 900})
    assert faults == []


def with_authenticator(page: Page) -> Page:
    """Give the browser an authenticator that asks nobody for a fingerprint."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return page


def activation_code(site: Site) -> str:
    codes = Codes(site.real, site.settings, site.programme.name)
    with site.engine.begin() as connection:
        return make_activation_code(connection, codes, "P1", "staff anna")


def sign_in(browser: Browser, site: Site) -> Page:
    page = browser.new_context(locale="en-GB").new_page()
    page.goto(f"{site.settings.public_url}/sign-in")
    no_barriers(page)
    page.get_by_label("User name").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    return page


def test_staff_signs_in_sets_up_an_app_and_needs_it_from_then_on(browser: Browser, named: Site) -> None:
    page = sign_in(browser, named)
    page.get_by_role("link", name="Your account").click()
    expect(page.get_by_role("heading", name="Signed in as anna")).to_be_visible()
    no_barriers(page)
    page.get_by_role("link", name="Set up an app with one-time codes").click()
    no_barriers(page)
    app = pyotp.TOTP(page.locator("code.secret").inner_text())
    page.get_by_label("The six digits that the app shows").fill(app.at(named.real.now()))
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Set up").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    no_barriers(page)
    code = page.locator(".paper-codes code").first.inner_text()
    page.get_by_role("button", name="Sign out").click()

    page = sign_in(browser, named)
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    no_barriers(page)
    page.get_by_label("One-time code").fill(code)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("link", name="Record").click()
    expect(page.get_by_text("signed-in").last).to_be_visible()
    no_barriers(page)


def test_a_partner_sets_up_a_passkey_and_confirms_with_it(browser: Browser, named: Site) -> None:
    page = with_authenticator(open_page(browser, named, "P1"))
    page.get_by_role("link", name="Security").click()
    no_barriers(page)
    page.get_by_label("Activation code").fill(activation_code(named))
    page.get_by_role("button", name="Go on").click()
    no_barriers(page)
    page.get_by_role("link", name="Set up a passkey").click()
    no_barriers(page)
    page.get_by_label("What you call it").fill("office laptop")
    page.get_by_role("button", name="Make a passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("office laptop")).to_be_visible()
    no_barriers(page)
    with named.engine.connect() as connection:
        assert connection.execute(select(factors.c.used_at)).scalar_one() is None

    page.get_by_role("button", name="Sign out").click()
    page.goto(named.settings.public_url + named.link("P1"))
    page.get_by_role("button", name="Open my page").click()
    page.get_by_role("link", name="Security").click()
    no_barriers(page)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_text("office laptop")).to_be_visible()
    with named.engine.connect() as connection:
        assert connection.execute(select(factors.c.used_at)).scalar_one() is not None


def test_a_browser_without_the_passkey_opens_nothing_and_says_so(browser: Browser, named: Site) -> None:
    page = with_authenticator(open_page(browser, named, "P1"))
    page.goto(f"{named.settings.public_url}/confirm?next=/security")
    page.get_by_label("Activation code").fill(activation_code(named))
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("link", name="Set up a passkey").click()
    page.get_by_role("button", name="Make a passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    code = page.locator(".paper-codes code").first.inner_text()

    other = with_authenticator(open_page(browser, named, "P1"))
    other.goto(f"{named.settings.public_url}/confirm?next=/security")
    other.get_by_role("button", name="Use a passkey").click()
    expect(other.get_by_text("The browser has shown no passkey.")).to_be_visible()
    other.get_by_label("One-time code").fill(code)
    other.get_by_role("button", name="Confirm").click()
    expect(other.get_by_role("heading", name="Security")).to_be_visible()


def test_without_javascript_an_app_works(browser: Browser, named: Site) -> None:
    page = browser.new_context(locale="en-GB", java_script_enabled=False).new_page()
    page.goto(named.settings.public_url + named.link("P1"))
    page.get_by_role("button", name="Open my page").click()
    page.get_by_role("link", name="Security").click()
    page.get_by_label("Activation code").fill(activation_code(named))
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("link", name="Set up a passkey").click()
    expect(page.get_by_text("with JavaScript turned on")).to_be_visible()
    page.get_by_role("link", name="Back").click()
    page.get_by_role("link", name="Set up an app with one-time codes").click()
    app = pyotp.TOTP(page.locator("code.secret").inner_text())
    page.get_by_label("The six digits that the app shows").fill(app.at(named.real.now()))
    page.get_by_role("button", name="Set up").click()
    expect(page.locator(".paper-codes li")).to_have_count(10)


def test_staff_looks_on_as_a_partner_sees_it(browser: Browser, named: Site) -> None:
    context = browser.new_context(locale="en-GB")
    for name, value in named.staff(Role.VIEWER, viewing="P1").cookies.items():
        context.add_cookies([{"name": name, "value": value, "url": named.settings.public_url}])
    page = context.new_page()
    page.goto(named.settings.public_url)
    expect(page.get_by_text("You look at the pages of P1")).to_be_visible()
    no_barriers(page)
    page.get_by_role("button", name="Back to the programme").click()
    expect(page.get_by_role("heading", name=re.compile("^The programme in"))).to_be_visible()
