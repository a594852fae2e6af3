"""The vendor's people sign in: who gets in, who is slowed, and what is written down."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from statistics import median
from time import perf_counter
from typing import Any

import pyotp
import pytest
from sqlalchemy import Engine, select
from starlette.testclient import TestClient

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import load
from services.portal.audit import Wanted, entries
from services.portal.auth import Role
from services.portal.identity import passwords, staff
from services.portal.identity.pace import Limit, Pace
from services.portal.identity.tables import attempts, factors
from services.portal.identity.tables import staff as people
from services.portal.tables import sessions
from tests.portal.conftest import HandClock, Site, mark_in
from tests.portal.feeding import NOON

PASSWORD = "correct horse battery"


@pytest.fixture
def anna(site: Site) -> Site:
    """A site where anna may approve."""
    with site.engine.begin() as connection:
        staff.add(connection, "anna", PASSWORD, Role.APPROVER, "test")
    return site


def give(browser: TestClient, password: str, name: str = "anna", **headers: str) -> Any:
    """Fill in the first form."""
    mark = mark_in(browser.get("/sign-in").text)
    return browser.post("/sign-in", data={"mark": mark, "name": name, "password": password}, headers=headers)


def hidden(html: str, name: str) -> str:
    return html.split(f'name="{name}" value="')[1].split('"')[0]


def noted(site: Site) -> list[tuple[str, str, str]]:
    with site.engine.connect() as connection:
        return [(row.who, row.what, row.about) for row in entries(connection, Wanted()).rows]


def test_name_and_password_open_the_programme_under_the_persons_name(anna: Site) -> None:
    browser = anna.browser()
    answer = give(browser, PASSWORD, " Anna ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/programme")
    assert browser.get("/programme").status_code == 200
    assert "Signed in as anna" in browser.get("/account").text
    assert noted(anna)[0] == ("staff anna", "signed-in", "anna")
    with anna.engine.connect() as connection:
        (row,) = connection.execute(select(sessions)).all()
    assert (row.person, row.role, row.confirmed_at) == ("anna", Role.APPROVER, None)


def test_a_wrong_password_an_unknown_name_and_a_disabled_one_get_the_same_answer(anna: Site) -> None:
    with anna.engine.begin() as connection:
        staff.add(connection, "bo", PASSWORD, Role.VIEWER, "test")
        staff.disable(connection, "bo", "test")
    answers = [give(anna.browser(), *given) for given in (("wrong", "anna"), (PASSWORD, "nobody"), (PASSWORD, "bo"))]
    said = {(a.status_code, a.text.replace(f'value="{n}"', "").replace(mark_in(a.text), ""))
            for a, n in zip(answers, ("anna", "nobody", "bo"), strict=True)}  # fmt: skip
    assert len(said) == 1
    assert answers[0].status_code == 422
    assert [entry for entry in noted(anna) if entry[1] == "sign-in-failed"] == [
        ("system", "sign-in-failed", "bo"),
        ("system", "sign-in-failed", ""),
        ("system", "sign-in-failed", "anna"),
    ]


def test_unknown_names_take_as_long_as_known_ones() -> None:
    kept = passwords.digest(PASSWORD)
    assert passwords.fits(kept, PASSWORD)

    def seconds(what: str | None) -> float:
        began = perf_counter()
        assert not passwords.fits(what, "wrong password")
        return perf_counter() - began

    known, unknown = (median(seconds(what) for _ in range(7)) for what in (kept, None))
    assert 0.5 < known / unknown < 2


def test_who_is_shut_out_is_out_at_once(anna: Site) -> None:
    browser = anna.browser()
    give(browser, PASSWORD)
    with anna.engine.begin() as connection:
        assert staff.disable(connection, "anna", "test") == 1
    assert browser.get("/programme").status_code == 404
    assert give(anna.browser(), PASSWORD).status_code == 422
    with anna.engine.begin() as connection:
        staff.enable(connection, "anna", "test")
    assert give(anna.browser(), PASSWORD).status_code == 303


def test_another_password_or_role_ends_the_sessions(anna: Site) -> None:
    browser = anna.browser()
    give(browser, PASSWORD)
    with anna.engine.begin() as connection:
        staff.change_role(connection, "anna", Role.VIEWER, "test")
    assert browser.get("/programme").status_code == 404
    give(browser, PASSWORD)
    form = {
        "mark": anna.mark(browser),
        "password": PASSWORD,
        "new": "another good phrase",
        "again": "another good phrase",
    }
    assert browser.post("/account/password", data=form | {"password": "wrong"}).status_code == 422
    assert browser.post("/account/password", data=form | {"again": "another"}).status_code == 422
    assert (
        browser.post("/account/password", data=form | dict.fromkeys(("new", "again"), "anna12345678")).status_code
        == 422
    )
    assert browser.post("/account/password", data=form).headers["location"] == "/sign-in"
    assert browser.get("/programme").status_code == 404
    assert give(browser, PASSWORD).status_code == 422
    assert give(browser, "another good phrase").status_code == 303


def test_signing_in_makes_a_new_session_and_ends_the_one_before(anna: Site) -> None:
    browser = anna.signed_in()
    before = browser.cookies["staffel-80"]
    give(browser, PASSWORD)
    assert browser.cookies["staffel-80"] != before
    old = anna.browser()
    old.cookies.set("staffel-80", before)
    assert old.get("/programme").status_code == 404


def test_all_sessions_of_a_person_end_together_and_no_other(anna: Site) -> None:
    here, there, other = anna.staff(Role.APPROVER), anna.staff(Role.APPROVER), anna.staff(Role.VIEWER, "bo")
    assert here.post("/account/end-all", data={"mark": anna.mark(here)}).status_code == 200
    assert [b.get("/programme").status_code for b in (here, there, other)] == [404, 404, 200]


def test_the_vendors_link_is_nobody_by_name(site: Site) -> None:
    browser = site.signed_in()
    assert "/account" not in browser.get("/programme").text
    assert browser.get("/account").status_code == 404
    for path in ("/account/end-all", "/partners/P1/view", "/account/password"):
        assert browser.post(path, data={"mark": site.mark(browser)}).status_code == 404


def test_tries_are_slowed_but_nobody_shuts_out_another(anna: Site) -> None:
    attacker = anna.browser()
    codes = [give(attacker, "wrong").status_code for _ in range(12)]
    assert codes == [422] * 10 + [429] * 2
    assert give(anna.browser(), PASSWORD).status_code == 429  # from the same address
    anna.real.pass_by(timedelta(minutes=16))
    assert give(anna.browser(), PASSWORD).status_code == 303


def test_a_name_tried_from_everywhere_is_slow_for_all_and_shut_for_nobody(anna: Site) -> None:
    settings = load(
        {"data": anna.settings.data, "public_url": anna.settings.public_url, "proxies": "10.0.0.0/8"}, {}
    ).settings
    own = Site(settings, anna.programme, anna.engine)

    def from_(address: str, password: str) -> int:
        browser = TestClient(own.app, settings.public_url, follow_redirects=False, client=("10.0.0.1", 1))
        return int(give(browser, password, **{"x-forwarded-for": address}).status_code)

    assert [from_(f"192.0.2.{n}", "wrong") for n in range(21)] == [422] * 21
    assert from_("198.51.100.7", PASSWORD) == 429
    own.real.pass_by(timedelta(seconds=6))
    assert from_("198.51.100.7", PASSWORD) == 303


def test_a_forged_address_counts_as_the_one_that_it_came_from(anna: Site) -> None:
    browser = anna.browser()
    codes = [give(browser, "wrong", **{"x-forwarded-for": f"192.0.2.{n}"}).status_code for n in range(11)]
    assert codes[-1] == 429


def test_after_the_password_comes_what_is_set_up(anna: Site) -> None:
    browser = anna.browser()
    give(browser, PASSWORD)
    secret = set_up_app(anna, browser)
    browser.cookies.clear()
    anna.real.pass_by(timedelta(minutes=1))

    asked = give(browser, PASSWORD)
    assert asked.status_code == 200
    assert browser.get("/programme").status_code == 404
    form = {"mark": mark_in(asked.text), "passed": hidden(asked.text, "passed")}
    code = pyotp.TOTP(secret).at(anna.real.now())
    assert browser.post("/sign-in/code", data=form | {"code": "000000"}).status_code == 422
    assert browser.post("/sign-in/code", data=form | {"code": code, "passed": "x"}).status_code == 422
    assert browser.post("/sign-in/code", data=form | {"code": code}).headers["location"] == "/programme"
    with anna.engine.connect() as connection:
        rows = connection.execute(select(sessions).where(sessions.c.confirmed_at.is_not(None))).all()
    assert len(rows) == 1
    assert noted(anna)[0][1] == "signed-in"

    asked = give(anna.browser(), PASSWORD)
    again = anna.browser()
    again.get("/sign-in")
    form = {"mark": mark_in(again.get("/sign-in").text), "passed": hidden(asked.text, "passed"), "code": code}
    assert again.post("/sign-in/code", data=form).status_code == 422, "a code works once"


def test_after_five_wrong_codes_there_is_a_pause(anna: Site) -> None:
    browser = anna.browser()
    give(browser, PASSWORD)
    secret = set_up_app(anna, browser)
    anna.real.pass_by(timedelta(minutes=1))
    asked = give(anna.browser(), PASSWORD)
    browser = anna.browser()
    form = {"mark": mark_in(browser.get("/sign-in").text), "passed": hidden(asked.text, "passed")}
    wrong = [browser.post("/sign-in/code", data=form | {"code": "000000"}).status_code for _ in range(6)]
    assert wrong == [422] * 5 + [429]
    code = pyotp.TOTP(secret).at(anna.real.now())
    assert browser.post("/sign-in/code", data=form | {"code": code}).status_code == 429
    anna.real.pass_by(timedelta(minutes=15))
    code = pyotp.TOTP(secret).at(anna.real.now())
    assert browser.post("/sign-in/code", data=form | {"code": code}).status_code == 303


def test_a_password_that_changes_meanwhile_ends_the_first_step(anna: Site) -> None:
    browser = anna.browser()
    give(browser, PASSWORD)
    secret = set_up_app(anna, browser)
    anna.real.pass_by(timedelta(minutes=1))
    browser = anna.browser()
    asked = give(browser, PASSWORD)
    with anna.engine.begin() as connection:
        staff.change_password(connection, "anna", "another good phrase", "test")
    form = {"mark": mark_in(asked.text), "passed": hidden(asked.text, "passed")}
    answer = browser.post("/sign-in/code", data=form | {"code": pyotp.TOTP(secret).at(anna.real.now())})
    assert answer.status_code == 422
    assert browser.get("/programme").status_code == 404


def test_who_has_lost_the_second_factor_gets_another_chance(anna: Site) -> None:
    browser = anna.browser()
    give(browser, PASSWORD)
    set_up_app(anna, browser)
    with anna.engine.begin() as connection:
        assert staff.forget_factors(connection, "anna", "test") == 1
    assert browser.get("/programme").status_code == 404
    assert give(anna.browser(), PASSWORD).status_code == 303


def test_the_database_holds_no_password_no_secret_and_no_address(anna: Site) -> None:
    browser = anna.browser()
    give(browser, PASSWORD)
    secret = set_up_app(anna, browser)
    give(anna.browser(), "a secret typed wrongly", "a secret typed wrongly")
    with anna.engine.connect() as connection:
        tables = (people, factors, attempts, sessions)
        held = str([connection.execute(select(table)).all() for table in tables])
    held += str(noted(anna))
    for word in (PASSWORD, secret, "testclient", "typed wrongly"):
        assert word not in held


def set_up_app(site: Site, browser: TestClient) -> str:
    """Set up an app with one-time codes; answers its secret."""
    page = browser.get("/account/app").text
    secret = page.split('<code class="secret">')[1].split("<")[0]
    form = {"mark": mark_in(page), "sealed": hidden(page, "sealed"), "password": PASSWORD}
    code = pyotp.TOTP(secret).at(site.real.now())
    assert browser.post("/account/app", data=form | {"code": code, "password": "wrong"}).status_code == 422
    assert browser.post("/account/app", data=form | {"code": code, "sealed": "x"}).status_code == 403
    assert browser.post("/account/app", data=form | {"code": code, "label": "phone"}).status_code == 200
    return secret


@pytest.mark.parametrize(
    "password",
    ["short", "password1234", "Passwort!2026", "anna.anna.anna", "aaaaaaaaaaaaaaa", "123456789012", "x" * 201],
)
def test_a_password_that_would_be_tried_first_is_refused(password: str) -> None:
    with pytest.raises(UsageError):
        passwords.check(password, "anna")


def test_some_words_in_a_row_are_good_in_any_language() -> None:
    for password in (PASSWORD, "grüne wolken über köln", "Kv8$wmLq#2pZ"):
        passwords.check(password, "anna")


@pytest.mark.parametrize("name", ["", "a b", "a@b.example", "ä", "x" * 41, "-a", "a\nb"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        staff.read_name(name)


def test_of_tries_at_once_no_more_pass_than_may(engine: Engine, site: Site) -> None:
    pace = Pace(engine, HandClock(NOON), site.settings)
    limit = Limit("test", "x", 5, timedelta(minutes=1))
    with ThreadPoolExecutor(8) as pool:
        passed = list(pool.map(lambda _: pace.spend(limit), range(40)))
    assert passed.count(True) == 5
