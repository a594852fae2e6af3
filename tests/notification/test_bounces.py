"""What came back counts once, makes a bad address known, and is believed only if it is about a mail of ours."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from schemas.events import id_of
from services.notification.addresses import Addresses, masked
from services.notification.bounces import Bounces, Noted, Result
from services.notification.dsn import read_report
from services.notification.overview import resend, shown
from services.notification.tables import bad_addresses, bounces
from tests.notification.conftest import Desk
from tests.notification.facts import bank_details, close, partner, tier, week
from tests.notification.mailbox import Mailbox
from tests.notification.reports import report

ABOUT_WEEK = f"<{id_of(week())}@staffel.example>"


def note(desk: Desk, raw: bytes) -> Noted:
    return Bounces(desk.engine, Addresses(desk.settings)).note(read_report(raw))


def count(desk: Desk, table: object) -> int:
    with desk.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


@pytest.fixture
def sent(desk: Desk) -> Desk:
    desk.told(partner(), week())
    desk.send()
    assert desk.states() == ["sent"]
    return desk


def test_an_address_that_takes_no_mail_is_not_written_to_any_more(sent: Desk, mailbox: Mailbox) -> None:
    assert note(sent, report(about=ABOUT_WEEK)).result is Result.BAD_ADDRESS
    sent.told(close())
    assert sent.states() == ["waiting-for-address"] * 2
    assert {row["last_error"] for row in sent.rows()} == {"mail to the address came back: 5.1.1"}
    sent.told(partner())
    assert sent.send() == 0, "the same address again is still bad"
    sent.told(partner(email="P1@Partner.example"))
    assert sent.send() == 0, "and in other letters, too"
    sent.told(partner(email="new@partner.example"))
    assert sent.send() == 2
    assert len(mailbox.to("new@partner.example")) == 2, "what came back, too"
    assert count(sent, bad_addresses) == 0


def test_what_was_due_when_the_report_came_waits(sent: Desk) -> None:
    sent.told(close(), tier())
    note(sent, report(about=ABOUT_WEEK))
    assert sent.send() == 0
    assert sent.states() == ["waiting-for-address"] * 3


def test_a_report_counts_once(sent: Desk) -> None:
    assert note(sent, report(about=ABOUT_WEEK, status="4.2.2")).result is Result.SOFT
    assert note(sent, report(about=ABOUT_WEEK, status="4.2.2")).result is Result.REPEATED
    assert count(sent, bounces) == 1


def test_three_soft_ones_in_a_row_are_told_and_a_mail_that_arrived_between_them_begins_anew(desk: Desk) -> None:
    desk = desk.with_settings(tier_mail_wait_seconds=0)
    desk.told(partner())
    results = []
    for sequence in range(1, 7):
        desk.told(tier(sequence=sequence))
        desk.send()
        if sequence != 3:
            about = f"<{id_of(tier(sequence=sequence))}@staffel.example>"
            results.append(note(desk, report(about=about, status="4.2.2", own_id=f"<{sequence}@mx.example>")).result)
    assert results == [Result.SOFT] * 4 + [Result.SOFT_AGAIN]
    desk.close()


def test_a_report_about_an_address_that_he_no_longer_has_sends_what_is_about_his_money_to_the_new_one(
    desk: Desk, mailbox: Mailbox
) -> None:
    desk.told(partner(), week(), close())
    desk.send()
    desk.told(partner(email="new@partner.example"))
    assert note(desk, report(about=ABOUT_WEEK)).result is Result.OLD_ADDRESS
    assert note(desk, report(about=f"<{id_of(close())}@staffel.example>", own_id="<2@mx.example>")).result is (
        Result.OLD_ADDRESS
    )
    assert count(desk, bad_addresses) == 0
    desk.send()
    assert [delivery.mail["Message-ID"] for delivery in mailbox.to("new@partner.example")] == [
        f"<{id_of(close())}@staffel.example>"
    ]


def test_without_returned_headers_the_recipient_tells(sent: Desk) -> None:
    assert note(sent, report(recipient="P1@Partner.example")).result is Result.BAD_ADDRESS


@pytest.mark.parametrize(
    "raw",
    [
        report(about="<somebody-elses@mail.example>", recipient="x@elsewhere.example"),
        report(about=f"<{id_of(week(7))}@staffel.example>", recipient="x@elsewhere.example"),
        report(recipient="x@elsewhere.example"),
    ],
)
def test_a_report_about_no_mail_of_ours_changes_nothing(sent: Desk, raw: bytes) -> None:
    assert note(sent, raw) == Noted(Result.UNMATCHED)
    assert count(sent, bounces) == count(sent, bad_addresses) == 0


def test_each_message_has_its_return_path_and_only_that_is_believed(desk: Desk, mailbox: Mailbox) -> None:
    desk = desk.with_settings(bounce_address="bounces@vendor.example")
    desk.told(partner(1), partner(2), week(1), week(2))
    desk.send()
    desk.close()
    first, second = (mailbox.to(f"p{n}@partner.example")[0].sender for n in (1, 2))
    assert first != second
    assert first.startswith("bounces+")
    assert first.endswith("@vendor.example")
    invented = first.replace(first.split("-")[1][:4], "0000" if "-0000" not in first else "1111")
    for to in (invented, "bounces@vendor.example", first.replace("vendor", "other")):
        assert note(desk, report(to=to, about=ABOUT_WEEK)).result is Result.UNMATCHED
    noted = note(desk, report(to=second.upper(), recipient="forwarded@x.example"))
    assert (noted.result, noted.partner_id) == (Result.BAD_ADDRESS, "P2")


def test_a_dry_run_notes_nothing(sent: Desk) -> None:
    taker = Bounces(sent.engine, Addresses(sent.settings))
    assert taker.note(read_report(report(about=ABOUT_WEEK)), dry_run=True).result is Result.BAD_ADDRESS
    assert count(sent, bounces) == count(sent, bad_addresses) == 0
    assert sent.states() == ["sent"]


def test_who_sends_a_message_anew_says_that_the_address_is_good(sent: Desk, mailbox: Mailbox) -> None:
    note(sent, report(about=ABOUT_WEEK))
    assert resend(sent.engine, [sent.row()["number"]]).refused == []
    sent.send()
    assert len(mailbox.taken) == 2
    assert count(sent, bad_addresses) == 0


def test_what_came_back_is_shown_with_its_message_and_without_the_address(sent: Desk) -> None:
    note(sent, report(about=ABOUT_WEEK))
    found = shown(sent.engine, sent.row()["number"])
    assert found is not None
    assert "came back: 5.1.1" in found["why"]
    (came_back,) = found["bounces"]
    assert (came_back["status"], came_back["diagnostic"]) == ("5.1.1", "550 5.1.1 [address] no such user")
    assert "p1@partner.example" not in str(found)


def test_what_another_server_said_is_no_longer_than_the_column(sent: Desk) -> None:
    long = report(about=ABOUT_WEEK).replace(b"no such user", b"no \xff such user " * 100)
    assert note(sent, long).result is Result.BAD_ADDRESS


@pytest.mark.parametrize(
    ("address", "shown_as"),
    [("anna.berg@partner.example", "a…@p….example"), ("a@b.co.uk", "a…@b….uk"), ("nobody", "…"), ("", "")],
)
def test_addresses_are_masked(address: str, shown_as: str) -> None:
    assert masked(address) == shown_as


def test_a_report_about_an_address_of_before_sends_nothing_there_again_and_spoils_nothing(
    desk: Desk, mailbox: Mailbox
) -> None:
    desk.told(partner())
    desk.told(partner(email="new@partner.example"), bank_details())
    desk.send()
    assert len(mailbox.to("p1@partner.example")) == 1
    about = f"<{id_of(bank_details())}/previous@staffel.example>"
    assert note(desk, report(about=about)).result is Result.OLD_ADDRESS
    assert desk.send() == 0
    desk.told(close())
    assert desk.send() == 1
