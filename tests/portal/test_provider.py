"""Signing in at the vendor's own identity provider, over real HTTP and with really signed tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc.jwk import ECKey, OctKey
from sqlalchemy import Engine, select
from starlette.testclient import TestClient

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Settings, load
from services.portal.auth import Role
from services.portal.identity import staff, subjects
from services.portal.identity.provider import Provider, read_roles
from services.portal.tables import sessions
from tests.conftest import free_ports
from tests.portal.conftest import Site
from tests.portal.idp import CLIENT, SECRET, IdentityProvider
from tests.portal.test_rows import learns_nothing
from tests.portal.test_signin import PASSWORD, give, noted

ROLES = "approver=channel-approvers, operator=channel-team, viewer=sales"


@pytest.fixture
def idp() -> Iterator[IdentityProvider]:
    provider = IdentityProvider(free_ports())
    yield provider
    provider.close()


def settings_for(site: Site, issuer: str, **more: Any) -> Settings:
    flags = {"data": site.settings.data, "public_url": site.settings.public_url, "oidc_issuer": issuer}
    flags |= {"oidc_client_id": CLIENT, "oidc_client_secret": SECRET, "oidc_roles": ROLES}
    return load(flags | more, {}).settings


@pytest.fixture
def vouched(site: Site, idp: IdentityProvider) -> Site:
    return Site(settings_for(site, idp.issuer), site.programme, site.engine)


def go(site: Site, browser: TestClient | None = None) -> tuple[TestClient, Any]:
    """To the provider and back."""
    browser = browser or site.browser()
    away = browser.get("/sign-in/start")
    assert away.status_code == 303
    back = httpx2.get(away.headers["location"]).headers["location"]
    return browser, browser.get(back.removeprefix(site.settings.public_url))


def test_the_provider_vouches_for_a_person_and_says_what_he_may_do(vouched: Site, idp: IdentityProvider) -> None:
    page = vouched.browser().get("/sign-in").text
    assert 'href="/sign-in/start"' in page
    assert 'type="password"' not in page
    browser, answer = go(vouched)
    assert (answer.status_code, answer.headers["location"]) == (303, "/programme")
    assert "Signed in as anna" in browser.get("/account").text
    assert noted(vouched)[0] == ("staff anna", "signed-in", "anna")
    for groups, role in ((["channel-team", "sales"], Role.OPERATOR), ("sales", Role.VIEWER)):
        idp.person["groups"] = groups
        go(vouched)
        with vouched.engine.connect() as connection:
            assert role in connection.scalars(select(sessions.c.role)).all()


@pytest.mark.parametrize("groups", [None, [], ["others"], "approver", {"a": 1}, 7])
def test_who_is_in_none_of_the_groups_may_nothing(vouched: Site, idp: IdentityProvider, groups: Any) -> None:
    idp.person["groups"] = groups
    browser, answer = go(vouched)
    assert answer.status_code == 403
    assert "may not do anything here" in answer.text
    assert browser.get("/programme").status_code == 404


@pytest.mark.parametrize(
    "lies",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "another-client"},
        {"aud": [CLIENT, "another-client"]},
        {"azp": "another-client"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1},
        {"exp": None},
        {"iat": int(time.time()) + 3600},
        {"sub": None},
        {"sub": ""},
    ],
)
def test_a_token_that_is_not_for_us_now_opens_nothing(
    vouched: Site, idp: IdentityProvider, lies: dict[str, Any]
) -> None:
    idp.lies = lies
    browser, answer = go(vouched)
    assert answer.status_code == 422
    assert browser.get("/programme").status_code == 404


def test_a_token_signed_by_somebody_else_opens_nothing(vouched: Site, idp: IdentityProvider) -> None:
    go(vouched)
    idp.key = ECKey.generate_key("P-256", {"kid": "one"})
    assert go(vouched)[1].status_code == 422
    idp.key, idp.header = OctKey.import_key(SECRET * 3), {"alg": "HS256"}
    assert go(vouched)[1].status_code == 422
    idp.header = {"alg": "none"}
    assert go(vouched)[1].status_code == 422
    assert idp.keys_read == 1, "tokens that somebody makes up ask the provider for nothing"


def test_a_new_key_of_the_provider_is_found(
    vouched: Site, idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(vouched)
    idp.rotate()
    later = time.monotonic() + 61
    monkeypatch.setattr("services.portal.identity.provider.time.monotonic", lambda: later)
    assert go(vouched)[1].status_code == 303


def test_an_answer_works_in_the_browser_that_asked_and_once(vouched: Site) -> None:
    mine = vouched.browser()
    back = httpx2.get(mine.get("/sign-in/start").headers["location"]).headers["location"]
    path = back.removeprefix(vouched.settings.public_url)
    other = vouched.browser()
    assert other.get(path).status_code == 422
    other.get("/sign-in/start")
    assert other.get(path).status_code == 422
    assert mine.get(path).status_code == 303, "nobody else has spent the code"
    mine = vouched.browser()
    mine.get("/sign-in/start")
    state = parse_qs(urlsplit(path).query)["state"][0]
    assert mine.get(f"/sign-in/back?state={state}&code=x&iss=https://elsewhere.example").status_code == 422
    mine.get("/sign-in/start")
    assert mine.get("/sign-in/back?error=access_denied").status_code == 422
    mine, answer = go(vouched)
    assert answer.status_code == 303
    assert mine.get(path).status_code == 422


def test_a_provider_that_is_away_or_another_is_said_so(vouched: Site, idp: IdentityProvider) -> None:
    idp.calls_itself = "https://elsewhere.example"
    assert "did not work" in vouched.browser().get("/sign-in/start").text
    idp.close()
    assert "did not work" in vouched.browser().get("/sign-in/start").text


def test_with_a_provider_passwords_open_nothing_unless_it_is_said(site: Site, idp: IdentityProvider) -> None:
    with site.engine.begin() as connection:
        staff.add(connection, "bo", PASSWORD, Role.VIEWER, "test")
    alone = Site(settings_for(site, idp.issuer), site.programme, site.engine)
    browser = alone.browser()
    learns_nothing(browser, browser.post("/sign-in", data={"name": "bo", "password": PASSWORD}))
    learns_nothing(browser, browser.post("/sign-in/code", data={}))
    both = Site(settings_for(site, idp.issuer, oidc_and_passwords=True), site.programme, site.engine)
    assert 'href="/sign-in/start"' in both.browser().get("/sign-in").text
    assert give(both.browser(), PASSWORD, "bo").status_code == 303
    assert go(both)[1].status_code == 303
    learns_nothing(site.browser(), site.browser().get("/sign-in/start"))


def test_who_is_shut_out_here_does_not_come_in_by_the_provider(vouched: Site, idp: IdentityProvider) -> None:
    browser, _ = go(vouched)
    with vouched.engine.begin() as connection:
        assert staff.disable(connection, "anna", "test") == 1
    assert browser.get("/programme").status_code == 404
    assert go(vouched)[1].status_code == 403
    with vouched.engine.begin() as connection:
        staff.enable(connection, "anna", "test")
    assert go(vouched)[1].status_code == 303


def test_a_name_means_one_person_for_good(engine: Engine) -> None:
    with engine.begin() as connection:
        staff.add(connection, "bo", PASSWORD, Role.VIEWER, "test")
        given = [
            subjects.name_of(connection, "https://idp.example", subject, called)
            for subject, called in (("1", "anna"), ("2", "anna"), ("1", "boss"), ("3", "bo"), ("2", "x"))
        ]
    assert given == ["anna", "anna-2", "anna", "bo-2", "anna-2"]


def test_settings_that_can_not_be_are_told_at_the_start(site: Site) -> None:
    for more in (
        {"oidc_issuer": "http://idp.example"},
        {"oidc_client_id": ""},
        {"oidc_roles": ""},
        {"oidc_roles": "approver"},
        {"oidc_roles": "root=admins"},
    ):
        with pytest.raises(UsageError):
            Provider(settings_for(site, "https://idp.example", **more) if "oidc_issuer" not in more
                     else settings_for(site, more["oidc_issuer"]))  # fmt: skip
    assert read_roles(ROLES)["sales"] is Role.VIEWER
