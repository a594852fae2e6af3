"""The people whom a partner names: they come in with links of their own, as far as they may, and are out at once."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY, generate_latest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from schemas.events import CloseKind, PayoutStatus
from services.kit.contacts import Standing
from services.kit.links import unsubscribe_link
from services.kit.office.client import Client
from services.notification.tables import contacts as known_contacts
from services.notification.tables import messages
from services.notification.tables import partners as known_partners
from services.portal import contacts
from services.portal.audit import Wanted, entries
from services.portal.auth import CONFIRMED_FOR, Role
from services.portal.identity.codes import Codes, Purpose
from services.portal.offices import open_offices
from services.portal.settling import Settler, settle
from services.portal.tables import contacts as kept
from services.portal.tables import metadata
from streams.rules.terms import Programme
from tests.portal.beside import Town, send, town
from tests.portal.claiming import claim, made, pdf
from tests.portal.conftest import Site, redeem
from tests.portal.feeding import a_close, a_partner, a_payout, a_tally, feed
from tests.waiting import until

PAGE = "/details/contacts"
FORM = {"name": "Sam Zahl", "email": "sam@zahl.example", "standing": "accountant", "language": "fr"}


@pytest.fixture
def beside(tmp_path: Path, programme: Programme) -> Iterator[Town]:
    """A portal that knows P1 and P2, beside notification."""
    with town(tmp_path, programme, "notification") as made:
        feed(made.site.engine, a_partner("P1"), a_partner("P2", name="Muster Datentechnik GmbH"))
        with made.mail_engine.begin() as connection:
            for partner_id in ("P1", "P2"):
                row = {"partner_id": partner_id, "name": partner_id, "email": f"{partner_id}@partner.example"}
                connection.execute(known_partners.insert().values(row | {"language": "en", "country": "DE"}))
        yield made


def named(beside: Town, **changed: str) -> str:
    """Somebody is named by P1; his id."""
    before = ids(beside)
    answer = send(beside.partner("P1", confirmed=True), PAGE, PAGE, **FORM | changed)
    assert answer.status_code in (200, 303), answer.text
    (contact_id,) = ids(beside) - before
    return contact_id


def ids(beside: Town) -> set[str]:
    with beside.site.engine.connect() as connection:
        return {row.contact_id for row in contacts.named(connection, "P1")}


def noted(site: Site) -> list[tuple[str, str, dict[str, Any]]]:
    with site.engine.connect() as connection:
        return [(row.who, row.what, row.details) for row in reversed(entries(connection, Wanted()).rows)]


def mails(beside: Town) -> list[tuple[str, str | None, str]]:
    with beside.mail_engine.connect() as connection:
        rows = connection.execute(select(messages).order_by(messages.c.number))
        return [(row.kind, row.contact_id, row.state) for row in rows]


def act(beside: Town, contact_id: str, name: str, browser: TestClient | None = None, **fields: str) -> Any:
    browser = browser or beside.partner("P1", confirmed=True)
    return browser.post(f"{PAGE}/{contact_id}/{name}", data={"mark": beside.site.mark(browser), **fields})


def test_somebody_is_named_told_and_written_to(beside: Town) -> None:
    contact_id = named(beside)
    assert mails(beside) == [("invitation", contact_id, "pending"), ("contact-added", None, "pending")]
    details = {"contact": contact_id, "standing": "accountant", "language": "fr"}
    assert noted(beside.site) == [("partner P1", "contact-added", details)]
    page = beside.partner("P1", confirmed=True).get(f"{PAGE}?done=contact-added").text
    for words in ("The person is named", "Sam Zahl", "sam@zahl.example", "French"):
        assert words in page
    assert "sam@zahl.example" not in beside.partner("P1").get(PAGE).text, "a link shows no more than is needed"
    assert "s…@z….example" in beside.partner("P1").get(PAGE).text
    assert "Sam" not in beside.partner("P2", confirmed=True).get(PAGE).text
    looking = beside.site.staff(Role.APPROVER, viewing="P1").get(PAGE).text
    assert "sam@zahl.example" not in looking
    assert "/remove" not in looking


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "  "}, "Write a name"),
        ({"name": "Sam at www.elsewhere.example"}, "Write a name"),
        ({"name": "S" * 81}, "Write a name"),
        ({"email": "sam"}, "This is not a mail address."),
        ({"email": "sam@zahl.example\nBcc: all@zahl.example"}, "This is not a mail address."),
        ({"email": "P1@Partner.Example"}, "This address gets your mails already."),
    ],
)
def test_what_cannot_be_right_is_refused_and_what_was_written_stays(
    beside: Town, changed: dict[str, str], words: str
) -> None:
    answer = send(beside.partner("P1", confirmed=True), PAGE, PAGE, **FORM | changed)
    assert answer.status_code == 409
    assert words in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert '<option value="fr" selected>' in answer.text
    assert (ids(beside), mails(beside), noted(beside.site)) == (set(), [], [])


@pytest.mark.parametrize("changed", [{"standing": "vendor"}, {"standing": ""}, {"language": "xx"}])
def test_a_form_that_is_none_of_ours_is_refused(beside: Town, changed: dict[str, str]) -> None:
    assert send(beside.partner("P1", confirmed=True), PAGE, PAGE, **FORM | changed).status_code == 403


def test_an_address_is_named_once_and_only_so_many_people(beside: Town) -> None:
    named(beside)
    again = send(beside.partner("P1", confirmed=True), PAGE, PAGE, **FORM | {"email": "SAM@zahl.example"})
    assert "This address gets your mails already." in again.text
    for number in range(19):
        named(beside, email=f"s{number}@zahl.example")
    over = send(beside.partner("P1", confirmed=True), PAGE, PAGE, **FORM | {"email": "more@zahl.example"})
    assert "You have named as many people as you may." in over.text
    assert len(ids(beside)) == 20


def test_a_day_has_thirty_tries(beside: Town) -> None:
    partner = beside.partner("P1", confirmed=True)
    for _ in range(30):
        assert send(partner, PAGE, PAGE, **FORM | {"email": "x"}).status_code == 409
    answer = send(partner, PAGE, PAGE, **FORM)
    assert (answer.status_code, ids(beside)) == (429, set())
    assert "Try again tomorrow." in answer.text


def test_an_accountant_reads_in_his_language_and_does_nothing_else(site: Site) -> None:
    feed(
        site.engine,
        a_tally(site.programme, "P1", 31, "2026Q3", phase="final", revision=1, payable_minor=31000),
        a_close(site.programme, "P1", CloseKind.FINAL, 1, 31, 31000, 31000),
        a_payout("P1", 1, 1, PayoutStatus.WAITING, 31000, "no-bank-details"),
    )
    browser = site.contact("P1", "c-accountantaaa", Standing.ACCOUNTANT, "fr")
    page = browser.get("/").text
    assert '<html lang="fr"' in page
    for path in ("/details", "/claims", "/tokens", "/security", "/confirm", "/weekly-mail"):
        assert f'href="{path}' not in page
        assert f'action="{path}"' not in page
        assert browser.get(path).status_code in (404, 405)
    assert 'href="/details' in site.signed_in("P1").get("/").text, "the owner is asked for bank details"
    for path in ("/sales", "/quarters", "/why", "/sales.csv", "/sale?id=S-1"):
        assert browser.get(path).status_code == 200


def test_a_contact_comes_in_by_his_own_link_until_he_is_removed(beside: Town) -> None:
    contact_id = named(beside)
    site, path = beside.site, beside.site.link("P1", contact_id)
    browser = site.browser()
    assert redeem(browser, path).headers["location"] == "/"
    assert '<html lang="fr"' in browser.get("/").text
    assert noted(site)[-1][:2] == (f"partner P1 {contact_id}", "link-redeemed")
    beside.closes("notification")
    assert act(beside, contact_id, "remove").headers["location"] == f"{PAGE}?done=contact-removed"
    assert browser.get("/").status_code == 404
    for answer in (site.browser().get(path), site.browser().post(path, data={"mark": "x"})):
        assert answer.status_code == 404
    assert "People at your company" in beside.partner("P1", confirmed=True).get(PAGE).text
    assert ids(beside) == set()
    with site.engine.connect() as connection:
        assert len(contacts.untold(connection)) == 1, "notification has still to hear of it"
    beside.opens("notification")
    assert settle(site.engine, site_office(beside)) == 1
    assert settle(site.engine, site_office(beside)) == 0
    assert mails(beside)[2:] == [("contact-removed", None, "pending")]
    assert mails(beside)[0] == ("invitation", contact_id, "expired"), "what had not gone out stays unsent"
    with beside.mail_engine.connect() as connection:
        assert connection.execute(select(known_contacts)).all() == []
    with site.engine.connect() as connection:
        assert connection.execute(select(kept)).all() == []


def site_office(beside: Town) -> Client:
    return open_offices(beside.settings).notification


def test_notification_is_told_as_soon_as_it_is_back(beside: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.portal.settling._EVERY_SECONDS", 0.01)
    contact_id = named(beside)
    beside.closes("notification")
    act(beside, contact_id, "remove")
    settler = Settler(beside.site.engine, site_office(beside))
    beside.opens("notification")
    until(lambda: "contact-removed" in {kind for kind, *_ in mails(beside)}, 20, "notification to be told")
    settler.stop()


def test_somebody_is_shut_out_while_nobody_knows_his_name(beside: Town) -> None:
    contact_id = named(beside)
    beside.closes("notification")
    partner = beside.partner("P1", confirmed=True)
    page = partner.get(PAGE).text
    assert "You can remove people all the same." in page
    assert f"{PAGE}/{contact_id}/remove" in page
    assert send(partner, PAGE, PAGE, **FORM).status_code == 503, "naming somebody needs who knows names"
    assert ids(beside) == {contact_id}


def test_a_link_names_nobody_else(beside: Town) -> None:
    contact_id = named(beside)
    site = beside.site
    assert site.browser().get(site.link("P2", contact_id)).status_code == 404
    assert site.browser().get(site.link("P1", "c-nobodyaaaaaaa")).status_code == 404
    other = beside.partner("P2", confirmed=True)
    for name in ("change", "remove", "code"):
        assert act(beside, contact_id, name, other, standing="owner", language="en").status_code == 404
    assert ids(beside) == {contact_id}


def test_an_accountant_who_becomes_an_owner_comes_in_anew(beside: Town) -> None:
    contact_id = named(beside)
    browser = beside.site.browser()
    redeem(browser, beside.site.link("P1", contact_id))
    assert act(beside, contact_id, "change", standing="accountant", language="it").status_code == 303
    assert '<html lang="it"' in browser.get("/").text, "another language ends no session"
    assert act(beside, contact_id, "change", standing="owner", language="it").status_code == 303
    assert browser.get("/").status_code == 404
    redeem(browser, beside.site.link("P1", contact_id))
    assert browser.get("/details").status_code == 200
    settle(beside.site.engine, site_office(beside))
    assert [kind for kind, *_ in mails(beside)] == ["invitation", "contact-added", "contact-changed"]


def test_an_owner_sets_up_a_second_factor_of_his_own_and_loses_it(beside: Town) -> None:
    site = beside.site
    answer = send(beside.partner("P1", confirmed=True), PAGE, PAGE, **FORM | {"standing": "owner", "language": "en"})
    assert answer.headers["cache-control"] == "no-store"
    code = re.search(r'<code class="secret">([A-Z2-7-]+)</code>', answer.text)
    assert code
    (contact_id,) = ids(beside)
    browser = site.browser()
    redeem(browser, site.link("P1", contact_id))
    assert "Ask whoever named you for an activation code." in browser.get("/confirm").text
    assert send(site.signed_in("P1"), "/confirm", "/confirm/activation", activation=code[1]).status_code == 422
    assert send(browser, "/confirm", "/confirm/activation", activation=code[1]).headers["location"] == "/security"
    assert browser.get("/security").status_code == 200
    assert browser.get(PAGE).text.count(f"{PAGE}/{contact_id}/remove") == 1
    owner = contacts.owner_of("P1", contact_id)
    with site.engine.begin() as connection:
        site_codes(site).make(connection, owner, Purpose.RECOVERY)
    assert act(beside, contact_id, "change", standing="accountant", language="en").status_code == 303
    with site.engine.connect() as connection:
        assert site_codes(site).left(connection, owner) == 0
    assert act(beside, contact_id, "code").status_code == 404, "an accountant needs none"


def site_codes(site: Site) -> Codes:
    return Codes(site.real, site.settings, site.programme.name)


def test_a_contact_who_acts_is_named_in_the_record(beside: Town) -> None:
    contact_id = named(beside, standing="owner")
    browser = beside.site.contact("P1", contact_id, Standing.OWNER)
    send(browser, PAGE, PAGE, **FORM | {"email": "more@zahl.example"})
    assert noted(beside.site)[-1][:2] == (f"partner P1 {contact_id}", "contact-added")
    beside.site.real.pass_by(CONFIRMED_FOR + timedelta(seconds=1))
    assert act(beside, contact_id, "remove", browser).status_code == 404, "the second factor is too long ago"


def test_a_contact_who_reports_a_missing_sale_is_named_in_the_record(site: Site) -> None:
    browser = site.contact("P1", "c-colleagueaaaa", Standing.OWNER)
    assert claim(browser, ("invoice.pdf", pdf())).status_code == 303
    (one,) = made(site.engine)
    assert send(browser, f"/claims/{one.claim_id}", f"/claims/{one.claim_id}/withdraw").status_code == 303
    who = "partner P1 c-colleagueaaaa"
    assert [entry[:2] for entry in noted(site)] == [(who, "sales-claimed"), (who, "claim-withdrawn")]


def test_each_chooses_his_own_weekly_mail(beside: Town) -> None:
    site, contact_id = beside.site, named(beside, standing="owner", language="en")
    browser = site.contact("P1", contact_id, Standing.OWNER)
    assert send(browser, "/", "/weekly-mail", on="0").status_code == 303
    assert "Turn it on" in browser.get("/").text
    assert "Turn it off" in site.signed_in("P1").get("/").text
    settle(site.engine, site_office(beside))
    with beside.mail_engine.connect() as connection:
        assert connection.execute(select(known_contacts.c.weekly_mail)).scalar_one() is False


def test_the_link_under_a_contacts_mail_turns_off_his_own(beside: Town) -> None:
    site, contact_id = beside.site, named(beside, standing="owner")
    path = unsubscribe_link(site.settings, "P1", contact_id).removeprefix(site.settings.public_url)
    assert site.browser().get(path).status_code == 200
    assert site.browser().post(path, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    with site.engine.connect() as connection:
        found = contacts.find(connection, "P1", contact_id)
    assert found is not None
    assert found.weekly_mail is False
    assert "Turn it off" in site.signed_in("P1").get("/").text
    act(beside, contact_id, "remove")
    assert site.browser().post(path).status_code == 200, "who is gone gets none either"


def test_naming_that_was_cut_short_can_be_undone(beside: Town) -> None:
    contact_id = named(beside)
    with beside.site.engine.begin() as connection:
        connection.execute(kept.delete())
    assert "Adding this person was interrupted" in beside.partner("P1", confirmed=True).get(PAGE).text
    assert beside.site.browser().get(beside.site.link("P1", contact_id)).status_code == 404
    assert act(beside, contact_id, "remove").status_code == 303
    assert "Sam" not in beside.partner("P1", confirmed=True).get(PAGE).text
    assert settle(beside.site.engine, site_office(beside)) == 1
    assert "Sam" not in beside.partner("P1", confirmed=True).get(PAGE).text


def test_an_address_that_takes_no_mail_is_said(beside: Town) -> None:
    named(beside)
    with beside.mail_engine.begin() as connection:
        connection.execute(update(known_contacts).values(bad_status="5.1.1"))
    assert "Mail to this address came back" in beside.partner("P1").get(PAGE).text


def test_names_and_addresses_stay_with_notification(beside: Town, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    contact_id = named(beside)
    act(beside, contact_id, "change", standing="owner", language="de")
    send(beside.partner("P1", confirmed=True), PAGE, PAGE, **FORM)
    act(beside, contact_id, "remove")
    settle(beside.site.engine, site_office(beside))
    with beside.site.engine.connect() as connection:
        rows = str([connection.execute(select(table)).all() for table in metadata.sorted_tables])
    said = rows + caplog.text + generate_latest(REGISTRY).decode()
    for secret in ("Sam Zahl", "sam@zahl", "zahl.example"):
        assert secret not in said


def test_a_partners_data_tells_whom_he_named(beside: Town) -> None:
    named(beside)
    found = beside.partner("P1", confirmed=True).get("/details/my-data.json").json()
    assert [(one["name"], one["email"], one["standing"]) for one in found["contacts"]] == [
        ("Sam Zahl", "sam@zahl.example", "accountant")
    ]
    assert "Sam" not in beside.partner("P2", confirmed=True).get("/details/my-data.json").text
    beside.closes("notification")
    assert "did not answer" in beside.partner("P1").get("/details/my-data.json").json()["contacts"]
