"""A partner shows more than his link: how the first second factor comes about, and what each is good for."""

from __future__ import annotations

import re
from datetime import timedelta

import pyotp
import pytest
from sqlalchemy import Engine, select
from starlette.testclient import TestClient

from deploy.runtime.settings import load
from services.portal.audit import Wanted, entries
from services.portal.auth import CONFIRMED_FOR, Role
from services.portal.identity import proof
from services.portal.identity.activation import make_activation_code
from services.portal.identity.codes import RECOVERY_CODES, Codes, Purpose
from services.portal.identity.passkeys import PASSKEY, Passkeys
from services.portal.identity.tables import factors, single_codes
from tests.portal.conftest import HandClock, Site
from tests.portal.feeding import NOON
from tests.portal.test_rows import learns_nothing
from tests.portal.test_signin import hidden, noted

OWNER = "partner P1"


def codes_of(site: Site) -> Codes:
    return Codes(site.real, site.settings, site.programme.name)


def activation_code(site: Site, partner_id: str = "P1") -> str:
    with site.engine.begin() as connection:
        return make_activation_code(connection, codes_of(site), partner_id, "staff anna")


def send(browser: TestClient, site: Site, path: str, **fields: str) -> int:
    return browser.post(path, data={"mark": site.mark(browser), **fields}).status_code


def set_up_app(site: Site, browser: TestClient, label: str = "") -> tuple[str, list[str]]:
    """Set up an app with one-time codes; answers its secret, and the recovery codes that came with it."""
    page = browser.get("/security/app").text
    secret = page.split('<code class="secret">')[1].split("<")[0]
    form = {"sealed": hidden(page, "sealed"), "code": pyotp.TOTP(secret).at(site.real.now()), "label": label}
    answer = browser.post("/security/app", data={"mark": site.mark(browser)} | form)
    assert answer.status_code == 200
    return secret, re.findall(r"<code>([A-Z2-7-]+)</code>", answer.text)


@pytest.fixture
def with_app(site: Site) -> tuple[Site, str, list[str]]:
    """A site whose partner P1 has an app, a minute ago; its secret and his recovery codes."""
    secret, codes = set_up_app(site, site.confirmed("P1"))
    site.real.pass_by(timedelta(minutes=1))
    return site, secret, codes


def test_an_activation_code_opens_the_page_where_the_first_factor_is_set_up(site: Site) -> None:
    browser, code = site.signed_in("P1"), activation_code(site)
    assert browser.get("/security").headers["location"] == "/confirm?next=/security"
    assert "Activation code" in browser.get("/confirm?next=/security").text
    before = browser.cookies["staffel-80"]
    answer = browser.post("/confirm/activation", data={"mark": site.mark(browser), "activation": code.lower()})
    assert (answer.status_code, answer.headers["location"]) == (303, "/security")
    assert browser.cookies["staffel-80"] != before
    old = site.browser()
    old.cookies.set("staffel-80", before)
    learns_nothing(old, old.get("/"))
    assert "Nothing is set up yet" in browser.get("/security").text
    _, codes = set_up_app(site, browser, "my phone")
    assert len(codes) == len(set(codes)) == RECOVERY_CODES
    assert "my phone" in browser.get("/security").text
    other = site.signed_in("P1")
    assert send(other, site, "/confirm/activation", activation=code) == 422, "it works once"


def test_an_activation_code_is_for_one_partner_for_two_weeks_and_the_latest(site: Site) -> None:
    first, second = activation_code(site), activation_code(site)
    assert send(site.signed_in("P1"), site, "/confirm/activation", activation=first) == 422
    assert send(site.signed_in("P2"), site, "/confirm/activation", activation=second) == 422
    site.real.pass_by(timedelta(days=14))
    assert send(site.signed_in("P1"), site, "/confirm/activation", activation=second) == 422
    for _ in range(10):
        assert send(site.signed_in("P2"), site, "/confirm/activation", activation="A" * 16) in (422, 429)
    assert send(site.signed_in("P2"), site, "/confirm/activation", activation=activation_code(site, "P2")) == 429
    with site.engine.connect() as connection:
        assert second not in str(connection.execute(select(single_codes)).all())


def test_a_code_of_the_app_opens_what_needs_more_for_a_quarter_of_an_hour(
    with_app: tuple[Site, str, list[str]],
) -> None:
    site, secret, _ = with_app
    browser = site.signed_in("P1")
    assert browser.get("/security").status_code == 303
    answer = browser.post(
        "/confirm",
        data={"mark": site.mark(browser), "code": pyotp.TOTP(secret).at(site.real.now()), "next": "/security"},
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/security")
    assert browser.get("/security").status_code == 200
    site.real.pass_by(CONFIRMED_FOR)
    assert browser.get("/security").status_code == 303
    assert ("partner P1", "second-factor-shown", "P1") in noted(site)


def test_a_code_works_once_even_in_another_session(with_app: tuple[Site, str, list[str]]) -> None:
    site, secret, _ = with_app
    code, one, other = pyotp.TOTP(secret).at(site.real.now()), site.signed_in("P1"), site.signed_in("P1")
    assert send(one, site, "/confirm", code=code) == 303
    assert send(other, site, "/confirm", code=code) == 422
    early = pyotp.TOTP(secret).at(site.real.now() - timedelta(seconds=30))
    assert send(other, site, "/confirm", code=early) == 422, "nor does one from before it"
    assert send(other, site, "/confirm", code=pyotp.TOTP(secret).at(site.real.now() + timedelta(seconds=30))) == 303


def test_after_five_tries_there_is_a_pause_that_a_new_session_does_not_end(
    with_app: tuple[Site, str, list[str]],
) -> None:
    site, secret, _ = with_app
    assert [send(site.signed_in("P1"), site, "/confirm", code="000000") for _ in range(6)] == [422] * 5 + [429]
    assert send(site.signed_in("P1"), site, "/confirm", code=pyotp.TOTP(secret).at(site.real.now())) == 429
    site.real.pass_by(proof.PAUSE)
    assert send(site.signed_in("P1"), site, "/confirm", code=pyotp.TOTP(secret).at(site.real.now())) == 303


def test_a_recovery_code_works_once_and_new_ones_end_the_old(with_app: tuple[Site, str, list[str]]) -> None:
    site, _, codes = with_app
    browser = site.signed_in("P1")
    assert send(browser, site, "/confirm", code=codes[0].lower()) == 303
    assert "9 codes left" in browser.get("/security").text
    assert send(site.signed_in("P1"), site, "/confirm", code=codes[0]) == 422
    page = browser.post("/security/recovery-codes", data={"mark": site.mark(browser)}).text
    fresh = re.findall(r"<code>([A-Z2-7-]+)</code>", page)
    assert send(site.signed_in("P1"), site, "/confirm", code=codes[1]) == 422
    assert send(site.signed_in("P1"), site, "/confirm", code=fresh[0]) == 303


def test_nobody_shows_a_factor_of_another(with_app: tuple[Site, str, list[str]]) -> None:
    site, secret, codes = with_app
    other = site.signed_in("P2")
    assert send(other, site, "/confirm", code=pyotp.TOTP(secret).at(site.real.now())) == 422
    assert send(other, site, "/confirm", code=codes[0]) == 422
    with site.engine.connect() as connection:
        factor_id = connection.execute(select(factors.c.factor_id)).scalar_one()
    other = site.confirmed("P2")
    assert send(other, site, "/security/remove", factor=factor_id) == 404
    assert "my phone" not in other.get("/security").text


def test_with_the_last_factor_go_the_recovery_codes(with_app: tuple[Site, str, list[str]]) -> None:
    site, _, codes = with_app
    browser = site.confirmed("P1")
    set_up_app(site, browser, "second")
    page = browser.get("/security").text
    for factor_id in re.findall(r'name="factor" value="([^"]+)"', page):
        assert send(browser, site, "/security/remove", factor=factor_id) == 303
    assert send(site.signed_in("P1"), site, "/confirm", code=codes[0]) == 422
    whats = [what for _, what, _ in noted(site)]
    assert whats.count("second-factor-removed") == whats.count("second-factor-added") == 2


def test_an_app_is_not_set_up_by_a_wrong_code_or_with_anothers_secret(site: Site) -> None:
    browser, other = site.confirmed("P1"), site.confirmed("P1")
    page = browser.get("/security/app").text
    sealed, secret = hidden(page, "sealed"), page.split('<code class="secret">')[1].split("<")[0]
    code = pyotp.TOTP(secret).at(site.real.now())
    assert send(browser, site, "/security/app", sealed=sealed, code="000000") == 422
    assert send(other, site, "/security/app", sealed=sealed, code=code) == 403
    assert "<svg" in page
    assert "otpauth" not in page
    with site.engine.connect() as connection:
        assert connection.execute(select(factors)).all() == []


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "/x?y=1", "javascript:1", "", "/a//b"]
)
def test_confirming_leads_to_pages_of_ours_alone(with_app: tuple[Site, str, list[str]], elsewhere: str) -> None:
    site, _, codes = with_app
    browser = site.signed_in("P1")
    assert hidden(browser.get("/confirm", params={"next": elsewhere}).text, "next") == "/"
    answer = browser.post("/confirm", data={"mark": site.mark(browser), "code": codes[0], "next": elsewhere})
    assert answer.headers["location"] == "/"


def test_all_sessions_of_a_partner_end_together(site: Site) -> None:
    one, other, foreign = site.signed_in("P1"), site.signed_in("P1"), site.signed_in("P2")
    assert send(one, site, "/security/end-all") == 200
    assert [browser.get("/").status_code for browser in (one, other, foreign)] == [404, 404, 200]


def test_staff_makes_an_activation_code_and_it_is_written_down_without_the_code(site: Site) -> None:
    browser = site.staff(Role.OPERATOR)
    page = browser.post("/partners/P1/activation-code", data={"mark": site.mark(browser)}).text
    code = page.split('<code class="secret">')[1].split("<")[0]
    assert re.fullmatch(r"[A-Z2-7]{4}(-[A-Z2-7]{4}){3}", code)
    assert noted(site)[0] == ("staff anna", "activation-code-made", "P1")
    with site.engine.connect() as connection:
        assert code not in str(entries(connection, Wanted()).rows)
    assert send(site.signed_in("P1"), site, "/confirm/activation", activation=code) == 303
    assert send(browser, site, "/partners/P9/activation-code") == 404


def test_staff_looks_at_a_partners_pages_and_away_again(site: Site) -> None:
    browser = site.staff(Role.VIEWER)
    assert browser.get("/").status_code == 404
    assert send(browser, site, "/partners/P9/view") == 404
    assert send(browser, site, "/partners/P1/view") == 303
    page = browser.get("/").text
    assert "Beispiel Systemhaus GmbH" in page
    assert "You look at the pages of P1" in page
    assert send(browser, site, "/weekly-mail", on="0") == 404
    assert browser.get("/security").status_code == 404
    assert browser.get("/programme").status_code == 200
    assert send(browser, site, "/partners/look-away") == 303
    assert browser.get("/").status_code == 404
    assert noted(site)[:2] == [("staff anna", "looked-away", "P1"), ("staff anna", "looked-as-partner", "P1")]


def test_passkeys_are_offered_where_browsers_know_them(site: Site) -> None:
    for url, work in {
        "https://portal.example": True,
        "http://localhost:8400": True,
        "http://portal.example": False,
        "http://127.0.0.1:8400": False,
        "https://192.0.2.1": False,
    }.items():
        settings = load({"data": site.settings.data, "public_url": url}, {}).settings
        assert Passkeys(site.real, settings, "x").work == work, url
    assert "/security/passkey" not in site.confirmed("P1").get("/security").text


@pytest.mark.parametrize("answer", ["", "x", "{}", '{"id": "AAAA"}', '{"id": 1}', "[]", '{"id": "A", "response": {}}'])
def test_an_answer_that_is_none_opens_nothing(engine: Engine, site: Site, answer: str) -> None:
    settings = load({"data": site.settings.data, "public_url": "https://portal.example"}, {}).settings
    passkeys = Passkeys(HandClock(NOON), settings, "x")
    with engine.begin() as connection:
        row = {"factor_id": "f", "owner": OWNER, "kind": PASSKEY, "label": "", "created_at": NOON, "sign_count": 0}
        connection.execute(factors.insert().values(row | {"credential_id": b"\0\0\0", "public_key": b"x"}))
        _, asked = passkeys.ask(connection, OWNER, "session")
        assert not passkeys.check(connection, OWNER, "session", asked, answer)
        _, asked = passkeys.offer(connection, OWNER, "session")
        assert not passkeys.take(connection, OWNER, "session", asked, answer, "")
        assert len(proof.listed(connection, OWNER)) == 1


def test_two_who_bring_the_same_code_are_told_apart_by_the_database(engine: Engine, site: Site) -> None:
    clock = HandClock(NOON)
    codes = Codes(clock, site.settings, "x")
    secret, _ = codes.offer("s")
    with engine.begin() as connection:
        assert codes.take(connection, OWNER, secret, pyotp.TOTP(secret).at(clock.now()), "")
    clock.pass_by(timedelta(minutes=1))
    code = pyotp.TOTP(secret).at(clock.now())
    with engine.begin() as connection:
        assert [codes.check(connection, OWNER, code) for _ in range(2)] == [True, False]
        (paper,) = codes.make(connection, OWNER, Purpose.ACTIVATION)
        assert [codes.spend(connection, OWNER, Purpose.RECOVERY, paper), codes.left(connection, OWNER)] == [False, 0]


def test_the_page_offers_no_way_to_change_the_record(site: Site) -> None:
    activation_code(site)
    browser = site.staff(Role.VIEWER)
    page = browser.get("/audit").text
    assert "activation-code-made" in page
    assert "staff anna" in page
    assert page.count('method="post"') == 1, "only signing out"
    assert "Nothing fits." in browser.get("/audit?about=P2").text
    file = browser.get("/audit.csv?what=activation-code-made")
    assert file.headers["content-type"].startswith("text/csv")
    assert file.text.count("activation-code-made") == 1
    assert browser.get("/audit?page=x").status_code == 404
