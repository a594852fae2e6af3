"""The operator's commands, on the messages of a service that has sent some."""

from __future__ import annotations

import email
from pathlib import Path

import pytest

from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded, load
from schemas.events import id_of
from tests.cli.calling import call, succeed
from tests.notification.conftest import Desk
from tests.notification.facts import choice, close, partner, payout, tier, week
from tests.notification.mailbox import Mailbox
from tests.notification.reports import out_of_office, report

PRIVATE = ("p1@partner.example", "p2@partner.example", "Systemhaus", "/l/")


@pytest.fixture
def office(desk: Desk, mailbox: Mailbox) -> Loaded:
    """Settings of a stack whose messages are: 1 sent, 2 failed, 3 and 4 waiting, 5 unwanted, 6 due, as numbered."""
    mailbox.answers["p2@partner.example"] = "550 5.1.1 unknown"
    desk.told(partner(1), partner(2), tier(number=1), close(number=2))
    desk.send()
    desk.told(payout(number=3), close(number=3))
    desk.told(choice(False), week(1))
    desk.told(payout(number=1))
    assert desk.states() == ["sent", "failed", "waiting-for-address", "waiting-for-address", "expired", "pending"]
    said = {"data": desk.settings.data, "notification_db_url": desk.engine.url.render_as_string(hide_password=False)}
    return load(said, {})


def numbers(desk: Desk) -> list[str]:
    return [str(row["number"]) for row in desk.rows()]


def test_messages_are_listed_newest_first_and_by_what_is_asked_for(office: Loaded, desk: Desk) -> None:
    found = succeed(office, "messages", "list")
    assert [str(message["number"]) for message in found["messages"]] == numbers(desk)[::-1]
    assert succeed(office, "messages", "list", "--state", "failed", "--state", "sent")["total"] == 2
    assert succeed(office, "messages", "list", "--kind", "final", "--partner", "P3")["total"] == 1
    assert succeed(office, "messages", "list", "--since", "2999-01-01")["messages"] == []
    few = call(office, "messages", "list", "--limit", "2")
    assert len(few.out.splitlines()) == 3
    assert "4 older ones are not shown" in few.err


def test_a_message_is_shown_with_why_it_was_not_sent(office: Loaded, desk: Desk) -> None:
    said = {number: call(office, "messages", "show", number) for number in numbers(desk)}
    reasons = [
        "the mail server took it",
        "given up after 1 attempt: 550 5.1.1 unknown",
        "the partner is not registered",
        "the partner is not registered",
        "not to be sent: unsubscribed",
        "due: it goes out as soon as",
    ]
    for result, reason in zip(said.values(), reasons, strict=True):
        assert reason in result.out
        assert not [private for private in PRIVATE if private in result.out]
    assert "p…@p….example" in said[numbers(desk)[0]].out
    shown = succeed(office, "messages", "show", numbers(desk)[0])
    assert shown["event"]["to_tier"] == 25
    assert shown["message_id"] == id_of(tier(number=1))


def test_what_was_given_up_is_sent_once_more_under_its_own_id(office: Loaded, desk: Desk, mailbox: Mailbox) -> None:
    assert succeed(office, "messages", "resend", "--failed", "--dry-run")["due"] == [int(numbers(desk)[1])]
    assert desk.states()[1] == "failed"
    assert "1 message is due again" in call(office, "messages", "resend", "--failed").out
    mailbox.answers.clear()
    desk.send()
    (delivery,) = mailbox.to("p2@partner.example")
    assert delivery.mail["Message-ID"] == f"<{id_of(close(number=2))}@staffel.example>"


def test_what_was_sent_goes_out_again_only_when_that_is_said_and_as_another_mail(
    office: Loaded, desk: Desk, mailbox: Mailbox
) -> None:
    number = numbers(desk)[0]
    refused = call(office, "messages", "resend", number)
    assert (refused.code, "--again" in refused.err) == (Exit.REFUSED, True)
    assert call(office, "messages", "resend", number, "--again").code == Exit.OK
    desk.send()
    ids = [d.mail["Message-ID"] for d in mailbox.to("p1@partner.example") if "you now earn" in d.mail["Subject"]]
    assert ids == [f"<{id_of(tier())}@staffel.example>", f"<{id_of(tier())}.1@staffel.example>"]


def test_what_cannot_be_sent_is_refused_with_its_reason_and_the_others_are_sent(office: Loaded, desk: Desk) -> None:
    result = call(office, "messages", "resend", *numbers(desk)[1:], "999999")
    assert result.code == Exit.REFUSED
    for reason in ("no mail address", "turned the weekly mail off", "due already", "no such message"):
        assert reason in result.err
    assert "1 message is due again" in result.out
    assert desk.states()[1] == "pending"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("list", "--state", "lost"), Exit.USAGE, "state can't be 'lost'"),
        (("list", "--kind", "spam"), Exit.USAGE, "one of: tier-up"),
        (("list", "--since", "yesterday"), Exit.USAGE, "not an instant"),
        (("show", "999999"), Exit.FAILED, "there is no message"),
        (("resend",), Exit.USAGE, "say which"),
        (("resend", "1", "--failed"), Exit.USAGE, "say which"),
        (("bounces", "import", "/nowhere"), Exit.USAGE, "there is no /nowhere"),
    ],
)
def test_mistakes_are_told_plainly(office: Loaded, arguments: tuple[str, ...], code: Exit, said: str) -> None:
    result = call(office, "messages", *arguments)
    assert (result.code, said in result.err) == (code, True), result


def test_a_folder_of_reports_is_read_and_reading_it_again_changes_nothing(
    office: Loaded, desk: Desk, tmp_path: Path
) -> None:
    box = tmp_path / "new"
    box.mkdir()
    about = f"<{id_of(tier())}@staffel.example>"
    (box / "1.eml").write_bytes(report(about=about))
    (box / "2.eml").write_bytes(out_of_office())
    dry = call(office, "messages", "bounces", "import", str(box), "--dry-run")
    assert "nothing was changed" in dry.out
    assert desk.states()[-1] == "pending"
    first = call(office, "messages", "bounces", "import", str(box), "--json")
    assert first.code == Exit.REFUSED, "one of them was no report"
    assert (first.object["bad-address"], first.object["no-report"], first.object["read"]) == (1, 1, 2)
    assert desk.states()[-1] == "waiting-for-address"
    second = call(office, "messages", "bounces", "import", str(box / "1.eml"), "--json")
    assert (second.code, second.object["repeated"]) == (Exit.OK, 1)
    assert not [private for private in PRIVATE if private in first.out + first.err + dry.out + dry.err]


def test_a_dry_run_writes_what_would_be_sent_and_sends_nothing(office: Loaded, desk: Desk, mailbox: Mailbox) -> None:
    before, taken = desk.rows(), len(mailbox.taken)
    result = call(office, "notification", "--dry-run")
    folder = office.settings.data / "dry-run"
    assert f"1 mail written to {folder}" in result.out
    (file,) = folder.iterdir()
    assert email.message_from_bytes(file.read_bytes())["To"] == "p1@partner.example"
    assert (desk.rows(), len(mailbox.taken)) == (before, taken)
    assert call(office, "notification", "--out", "x").code == Exit.USAGE
