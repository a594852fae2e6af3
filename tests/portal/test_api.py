"""The JSON interface: what a token opens, that it opens nothing else, and what hostile questions get."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from sqlalchemy import Engine, select

from deploy.runtime.settings import load
from schemas.events import PayoutStatus
from schemas.topics import SETTLED_LINES
from services.portal import tokens
from services.portal.api.pace import Pace
from services.portal.tokens import TOKENS_MAX, Scope, TooMany, api_tokens
from tests.portal.conftest import Site, mark_in
from tests.portal.feeding import NOON, a_line, a_payout, feed, feed_lines

EVERYTHING = set(Scope)
ADDRESSES = ("/quarters", "/standing", "/sales", "/sale?sale_id=S-1", "/payouts")


def token_of(site: Site, partner_id: str = "P1", scopes: set[Scope] = EVERYTHING, days: int = 30) -> str:
    with site.engine.begin() as connection:
        return tokens.create(connection, partner_id, "test", scopes, days, site.real.now())


def ask(site: Site, address: str, token: str = "", **headers: str) -> Any:
    shown = {"authorization": f"Bearer {token}"} if token else {}
    return site.browser().get(f"/api/v1{address}", headers=shown | headers)


def test_the_standing_is_that_of_the_page(site: Site) -> None:
    answer = ask(site, "/standing", token_of(site))
    assert answer.status_code == 200
    said = answer.json()
    assert (said["quarter"], said["units"], said["tier"], said["rebate_minor"]) == ("2026Q4", 48, 25, 48000)
    assert said["next_tier"] == {"threshold": 50, "units_missing": 2, "gain_minor": 27000}
    assert ask(site, "/quarters", token_of(site)).json() == {"quarters": ["2026Q4"]}
    assert ask(site, "/standing?quarter=2025Q1", token_of(site)).status_code == 404


def test_sales_are_read_on_from_the_cursor_and_no_change_is_missed(site: Site) -> None:
    token = token_of(site)
    first = ask(site, "/sales?limit=2", token).json()
    assert ([sale["sale_id"] for sale in first["sales"]], first["more"]) == (["S-1", "S-2"], True)
    rest = ask(site, f"/sales?after={first['cursor']}", token).json()
    assert ([sale["sale_id"] for sale in rest["sales"]], rest["more"]) == (["S-3"], False)
    assert rest["sales"][0]["reason"] == "product-not-in-programme"
    assert first["sales"][0]["serial_numbers"] == ["MP0001"]
    feed(site.engine, a_line("P1", "S-1", 39, reported_by="claim"))
    changed = ask(site, f"/sales?after={rest['cursor']}", token).json()
    assert [(sale["sale_id"], sale["units"]) for sale in changed["sales"]] == [("S-1", 39)]
    assert [sale["reported_by"] for sale in first["sales"] + changed["sales"]] == ["", "", "claim"]
    again = ask(site, f"/sales?after={changed['cursor']}", token).json()
    assert again == {"sales": [], "cursor": changed["cursor"], "more": False}


def test_sales_that_settled_long_ago_come_first_and_none_twice(site: Site) -> None:
    token = token_of(site)
    nothing = ask(site, "/sales?after=9999999", token).json()
    assert nothing == {"sales": [], "cursor": "9999999", "more": False}
    feed_lines(site.engine, SETTLED_LINES, *((a_line("P1", f"O-{n}", 1), False) for n in range(2)), first_offset=0)
    first = ask(site, "/sales?limit=1", token).json()
    rest = ask(site, f"/sales?after={first['cursor']}&limit=2", token).json()
    assert [sale["sale_id"] for sale in first["sales"] + rest["sales"]] == ["O-0", "O-1", "S-1"]


def test_one_sale_and_the_payouts_are_told(site: Site) -> None:
    feed(site.engine, a_payout("P1", 1, 1, PayoutStatus.PAYABLE, 48000))
    token = token_of(site)
    assert ask(site, "/sale?sale_id=S-2", token).json()["units"] == 8
    (payout,) = ask(site, "/payouts", token).json()["payouts"]
    assert (payout["quarter"], payout["revision"], payout["amount_minor"]) == ("2026Q3", 1, 48000)


def test_a_partner_reads_nothing_of_another(site: Site) -> None:
    token = token_of(site, "P2")
    assert [sale["sale_id"] for sale in ask(site, "/sales", token).json()["sales"]] == ["S-9"]
    assert ask(site, "/sale?sale_id=S-1", token).status_code == 404


@pytest.mark.parametrize("address", ADDRESSES)
def test_without_a_token_that_works_nothing_is_told(site: Site, address: str) -> None:
    good = token_of(site)
    with site.engine.begin() as connection:
        (row,) = tokens.listed(connection, "P1")
        assert not tokens.revoke(connection, "P2", row.id, site.real.now())
    assert ask(site, address, good).status_code == 200
    for token in ("", "x", good[:-1] + ("a" if good[-1] != "a" else "b"), f"stf_{'0' * 16}_{'x' * 43}"):
        answer = ask(site, address, token)
        assert (answer.status_code, answer.json()["error"]) == (401, "no-token")
        assert answer.headers["www-authenticate"] == "Bearer"
    # A session's cookie is worth nothing here: another site could send it along.
    assert site.signed_in("P1").get(f"/api/v1{address}").status_code == 401
    with site.engine.begin() as connection:
        assert tokens.revoke(connection, "P1", row.id, site.real.now())
        assert not tokens.revoke(connection, "P1", row.id, site.real.now())
    assert ask(site, address, good).status_code == 401


def test_a_token_expires(site: Site) -> None:
    token = token_of(site, days=30)
    site.real.pass_by(timedelta(days=29))
    assert ask(site, "/standing", token).status_code == 200
    site.real.pass_by(timedelta(days=1))
    assert ask(site, "/standing", token).status_code == 401


@pytest.mark.parametrize("scope", Scope)
def test_a_token_is_good_for_its_scope_alone(site: Site, scope: Scope) -> None:
    token = token_of(site, scopes={scope})
    opened = {address: ask(site, address, token).status_code for address in ADDRESSES}
    of_scope = {Scope.STANDING: ADDRESSES[:2], Scope.SALES: ADDRESSES[2:4], Scope.PAYOUTS: ADDRESSES[4:]}[scope]
    assert opened == {address: 200 if address in of_scope else 403 for address in ADDRESSES}


@pytest.mark.parametrize(
    "address",
    ["/standing?quarter=x", "/sales?after=-1", "/sales?after=%D9%A1", "/sales?limit=0", "/sales?limit=1001", "/sale"],
)
def test_a_question_that_cannot_be_read_is_told_so(site: Site, address: str) -> None:
    answer = ask(site, address, token_of(site))
    assert (answer.status_code, answer.json()["error"]) == (422, "unreadable")


def test_too_many_questions_wait() -> None:
    now = [0.0]
    pace = Pace(60, lambda: now[0])
    assert [pace.wait("a") for _ in range(61)] == [0] * 60 + [1]
    assert pace.wait("b") == 0
    now[0] = 1.0
    assert [pace.wait("a"), pace.wait("a")] == [0, 1]


def test_the_pace_is_kept_by_the_interface(site: Site) -> None:
    slow = load({"data": site.settings.data, "public_url": site.settings.public_url, "api_per_minute": 2}, {}).settings
    own = Site(slow, site.programme, site.engine)
    token = token_of(own)
    assert [ask(own, "/quarters", token).status_code for _ in range(3)] == [200, 200, 429]


def test_the_database_holds_no_token(engine: Engine) -> None:
    with engine.begin() as connection:
        token = tokens.create(connection, "P1", "test", EVERYTHING, 1, NOON)
        kept = str(connection.execute(select(api_tokens)).all())
    assert token.split("_", 2)[2] not in kept
    with engine.begin() as connection:
        grant = tokens.find(connection, token, NOON)
        assert grant is not None
        assert (grant.partner_id, grant.scopes) == ("P1", frozenset(Scope))
        tokens.note_use(connection, grant.token_id, NOON)
        assert tokens.listed(connection, "P1")[0].used_at == NOON


def test_a_partner_has_so_many_tokens_and_no_more(engine: Engine) -> None:
    with engine.begin() as connection:
        for _ in range(TOKENS_MAX):
            tokens.create(connection, "P1", "test", EVERYTHING, 1, NOON)
        with pytest.raises(TooMany):
            tokens.create(connection, "P1", "test", EVERYTHING, 1, NOON)
        tokens.create(connection, "P2", "test", EVERYTHING, 1, NOON)
        with pytest.raises(ValueError, match="1 to 366 days"):
            tokens.create(connection, "P2", "test", EVERYTHING, 367, NOON)


# --- the page ----------------------------------------------------------------------------------------------------


def test_a_partner_makes_a_token_sees_it_once_and_ends_it(site: Site) -> None:
    browser = site.confirmed("P1")
    mark = mark_in(browser.get("/tokens").text)
    form = {"mark": mark, "name": "Our ERP", "scope-sales": "1", "days": "30"}
    page = browser.post("/tokens", data=form)
    found = re.search(r'class="secret">([^<]+)<', page.text)
    assert found
    token = unescape(found[1])
    assert ask(site, "/sales", token).status_code == 200
    assert ask(site, "/standing", token).status_code == 403
    later = browser.get("/tokens").text
    assert "Our ERP" in later
    assert token not in later
    (ending,) = set(re.findall(r'action="(/tokens/\w+/end)"', later))
    assert browser.post(ending, data={"mark": mark}).status_code == 303
    assert ask(site, "/sales", token).status_code == 401
    assert browser.post(ending, data={"mark": mark}).status_code == 404


def test_a_link_alone_makes_no_token(site: Site) -> None:
    browser = site.signed_in("P1")
    page = browser.get("/tokens").text
    assert "/confirm?next=/tokens" in page
    form = {"mark": mark_in(page), "name": "x", "scope-sales": "1", "days": "30"}
    assert browser.post("/tokens", data=form).status_code == 404
    with site.engine.connect() as connection:
        assert tokens.listed(connection, "P1") == []


def test_a_token_without_a_name_or_a_scope_is_not_made(site: Site) -> None:
    browser = site.confirmed("P1")
    mark = mark_in(browser.get("/tokens").text)
    for form in ({"name": " ", "scope-sales": "1"}, {"name": "x"}):
        page = browser.post("/tokens", data={"mark": mark, "days": "30", **form})
        assert "needs a name and at least one thing" in page.text
    assert browser.post("/tokens", data={"mark": mark, "name": "x", "days": "9999"}).status_code == 403


# --- hostile questions -------------------------------------------------------------------------------------------


def test_the_document_tells_the_truth_whatever_is_asked(site: Site) -> None:
    # Not only that nothing breaks: each answer must be one that the interface's own document announces.
    schema, token = schemathesis.openapi.from_asgi("/api/v1/openapi.json", site.app), token_of(site)
    asked: Counter[int] = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy())
        def attack(case: Any) -> None:
            asked[case.call_and_validate(headers={"Authorization": f"Bearer {token}"}).status_code] += 1

        attack()
    assert asked[200] > 20
    assert asked.keys() <= {200, 404, 422}
