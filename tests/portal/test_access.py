"""Who gets in, how far, and what every answer carries."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import select
from starlette.testclient import TestClient

from deploy.runtime.settings import load, secret
from services.kit.links import Invitation
from services.portal.auth import IDLE, LIFETIME
from services.portal.tables import sessions
from tests.portal.conftest import Site, mark_in, redeem

PARTNER_ROUTES = (
    *("/", "/events", "/why", "/?quarter=2026Q4", "/quarters", "/sale?id=S-1"),
    *("/sales", "/sales?quarter=2026Q4&status=counted&q=S-1", "/sales.csv", "/sales.xlsx"),
)
STAFF_ROUTES = (
    *("/programme", "/programme/events", "/programme/tiers.csv"),
    *("/partners", "/partners?q=P1", "/partners.csv", "/partners.xlsx", "/partners/P1"),
)


def nobody(site: Site) -> TestClient:
    return site.browser()


def expired(site: Site) -> TestClient:
    browser = site.signed_in("P1")
    site.real.pass_by(IDLE)
    return browser


def expired_staff(site: Site) -> TestClient:
    browser = site.signed_in()
    site.real.pass_by(IDLE)
    return browser


def signed_out(site: Site) -> TestClient:
    browser = site.signed_in("P1")
    cookies = dict(browser.cookies)
    browser.post("/logout", data={"mark": mark_in(browser.get("/").text)})
    browser.cookies.update(cookies)
    return browser


def garbage(site: Site) -> TestClient:
    browser = site.browser()
    browser.cookies.set("staffel-80", "x" * 43)
    return browser


def staff(site: Site) -> TestClient:
    return site.signed_in()


def partner(site: Site) -> TestClient:
    return site.signed_in("P1")


def same_as_nothing(browser: TestClient, answer: Any) -> None:
    nothing = browser.get("/no-such-page")
    assert (answer.status_code, answer.text) == (404, nothing.text)
    assert dict(answer.headers) == dict(nothing.headers)


def test_a_link_opens_on_the_quarter_that_its_mail_is_about(site: Site) -> None:
    assert redeem(site.browser(), site.link("P1")).headers["location"] == "/"
    browser = site.browser()
    path = f"{site.link('P1')}?quarter=2026Q3"
    assert f'action="{path}"' in browser.get(path).text
    assert redeem(browser, path).headers["location"] == "/?quarter=2026Q3"
    assert redeem(site.browser(), f"{site.link()}?quarter=2026Q3").headers["location"] == "/programme?quarter=2026Q3"


def test_a_link_opens_on_the_claim_that_its_mail_is_about(site: Site) -> None:
    path = f"{site.link('P1')}?claim=C-MFRGGZDFMZTWQ"
    assert f'action="{path}"' in site.browser().get(path).text
    assert redeem(site.browser(), path).headers["location"] == "/claims/C-MFRGGZDFMZTWQ"
    for other in ("C-MFRGGZDFMZTWQ/../..", "//evil.example", "C-MFRGGZDFMZTWQ%0a", "desk"):
        assert redeem(site.browser(), f"{site.link('P1')}?claim={other}").headers["location"] == "/"


def test_a_link_leads_nowhere_else(site: Site) -> None:
    same_as_nothing(site.browser(), site.browser().get(f"{site.link('P1')}?quarter=//evil.example"))
    elsewhere = redeem(site.browser(), f"{site.link('P1')}?next=//evil.example")
    assert elsewhere.headers["location"] == "/"


@pytest.mark.parametrize("route", PARTNER_ROUTES)
@pytest.mark.parametrize("visitor", [nobody, expired, signed_out, garbage, staff])
def test_a_partners_page_does_not_exist_for_anybody_else(
    site: Site, visitor: Callable[[Site], TestClient], route: str
) -> None:
    browser = visitor(site)
    same_as_nothing(browser, browser.get(route))


@pytest.mark.parametrize("route", STAFF_ROUTES)
@pytest.mark.parametrize("visitor", [nobody, expired_staff, garbage, partner])
def test_the_programme_page_does_not_exist_for_partners(
    site: Site, visitor: Callable[[Site], TestClient], route: str
) -> None:
    browser = visitor(site)
    same_as_nothing(browser, browser.get(route))


@pytest.mark.parametrize("visitor", [nobody, expired, signed_out, garbage])
def test_who_is_not_signed_in_cannot_sign_out(site: Site, visitor: Callable[[Site], TestClient]) -> None:
    browser = visitor(site)
    same_as_nothing(browser, browser.post("/logout", data={"mark": "x"}))


def test_a_partner_sees_his_own_and_nothing_of_another(site: Site) -> None:
    page = site.signed_in("P2").get("/")
    assert page.status_code == 200
    assert "Muster Datentechnik" in page.text
    assert "Beispiel" not in page.text
    assert "S-1" not in page.text
    assert "No sale fits" in site.signed_in("P2").get("/sales?q=S-1").text
    browser = site.signed_in("P2")
    same_as_nothing(browser, browser.get("/sale?id=S-1"))
    assert b"S-1" not in browser.get("/sales.csv?quarter=all").content


@pytest.mark.parametrize(
    "address",
    [
        *("/?quarter=2026Q1", "/?quarter=x", "/sales?quarter=2026Q1", "/sales?quarter=x", "/sales?status=x"),
        *("/sales?status=UNKNOWN", "/sales?before=x", "/sales?after=2026Q4.x.S-1", "/sales?from=1.11.2026"),
        *("/sale", "/sale?id=", "/sale?id=none", f"/sale?id={'x' * 2000}", "/why?quarter=2026Q1"),
    ],
)
def test_an_address_that_no_page_links_to_does_not_exist(site: Site, address: str) -> None:
    browser = site.signed_in("P1")
    same_as_nothing(browser, browser.get(address))


@pytest.mark.parametrize(
    "address",
    [
        *("/programme?quarter=2020Q1", "/programme/none.csv", "/partners?page=0", "/partners?page=x"),
        *("/partners?page=99999999999", "/partners?tier=x", "/partners?tier=-1", "/partners.csv?quarter=2020Q1"),
        *("/partners/P9", "/partners/..%2fP1", "/partners/P1%0a"),
    ],
)
def test_an_address_that_no_page_of_staff_links_to_does_not_exist(site: Site, address: str) -> None:
    browser = site.signed_in()
    same_as_nothing(browser, browser.get(address))


@pytest.mark.parametrize("token", ["x", "a.b.c", "%00", "..%2f..%2fetc%2fpasswd"])
def test_a_made_up_link_does_not_exist(site: Site, token: str) -> None:
    browser = site.browser()
    same_as_nothing(browser, browser.get(f"/l/{token}"))
    same_as_nothing(browser, browser.post(f"/l/{token}", data={"mark": "x"}))


@pytest.mark.parametrize("invitation", [Invitation("partner", ""), Invitation("staff", "P1"), Invitation("root", "P1")])
def test_a_link_for_an_audience_that_is_none_does_not_exist(site: Site, invitation: Invitation) -> None:
    signer = URLSafeTimedSerializer(secret(site.settings, "link_secret"), salt="staffel.personal-link.v1")
    browser = site.browser()
    same_as_nothing(browser, browser.get(f"/l/{signer.dumps(list(invitation))}"))


def test_looking_at_a_link_opens_nothing(site: Site) -> None:
    scanner, path = site.browser(), site.link("P1")
    for _ in range(50):
        assert scanner.get(path).status_code == 200
        assert scanner.head(path).status_code == 200
    with site.engine.connect() as connection:
        assert connection.execute(select(sessions)).all() == []
    assert "staffel-80" not in scanner.cookies


def test_the_button_opens_the_page_and_leaves_no_token_behind(site: Site) -> None:
    browser, path = site.browser(), site.link("P1")
    answer = redeem(browser, path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    page = browser.get("/").text
    assert "Beispiel Systemhaus GmbH" in page
    assert path.split("/")[-1] not in page


def test_a_link_works_again_from_a_later_mail(site: Site) -> None:
    path = site.link("P1")
    assert redeem(site.browser(), path).status_code == 303
    assert redeem(site.browser(), path).status_code == 303


def test_an_expired_link_says_so_and_opens_nothing(site: Site) -> None:
    short = load({"data": site.settings.data, "public_url": site.settings.public_url, "link_hours": -1}, {}).settings
    browser = Site(short, site.programme, site.engine).browser()
    for answer in (browser.get(site.link("P1")), browser.post(site.link("P1"), data={"mark": "x"})):
        assert answer.status_code == 410
        assert "This link has expired" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://elsewhere.example"},
    ],
)
def test_a_form_sent_by_another_site_is_refused(site: Site, headers: dict[str, str]) -> None:
    browser, path = site.browser(), site.link("P1")
    mark = mark_in(browser.get(path).text)
    assert browser.post(path, data={"mark": mark}, headers=headers).status_code == 403
    browser = site.signed_in("P1")
    mark = mark_in(browser.get("/").text)
    assert browser.post("/logout", data={"mark": mark}, headers=headers).status_code == 403
    assert browser.get("/").status_code == 200


def test_a_form_without_the_mark_of_this_browser_is_refused(site: Site) -> None:
    path = site.link("P1")
    foreign = mark_in(site.browser().get(path).text)
    browser = site.browser()
    browser.get(path)
    for mark in ("", "x", "\N{PILE OF POO}", foreign):
        assert browser.post(path, data={"mark": mark}).status_code == 403
    assert browser.post(path, content=b"\xff\xfe").status_code == 403
    assert browser.post(path, content=b"mark=" + b"x" * 1_000_000).status_code == 403


def test_a_session_ends_after_half_an_hour_without_use_and_after_twelve_hours(site: Site) -> None:
    browser = site.signed_in("P1")
    for _ in range(int(LIFETIME / timedelta(minutes=25))):
        site.real.pass_by(timedelta(minutes=25))
        assert browser.get("/").status_code == 200
    site.real.pass_by(timedelta(minutes=25))
    assert browser.get("/").status_code == 404


def test_signing_in_again_makes_a_new_session_and_ends_the_old_one(site: Site) -> None:
    browser = site.signed_in("P1")
    before = browser.cookies["staffel-80"]
    redeem(browser, site.link("P1"))
    assert browser.cookies["staffel-80"] != before
    old = site.browser()
    old.cookies.set("staffel-80", before)
    assert old.get("/").status_code == 404


def test_the_database_holds_no_session_id(site: Site) -> None:
    browser = site.signed_in("P1")
    with site.engine.connect() as connection:
        assert browser.cookies["staffel-80"] not in str(connection.execute(select(sessions)).all())


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(site: Site) -> None:
    secure = load({"data": site.settings.data, "public_url": "https://portal.test"}, {}).settings
    for settings, name in ((site.settings, "staffel-80"), (secure, "__Host-staffel")):
        own = Site(settings, site.programme, site.engine)
        answer = redeem(own.browser(), own.link("P1"))
        (cookie,) = [value for value in answer.headers.get_list("set-cookie") if value.startswith(f"{name}=")]
        assert re.search(r"; HttpOnly", cookie)
        assert re.search(r"; SameSite=lax", cookie)
        assert re.search(r"; Path=/(;|$)", cookie)
        assert ("; Secure" in cookie) == name.startswith("__Host-")
        assert "Domain" not in cookie


def test_every_answer_carries_the_security_headers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    own, vendor, stranger = site.signed_in("P1"), site.signed_in(), site.browser()
    answers = [
        own.get("/"),
        vendor.get("/programme"),
        stranger.get("/"),
        stranger.get("/programme"),
        stranger.get(site.link("P1")),
        stranger.get("/l/x"),
        stranger.post(site.link("P1")),
        redeem(site.browser(), site.link("P1")),
        own.put("/"),
        own.post("/logout"),
        own.get("/static/portal.css"),
        own.get("/static/none"),
        own.get("/static/../tables.py"),
    ]
    monkeypatch.setattr("services.portal.routes.partner.partner_page", lambda *_: 1 / 0)
    answers.append(own.get("/?quarter=2026Q4"))  # not kept from before
    assert [answer.status_code for answer in answers] == [
        *(200, 200, 404, 404, 200, 404, 403, 303, 404, 403, 200, 404, 404),
        500,
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        for rule in ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
            assert rule in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "strict-transport-security" not in answer.headers
        is_file = answer.headers["content-type"].startswith("text/css") if "content-type" in answer.headers else False
        assert answer.headers["cache-control"] == ("public, max-age=31536000, immutable" if is_file else "no-store")
    assert "division" not in answers[-1].text


def test_https_is_demanded_where_the_portal_has_it(site: Site) -> None:
    settings = load({"data": site.settings.data, "public_url": "https://portal.test"}, {}).settings
    answer = Site(settings, site.programme, site.engine).browser().get("/")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_no_page_has_a_script_or_a_style_of_its_own(site: Site) -> None:
    pages = [site.signed_in("P1").get("/").text, site.signed_in().get("/programme").text, site.browser().get("/").text]
    for page in pages:
        assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?! src=\"/static/)|javascript:", page) == []


def test_no_token_gets_into_a_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "staffel"):
        path = site.link("P1")
        redeem(site.browser(), path)
        site.browser().post(path)
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert path.split("/")[-1] not in "\n".join(ours)
