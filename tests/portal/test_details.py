"""A partner's details in the portal: his account goes to payout and stays nowhere else; webhooks are his own."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest
from sqlalchemy import select

from services.notification.tables import partners as known_partners
from services.portal.audit import Wanted, entries
from services.portal.auth import CONFIRMED_FOR, Role
from services.portal.tables import metadata
from streams.rules.terms import Programme
from tests.payout.office import iban_of
from tests.portal.beside import IBAN, Town, send, town
from tests.portal.feeding import a_line, a_partner, feed

HOLDER = "Canary Kontor GmbH"
FORM = {"account_holder": HOLDER, "iban": IBAN, "bic": "", "town": "", "country": ""}
URL = "https://hooks.kontor.example/in"


@pytest.fixture
def beside(tmp_path: Path, programme: Programme) -> Iterator[Town]:
    """A portal that knows P1 and P2, beside payout and notification."""
    with town(tmp_path, programme, "payout", "notification") as made:
        feed(made.site.engine, a_partner("P1"), a_partner("P2", name="Muster Datentechnik GmbH"))
        with made.mail_engine.begin() as connection:
            for partner_id in ("P1", "P2"):
                row = {"partner_id": partner_id, "name": partner_id, "email": f"{partner_id}@partner.example"}
                row |= {"language": "en", "country": "DE"}
                connection.execute(known_partners.insert().values(row))
        yield made


def noted(beside: Town) -> list[str]:
    with beside.site.engine.connect() as connection:
        return [row.what for row in reversed(entries(connection, Wanted()).rows)]


def test_a_partner_gives_his_account_after_seeing_what_will_happen(beside: Town) -> None:
    partner = beside.partner("P1", confirmed=True)
    assert "We have no bank details from you yet." in partner.get("/details").text
    looked = send(partner, "/details/bank", "/details/bank", **FORM)
    assert looked.status_code == 200
    assert "Deutsche Kreditbank Berlin" in looked.text
    assert "is paid with the next payment run after 29 January 2027" in looked.text
    assert "We write a mail about it" in looked.text
    assert looked.headers["cache-control"] == "no-store"
    assert "We have no bank details from you yet." in partner.get("/details").text
    answer = send(partner, "/details/bank", "/details/bank", **FORM, seen="1")
    assert answer.headers["location"] == "/details?done=bank-details-entered"
    shown = partner.get(answer.headers["location"]).text
    assert "Your bank details are kept." in shown
    assert "DE…2051" in shown
    assert noted(beside) == ["bank-details-entered"]


def test_changed_details_wait_and_the_page_says_for_how_long(beside: Town) -> None:
    beside.payout.details("P1", iban_of("P1"), HOLDER)
    partner = beside.partner("P1", confirmed=True)
    looked = send(partner, "/details/bank", "/details/bank", **FORM).text
    assert "we pay to this account from 3 February 2027" in looked
    send(partner, "/details/bank", "/details/bank", **FORM, seen="1")
    shown = partner.get("/details").text
    assert "We can pay to it from 3 February 2027." in shown
    assert "What was given before" in shown
    assert "Nothing would change." in send(partner, "/details/bank", "/details/bank", **FORM).text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("iban", "DE02120300000000202052", "This IBAN can&#39;t be right."),
        ("account_holder", " ", "Give the account holder&#39;s name"),
        ("bic", "COBADEFF", "This BIC does not belong"),
        ("town", "Zug", "Give town and country both"),
    ],
)
def test_what_cannot_be_right_is_shown_at_its_field(beside: Town, field: str, value: str, words: str) -> None:
    partner = beside.partner("P1", confirmed=True)
    answer = send(partner, "/details/bank", "/details/bank", **FORM | {field: value})
    assert answer.status_code == 409
    assert words in answer.text
    assert re.search(rf'id="{field}"[^>]*aria-invalid="true"', answer.text)
    assert noted(beside) == []


def test_a_link_shows_and_changes_nothing(beside: Town) -> None:
    beside.payout.details("P1")
    by_link = beside.site.signed_in("P1")
    assert "DE…" in by_link.get("/details").text
    assert by_link.get("/details/bank").headers["location"] == "/confirm?next=/details/bank"
    form = FORM | {"mark": beside.site.mark(by_link), "seen": "1"}
    assert by_link.post("/details/bank", data=form).status_code == 404
    late = beside.partner("P1", confirmed=True)
    beside.site.real.pass_by(CONFIRMED_FOR - timedelta(seconds=1))
    assert late.get("/details/bank").status_code == 200
    beside.site.real.pass_by(timedelta(seconds=1))
    assert late.post("/details/bank", data=form | {"mark": beside.site.mark(late)}).status_code == 404
    assert len(beside.payout.told()) == 1


def test_an_account_stays_nowhere_in_the_portal(beside: Town, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    partner = beside.partner("P1", confirmed=True)
    send(partner, "/details/bank", "/details/bank", **FORM)
    send(partner, "/details/bank", "/details/bank", **FORM | {"iban": IBAN[:-1] + "2"})
    send(partner, "/details/bank", "/details/bank", **FORM, seen="1")
    beside.closes("payout")
    assert partner.post("/details/bank", data=FORM | {"mark": beside.site.mark(partner)}).status_code == 503
    with beside.site.engine.connect() as connection:
        kept = str([connection.execute(select(table)).all() for table in metadata.sorted_tables])
    said = kept + caplog.text + generate_latest(REGISTRY).decode() + partner.get("/details/my-data.json").text
    for secret in (IBAN, IBAN[:-1], "1203 0000", HOLDER):
        assert secret not in said
    for path in beside.settings.data.glob("portal*"):
        assert IBAN.encode() not in path.read_bytes()


def test_a_partner_takes_his_data_with_him_and_nobody_elses(beside: Town) -> None:
    beside.payout.details("P1")
    feed(beside.site.engine, a_line("P1", "S-1", 40), a_line("P2", "S-9", 1))
    beside.site.signed_in("P1")
    answer = beside.site.signed_in("P1").get("/details/my-data.json")
    assert 'filename="my-data.json"' in answer.headers["content-disposition"]
    found = answer.json()
    assert [row["sale_id"] for row in found["sale_lines"]] == ["S-1"]
    assert found["partners"][0]["partner_id"] == "P1"
    assert found["bank_details"][0]["masked"].startswith("DE…")
    assert found["webhooks"]["endpoints"] == []
    assert "P2" not in answer.text
    assert "hash" not in {name for rows in found.values() if isinstance(rows, list) for row in rows for name in row}
    beside.closes("payout")
    assert "did not answer" in beside.site.signed_in("P1").get("/details/my-data.json").json()["bank_details"]


def test_while_payout_is_away_the_rest_of_the_page_is_there(beside: Town) -> None:
    partner = beside.partner("P1", confirmed=True)
    beside.closes("payout")
    page = partner.get("/details")
    assert page.status_code == 200
    assert "does not answer" in page.text
    assert "Beispiel" in page.text
    assert 'href="/details/bank"' not in page.text
    assert partner.get("/details/bank").status_code == 503
    beside.closes("notification")
    assert partner.get("/endpoints").status_code == 503
    assert partner.get("/").status_code == 200


def test_a_partner_has_software_told_and_sees_what_it_answered(beside: Town) -> None:
    partner = beside.partner("P1", confirmed=True)
    bad = send(partner, "/endpoints", "/endpoints", url="http://10.0.0.1/")
    assert bad.status_code == 409
    assert "It must begin with https://" in bad.text
    made = send(partner, "/endpoints", "/endpoints", **{"url": URL, "type-quarter.closed": "1"})
    assert made.headers["cache-control"] == "no-store"
    secret = re.search(r"whsec_\S+?(?=<)", made.text)
    assert secret
    listed = partner.get("/endpoints").text
    assert secret[0] not in listed
    path = re.search(r"/endpoints/ep_\w+", listed)
    assert path
    one = path[0]
    assert send(partner, one, f"{one}/ping").headers["location"] == f"{one}?done=webhook-pinged"
    shown = partner.get(f"{one}?done=webhook-pinged").text
    assert "Test message" in shown
    assert "A quarter is closed" in shown
    assert "whsec_" in send(partner, one, f"{one}/rotate").text
    assert send(partner, one, f"{one}/remove").headers["location"] == "/endpoints?done=webhook-removed"
    assert URL not in partner.get("/endpoints").text
    assert noted(beside) == ["webhook-added", "webhook-pinged", "webhook-rotated", "webhook-removed"]


def test_an_endpoint_is_its_partners_alone_and_staff_helps_without_the_secret(beside: Town) -> None:
    partner, other = beside.partner("P1", confirmed=True), beside.partner("P2", confirmed=True)
    send(partner, "/endpoints", "/endpoints", url=URL)
    path = re.search(r"/endpoints/ep_\w+", partner.get("/endpoints").text)
    assert path
    one = path[0]
    assert other.get(one).status_code == 404
    for name in ("rotate", "remove", "enable", "ping", "replay"):
        assert other.post(f"{one}/{name}", data={"mark": beside.site.mark(other)}).status_code in (404, 409)
    by_link = beside.site.signed_in("P1")
    assert "Remove the address" not in by_link.get(one).text
    staffs = one.replace("/endpoints", "/webhooks")
    viewer, clerk = beside.staff("V. Looker", Role.VIEWER), beside.staff("A. Clerk", Role.OPERATOR)
    assert URL in viewer.get("/webhooks").text
    assert "Send a test message" not in viewer.get(staffs).text
    assert viewer.post(f"{staffs}/ping", data={"mark": beside.site.mark(viewer)}).status_code == 404
    assert "Make a new secret" not in clerk.get(staffs).text
    assert f"{staffs}/list.csv" not in viewer.get(staffs).text, "nothing was sent yet"
    assert send(clerk, staffs, f"{staffs}/ping").status_code == 303
    assert f"{staffs}/list.csv" in viewer.get(staffs).text
    _, sent = viewer.get(f"{staffs}/list.csv").text.splitlines()
    assert (sent.split(";")[1], sent.split(";")[3]) == ("ping", "pending")
    assert viewer.get(f"{staffs}/list.xlsx").content.startswith(b"PK")
    assert viewer.get(f"{staffs}/list.pdf").status_code == 404
    assert viewer.get("/webhooks/ep_none/list.csv").status_code == 404
    assert partner.get(f"{staffs}/list.csv").status_code == 404
    assert clerk.post(f"{one}/rotate", data={"mark": beside.site.mark(clerk)}).status_code == 404
    assert [what for what in noted(beside) if what.startswith("webhook")] == ["webhook-added", "webhook-pinged"]
