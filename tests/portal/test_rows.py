"""Every route with every kind of visitor: each gets exactly what the route says, and else learns nothing.

A route with a part in its path needs an example in ``EXAMPLES``, one that leads somewhere in the ``site`` of the tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update
from starlette.testclient import TestClient

from services.kit.contacts import Standing
from services.portal.access import Needs, Row
from services.portal.auth import IDLE, Cookies, Role
from services.portal.identity import staff, tables
from services.portal.routes import bank, deadletters, details, endpoints, holds, mails, payments
from services.portal.tables import contacts, metadata
from services.portal.web import ROWS
from tests.portal.conftest import Site
from tests.portal.feeding import NOON

EXAMPLES = {
    "token": "x",
    "token_id": "0123456789abcdef",
    "partner_id": "P1",
    "number": "ST-2026Q3-0001",
    "form": "pdf",
    "table": "tiers",
    "claim_id": "C-AAAAAAAAAAAAA",
    "proof_id": "0" * 32,
    "run": "RB-20270129-VZDK",
    "endpoint": "ep_1f2e3d4c5b6a7988",
    "contact_id": "c-aaaaaaaaaaaaa",
    "obligation": "topseller/P1/2026Q4/1",
}
"""For each part of a path a value."""
QUERIES = {"/sale": "?id=S-1"}
"""What a page needs behind its path."""
FILES = ("/sales.csv", "/sales.xlsx", "/details/my-data.json")
"""What is read elsewhere than within the frame of a page."""
STREAMS = {"/events", "/programme/events", "/claims/{claim_id}/events"}
"""Answers that never end: whether they begin is seen from the same rows' pages, which need the same."""
NEED_MORE = {
    *("/statements/{number}.{form}", "/tokens/{token_id}/end", "/security/passkey", "/account/passkey"),
    *("/claims/{claim_id}", "/claims/desk/{claim_id}", "/claims/desk/{claim_id}/proofs/{proof_id}"),
}
"""What they are about has to be made first, as their own tests do; here it is only looked at who is refused."""

ASKING = {row.path for row in (*payments.ROWS, *holds.ROWS, *details.ROWS, *endpoints.ROWS, *bank.ROWS, *mails.ROWS)}
ASKING -= {"/details", "/details/my-data.json"}  # which show the rest
ASKING |= {row.path for row in deadletters.ROWS}
"""What asks an office, or Kafka: none is there, and they say so."""

GUARDED = [row for row in ROWS if row.needs is not Needs.NOTHING]
READING = [row for row in GUARDED if row.method == "GET" and row.path not in STREAMS]
WRITING = [row for row in GUARDED if row.method == "POST"]
Visit = Callable[[Site], TestClient]


def nobody(site: Site) -> TestClient:
    return site.browser()


def garbage(site: Site) -> TestClient:
    browser = site.browser()
    browser.cookies.set(Cookies(site.settings).session, "x" * 43)
    return browser


def expired(site: Site) -> TestClient:
    browser = site.confirmed("P1")
    site.real.pass_by(IDLE)
    return browser


def expired_staff(site: Site) -> TestClient:
    browser = site.staff(Role.APPROVER)
    site.real.pass_by(IDLE)
    return browser


def signed_out(site: Site) -> TestClient:
    browser = site.confirmed("P1")
    kept = dict(browser.cookies)
    assert browser.post("/logout", data={"mark": site.mark(browser)}).status_code == 200
    browser.cookies.update(kept)
    return browser


def disabled_staff(site: Site) -> TestClient:
    row = {"name": "anna", "password_hash": "", "role": Role.APPROVER, "disabled": False, "created_at": NOON}
    with site.engine.begin() as connection:
        connection.execute(insert(tables.staff).values(row))
    browser = site.staff(Role.APPROVER, "anna")
    with site.engine.begin() as connection:
        staff.disable(connection, "anna", "test")
    return browser


def by_link(site: Site) -> TestClient:
    return site.signed_in("P1")


def confirmed(site: Site) -> TestClient:
    return site.confirmed("P1")


def accountant(site: Site) -> TestClient:
    return site.contact("P1", "c-accountantaaa", Standing.ACCOUNTANT)


def colleague(site: Site) -> TestClient:
    return site.contact("P1", "c-colleagueaaaa", Standing.OWNER)


def removed_colleague(site: Site) -> TestClient:
    browser = site.contact("P1", "c-removedaaaaaa", Standing.OWNER)
    with site.engine.begin() as connection:
        # Without the end of his sessions, which goes with a removal: it is the row that counts.
        connection.execute(update(contacts).where(contacts.c.contact_id == "c-removedaaaaaa").values(removed_at=NOON))
    return browser


def viewer(site: Site) -> TestClient:
    return site.staff(Role.VIEWER)


def operator(site: Site) -> TestClient:
    return site.staff(Role.OPERATOR)


def approver(site: Site) -> TestClient:
    return site.staff(Role.APPROVER)


def looking_on(site: Site) -> TestClient:
    return site.staff(Role.APPROVER, viewing="P1")


OUTSIDE = (nobody, garbage, expired, expired_staff, signed_out, disabled_staff, removed_colleague)
PARTNERS, STAFF = (by_link, confirmed, colleague), (viewer, operator, approver, looking_on)
ADMITTED: dict[Needs, tuple[Visit, ...]] = {
    Needs.READ: (*PARTNERS, accountant),
    Needs.LINK: PARTNERS,
    Needs.CONFIRMED: (confirmed, colleague),
    Needs.VIEWER: STAFF,
    Needs.OPERATOR: (operator, approver, looking_on),
    Needs.APPROVER: (approver, looking_on),
}


def address(row: Row) -> str:
    """The row's path with the examples in it."""
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda part: EXAMPLES[part[1]], row.path) + QUERIES.get(row.path, "")


def ask(browser: TestClient, row: Row, site: Site, **more: Any) -> Any:
    if row.method == "GET":
        return browser.get(address(row), **more)
    return browser.post(address(row), data={"mark": site.mark(browser)}, **more)


def learns_nothing(browser: TestClient, answer: Any) -> None:
    nothing = browser.get("/no-such-page")
    assert (answer.status_code, answer.text) == (404, nothing.text)
    assert dict(answer.headers) == dict(nothing.headers)


def content(engine: Engine) -> dict[str, list[Any]]:
    """All that the database holds."""
    with engine.connect() as connection:
        return {table.name: connection.execute(select(table)).all() for table in metadata.sorted_tables}  # type: ignore[misc]


def named(rows: list[Row]) -> Any:
    return pytest.mark.parametrize("row", rows, ids=[f"{row.method} {row.path}" for row in rows])


def test_every_part_of_a_path_has_an_example() -> None:
    parts = {part[0] for row in ROWS for part in re.findall(r"\{(\w+)(:\w+)?\}", row.path)}
    assert parts <= EXAMPLES.keys(), "add an example that leads somewhere"


def test_what_changes_something_is_a_form() -> None:
    assert {row.method for row in ROWS} == {"GET", "POST"}


def test_only_doors_are_open_to_everybody() -> None:
    assert {row.path for row in ROWS if row.needs is Needs.NOTHING} == {
        *("/l/{token}", "/logout", "/unsubscribe/{token}"),
        *("/sign-in", "/sign-in/code", "/sign-in/start", "/sign-in/back", "/new-link"),
        *("/brand/logo", "/brand/colours.css", "/imprint", "/privacy"),
    }


@named(GUARDED)
def test_who_is_not_admitted_learns_nothing(site: Site, row: Row) -> None:
    may = set(ADMITTED[row.needs])
    if row.needs in (Needs.READ, Needs.LINK) and row.method == "GET":
        may.add(looking_on)
    if row.needs is Needs.CONFIRMED and row.method == "GET":
        may.add(by_link)  # is asked to confirm: see below
    for visit in {*OUTSIDE, *PARTNERS, accountant, *STAFF} - may:
        browser = visit(site)
        learns_nothing(browser, ask(browser, row, site))


@named([row for row in READING if row.path not in NEED_MORE])
def test_who_is_admitted_gets_the_page(site: Site, row: Row) -> None:
    for visit in ADMITTED[row.needs]:
        assert ask(visit(site), row, site).status_code == (503 if row.path in ASKING else 200)


@named([row for row in READING if row.needs in (Needs.READ, Needs.LINK) and row.path not in NEED_MORE])
def test_staff_that_looks_on_reads_what_a_link_shows_under_a_banner(site: Site, row: Row) -> None:
    answer = ask(looking_on(site), row, site)
    assert answer.status_code == (503 if row.path in ASKING else 200)
    assert ('action="/partners/look-away"' in answer.text) == (row.path not in FILES)


@named([row for row in READING if row.needs is Needs.CONFIRMED])
def test_a_partner_by_link_is_asked_to_confirm_first(site: Site, row: Row) -> None:
    answer = ask(by_link(site), row, site)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/confirm?next={address(row)}")


def test_an_accountant_reads_figures_and_sends_no_form_but_for_his_own_language() -> None:
    assert {(row.method, row.path) for row in ROWS if row.needs is Needs.READ} == {
        *(
            ("GET", path)
            for path in ("/", "/events", "/sales", "/sales.csv", "/sales.xlsx", "/sale", "/quarters", "/why")
        ),
        ("GET", "/statements/{number}.{form}"),
        ("POST", "/details/language"),
    }


@named(READING)
def test_what_one_partner_is_shown_says_nothing_of_another(site: Site, row: Row) -> None:
    if row.needs in (Needs.READ, Needs.LINK, Needs.CONFIRMED):
        said = ask(site.confirmed("P2"), row, site).text
        assert "Beispiel" not in said
        assert not re.search(r"\bS-1\b", said)


@named(WRITING)
def test_a_form_that_no_page_of_ours_showed_changes_nothing(site: Site, row: Row) -> None:
    browser = ADMITTED[row.needs][0](site)
    mark, foreign = site.mark(browser), site.mark(site.confirmed("P2"))
    before = content(site.engine)
    answers = [
        *(browser.post(address(row), data=data) for data in ({}, {"mark": ""}, {"mark": "x"}, {"mark": foreign})),
        *(
            browser.post(address(row), data={"mark": mark}, headers=headers)
            for headers in (
                {"sec-fetch-site": "cross-site"},
                {"sec-fetch-site": "same-site"},
                {"origin": "https://elsewhere.example"},
            )
        ),
    ]
    assert [answer.status_code for answer in answers] == [403] * len(answers)
    assert content(site.engine) == before


@named([row for row in WRITING if row.needs is Needs.CONFIRMED])
def test_a_link_alone_changes_nothing_that_needs_more(site: Site, row: Row) -> None:
    visitors = [by_link(site), accountant(site), looking_on(site)]
    before = content(site.engine)
    for browser in visitors:
        learns_nothing(browser, ask(browser, row, site))
    assert content(site.engine) == before


@named([row for row in GUARDED if row.method == "GET" and row.path not in STREAMS])
def test_looking_changes_nothing(site: Site, row: Row) -> None:
    browsers = [visit(site) for visit in ADMITTED[row.needs]]
    before = content(site.engine)
    for browser in browsers:
        ask(browser, row, site)
        browser.head(address(row))
    assert content(site.engine) == before
