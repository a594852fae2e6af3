"""The people whom a partner names get mails of their own: what is theirs, once, in their language, with their link."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from deploy.runtime.errors import StaffelError
from schemas.events import CloseKind, PayoutStatus, id_of
from services.kit.contacts import Standing, is_contact_id, new_contact_id
from services.kit.links import Invitation, read_token, read_unsubscribe_token
from services.notification.addresses import Addresses
from services.notification.bounces import Bounces, Result
from services.notification.dsn import read_report
from services.notification.overview import resend, shown
from services.notification.people import Wish
from services.notification.tables import bad_addresses, contacts, messages
from tests.notification.conftest import Desk
from tests.notification.facts import bank_details, choice, close, partner, payout, tier, week
from tests.notification.mailbox import Mailbox
from tests.notification.reports import report

ANN, BOB = "c-annaaaaaaaaaa", "c-bobaaaaaaaaaa"
MAIL = {ANN: "ann@firm.example", BOB: "bob@books.example"}
OWNER, ACCOUNTANT = Wish(ANN, Standing.OWNER, "en"), Wish(BOB, Standing.ACCOUNTANT, "fr")


@pytest.fixture
def named(desk: Desk, mailbox: Mailbox) -> Desk:
    """A partner who has named an owner and an accountant; their invitations are out."""
    desk.told(partner())
    for wish in (OWNER, ACCOUNTANT):
        desk.people.add("P1", wish, f"Name of {wish.contact_id}", MAIL[wish.contact_id])
    assert desk.send() == 4
    return desk


def kinds(desk: Desk, contact_id: str | None) -> list[str]:
    return [row["kind"] for row in desk.rows() if row["contact_id"] == contact_id]


def settle(desk: Desk, wish: Wish, *, weekly_mail: bool = True, gone: bool = False, minute: int = 0) -> None:
    at = desk.clock.now() + timedelta(minutes=minute)
    desk.people.settle("P1", wish, weekly_mail=weekly_mail, gone=gone, at=at)


def test_ids_say_nothing_and_look_alike() -> None:
    assert all(is_contact_id(new_contact_id()) for _ in range(50))
    assert not is_contact_id("P1")


def test_who_is_named_is_invited_and_the_registered_address_is_told(named: Desk, mailbox: Mailbox) -> None:
    (letter,) = mailbox.to(MAIL[BOB])
    assert letter.mail["Content-Language"] == "fr"
    text = letter.part("plain")
    assert f"Name of {BOB}" in text
    assert "Systemhaus 1" in text
    token = re.search(r"/l/(\S+)", text)
    assert token
    assert read_token(named.settings, token[1]) == Invitation("partner", "P1", BOB)
    assert MAIL[BOB] not in token[1]
    told = [delivery.part("plain") for delivery in mailbox.to("p1@partner.example")]
    assert len(told) == 2
    assert f"Name of {ANN} was named on your page as an owner" in told[0]
    assert f"Name of {BOB} was named on your page as an accountant" in told[1]


def test_naming_is_told_once(named: Desk) -> None:
    named.people.add("P1", OWNER, f"Name of {ANN}", MAIL[ANN])
    assert len(named.rows()) == 4


def test_each_gets_the_mails_that_are_his(named: Desk) -> None:
    named.told(tier(), week(), close(), payout(PayoutStatus.PAID), bank_details())
    owner = {"tier-up", "weekly", "final", "paid", "bank-details-entered"}
    assert set(kinds(named, None)) - {"contact-added"} == owner
    assert set(kinds(named, ANN)) - {"invitation"} == owner
    assert set(kinds(named, BOB)) - {"invitation"} == {"final", "paid"}


def test_each_gets_his_own_once_however_often_the_event_is_read(named: Desk, mailbox: Mailbox) -> None:
    for _ in range(3):
        named.told(close(), payout(PayoutStatus.PAID))
    assert named.send() == 6
    assert named.send() == 0
    letters = mailbox.to(MAIL[BOB])[1:]
    assert [letter.mail["Message-ID"].split("@")[0].strip("<") for letter in letters] == [
        f"{id_of(close())}/{BOB}",
        f"{id_of(payout(PayoutStatus.PAID))}/{BOB}",
    ]
    assert {letter.mail["Content-Language"] for letter in letters} == {"fr"}
    for letter in letters:
        token = re.search(r"/l/([\w.-]+)", letter.part("plain"))
        assert token
        assert read_token(named.settings, token[1]) == Invitation("partner", "P1", BOB)


def test_tier_changes_in_a_row_become_one_mail_for_each(named: Desk, mailbox: Mailbox) -> None:
    named.told(tier(sequence=1))
    assert named.send() == 2
    named.told(tier(10, sequence=2), tier(sequence=3))
    states = [row["state"] for row in named.rows() if row["contact_id"] == ANN and row["kind"].startswith("tier")]
    assert states == ["sent", "superseded", "superseded"], "he stands again where he was last told"
    assert len(mailbox.to(MAIL[ANN])) == 2


def test_the_partners_choice_is_his_own_and_so_is_an_owners(named: Desk) -> None:
    named.told(week())
    named.told(choice(False))
    states = {row["contact_id"]: row["state"] for row in named.rows() if row["kind"] == "weekly"}
    assert states == {None: "expired", ANN: "pending"}
    settle(named, OWNER, weekly_mail=False)
    states = {row["contact_id"]: row["state"] for row in named.rows() if row["kind"] == "weekly"}
    assert states == {None: "expired", ANN: "expired"}


def test_a_weekly_mail_is_turned_off_by_a_link_of_ones_own(named: Desk, mailbox: Mailbox) -> None:
    named.told(week())
    named.wait_is_over()
    named.send()
    leave = mailbox.to(MAIL[ANN])[-1].mail["List-Unsubscribe"].strip("<>").rsplit("/", 1)[1]
    assert read_unsubscribe_token(named.settings, leave) == Invitation("partner", "P1", ANN)


def test_who_is_removed_gets_nothing_more(named: Desk, mailbox: Mailbox) -> None:
    named.told(close())
    settle(named, ACCOUNTANT, gone=True)
    settle(named, ACCOUNTANT, gone=True)
    named.told(payout(PayoutStatus.PAID))
    named.send()
    assert len(mailbox.to(MAIL[BOB])) == 1
    told = [row for row in named.rows() if row["kind"] == "contact-removed"]
    assert [(row["contact_id"], row["state"]) for row in told] == [(None, "sent")]
    assert any(f"Name of {BOB} was removed" in mail.part("plain") for mail in mailbox.to("p1@partner.example"))
    with named.engine.connect() as connection:
        assert connection.execute(select(contacts.c.contact_id)).scalars().all() == [ANN]


def test_a_mail_that_is_under_way_to_somebody_removed_goes_to_nobody_else(named: Desk, mailbox: Mailbox) -> None:
    named.told(close())
    with named.engine.begin() as connection:
        connection.execute(contacts.delete().where(contacts.c.contact_id == BOB))
    named.send()
    (row,) = [row for row in named.rows() if row["contact_id"] == BOB and row["kind"] == "final"]
    assert row["state"] == "expired"
    assert len(mailbox.to("p1@partner.example")) == 3, "his own one, and no copy of another's"


def test_a_change_is_told_once_and_moves_what_he_gets(named: Desk) -> None:
    lower = OWNER._replace(standing=Standing.ACCOUNTANT)
    named.told(tier(), close())
    settle(named, lower, minute=1)
    settle(named, lower, minute=1)
    assert kinds(named, None).count("contact-changed") == 1
    states = {row["kind"]: row["state"] for row in named.rows() if row["contact_id"] == ANN}
    assert states == {"invitation": "sent", "tier-up": "expired", "final": "pending"}
    settle(named, OWNER, minute=2)
    assert kinds(named, None).count("contact-changed") == 2
    settle(named, OWNER._replace(language="de"), minute=3)
    assert kinds(named, None).count("contact-changed") == 2, "a language is his own business"
    with named.engine.connect() as connection:
        assert connection.execute(select(contacts.c.language).where(contacts.c.contact_id == ANN)).scalar() == "de"


def test_nobody_changes_whom_another_named(named: Desk) -> None:
    named.told(partner(2))
    named.people.settle("P2", OWNER, weekly_mail=False, gone=True, at=named.clock.now())
    with named.engine.connect() as connection:
        assert len(connection.execute(select(contacts)).all()) == 2


def test_an_address_that_takes_no_mail_is_left_alone_and_the_partner_hears_on(named: Desk, mailbox: Mailbox) -> None:
    named.told(close())
    named.send()
    named.told(payout(PayoutStatus.PAID))
    raw = report(about=f"<{id_of(close())}/{BOB}@staffel.example>")
    bounces = Bounces(named.engine, Addresses(named.settings))
    assert bounces.note(read_report(raw)).result is Result.BAD_ADDRESS
    states = {row["contact_id"]: row["state"] for row in named.rows() if row["kind"] == "paid"}
    assert states == {None: "pending", ANN: "pending", BOB: "expired"}
    named.told(payout(PayoutStatus.RETURNED))
    states = {row["contact_id"]: row["state"] for row in named.rows() if row["kind"] == "returned"}
    assert states == {None: "pending", ANN: "pending", BOB: "expired"}
    with named.engine.connect() as connection:
        assert connection.execute(select(bad_addresses)).all() == []
        listed = named.people.listed(connection, "P1", whole=False)
    assert {one["contact_id"]: one["bad_status"] for one in listed} == {ANN: None, BOB: "5.1.1"}


def test_a_refused_mail_to_a_contact_asks_for_nobody_and_can_be_sent_again(named: Desk, mailbox: Mailbox) -> None:
    mailbox.answers[MAIL[BOB]] = "550 5.1.1 unknown"
    named.told(close())
    named.send()
    (row,) = [row for row in named.rows() if row["contact_id"] == BOB and row["kind"] == "final"]
    assert row["state"] == "expired", "somebody named is no partner who was not told"
    told = shown(named.engine, row["number"])
    assert told is not None
    assert (told["contact_id"], told["to"]) == (BOB, "b…@b….example")
    mailbox.answers.clear()
    assert list(resend(named.engine, [row["number"]]).numbers) == [row["number"]]
    assert named.send() == 1
    settle(named, ACCOUNTANT, gone=True)
    (refusal,) = resend(named.engine, [row["number"]], again=True).refused
    assert refusal.reason == "the contact was removed"


def test_a_new_link_comes_to_whoever_asks_by_his_own_address(named: Desk, mailbox: Mailbox) -> None:
    for _ in range(2):
        named.renewals.ask("BOB@Books.example")
    named.send()
    assert len(mailbox.to(MAIL[BOB])) == 2
    token = re.search(r"/l/(\S+)", mailbox.to(MAIL[BOB])[1].part("plain"))
    assert token
    assert read_token(named.settings, token[1]).person == BOB
    assert len(mailbox.to("p1@partner.example")) == 2, "nobody else hears of it"
    settle(named, ACCOUNTANT, gone=True)
    named.renewals.ask(MAIL[BOB])
    assert kinds(named, BOB).count("new-link") == 1


def test_an_accountant_of_two_partners_gets_a_link_to_each(named: Desk, mailbox: Mailbox) -> None:
    named.told(partner(2))
    other = "c-bobtwoaaaaaaa"
    named.people.add("P2", ACCOUNTANT._replace(contact_id=other), "Bob", MAIL[BOB])
    named.send()
    named.renewals.ask(MAIL[BOB])
    named.send()
    links = [re.search(r"/l/(\S+)", letter.part("plain")) for letter in mailbox.to(MAIL[BOB])[-2:]]
    assert {read_token(named.settings, link[1]) for link in links if link} == {
        Invitation("partner", "P1", BOB),
        Invitation("partner", "P2", other),
    }


def test_of_a_partner_who_is_erased_nobody_is_left(named: Desk) -> None:
    named.told(close())
    named.forget("P1")
    with named.engine.connect() as connection:
        assert connection.execute(select(contacts)).all() == []
        kept = connection.execute(select(messages.c.event, messages.c.recipient)).all()
    assert "Name of" not in str(kept)
    assert set(named.states()) == {"sent", "expired"}


def test_who_cannot_be_named(named: Desk) -> None:
    new = Wish(new_contact_id(), Standing.OWNER, "en")
    for wish, name, email, code in (
        (new, "", "x@y.example", "bad-name"),
        (new, "https://elsewhere.example", "x@y.example", "bad-name"),
        (new, "X", "x", "bad-address"),
        (new, "X", "P1@partner.example", "known-address"),
        (new._replace(language="xx"), "X", "x@y.example", "usage"),
        (new._replace(contact_id="x"), "X", "x@y.example", "usage"),
    ):
        with pytest.raises(StaffelError) as refused:
            named.people.add("P1", wish, name, email)
        assert refused.value.code == code
    with pytest.raises(StaffelError) as refused:
        named.people.add("P9", new, "X", "x@y.example")
    assert refused.value.code == "unknown-partner"


def test_a_close_is_told_against_the_one_before(named: Desk, mailbox: Mailbox) -> None:
    named.told(close(CloseKind.PROVISIONAL, 60, 0))
    named.told(close())
    named.send()
    assert "60" in mailbox.to(MAIL[ANN])[-1].part("plain")
