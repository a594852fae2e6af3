"""From event to mail, once each, whatever the mail server answers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from deploy.runtime.clock import advance, open_clock
from deploy.runtime.settings import load
from schemas.events import CloseKind, Partner, PayoutStatus, id_of
from services.kit.links import Invitation, read_token
from services.notification.handler import Handler
from services.notification.pace import JITTER, RECONNECT, RETRIES
from services.notification.tables import messages
from tests.notification.conftest import Desk
from tests.notification.facts import claim, close, partner, payout, programme, received, tier, week
from tests.notification.mailbox import Mailbox


def test_each_event_becomes_one_mail_to_its_partner(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(1), partner(2), tier(number=1), week(2), close(), payout())
    desk.send()
    assert len(mailbox.taken) == 4
    assert {d.mail["To"] for d in mailbox.taken} == {"p1@partner.example", "p2@partner.example"}
    assert len(mailbox.to("p2@partner.example")) == 1


def test_second_delivery_sends_nothing(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), tier())
    desk.send()
    desk.told(tier())
    assert desk.send() == 0
    assert len(mailbox.taken) == 1


def test_restart_sends_nothing_twice(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), tier(), week())
    desk.send()
    again = desk.another_sender()
    assert again.step(seconds=20) == 0
    assert len(mailbox.taken) == 2


def test_crash_after_the_servers_yes_repeats_the_mail_under_the_same_id(
    desk: Desk, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.told(partner(), tier())
    with monkeypatch.context() as crash:
        crash.setattr("services.notification.outbox.Outbox.settle_sent", _crash)
        with pytest.raises(MemoryError):
            desk.send()
    assert desk.states() == ["pending"]
    desk.send()
    first, second = mailbox.taken
    assert first.mail["Message-ID"] == second.mail["Message-ID"] == f"<{id_of(tier())}@staffel.example>"


def _crash(*_: object, **__: object) -> None:
    raise MemoryError


def test_event_of_an_unknown_partner_waits_for_the_address(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(close())
    assert desk.send() == 0
    assert desk.states() == ["waiting-for-address"]
    desk.told(partner(2))
    assert desk.send() == 0
    desk.told(partner(1))
    assert desk.send() == 1
    assert len(mailbox.to("p1@partner.example")) == 1


def test_partner_without_an_address_gets_his_mail_when_he_has_one(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(email=""), close())
    assert desk.states() == ["waiting-for-address"]
    desk.told(partner())
    desk.send()
    assert len(mailbox.taken) == 1


def test_erased_partner_gets_nothing_and_leaves_nothing(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), close())
    desk.forget("P1")
    assert desk.send() == 0
    assert desk.states() == ["expired"]
    with desk.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM partners").scalar() == 0


@pytest.mark.parametrize(
    ("event", "age", "sent"),
    [
        (tier(), timedelta(days=1, hours=23), True),
        (tier(), timedelta(days=2, hours=1), False),
        (week(), timedelta(days=7, hours=23), True),
        (week(), timedelta(days=8, hours=1), False),
        (close(), timedelta(days=400), True),
        (payout(), timedelta(days=400), True),
    ],
)
def test_old_news_is_not_sent_but_money_is(
    desk: Desk, mailbox: Mailbox, event: Partner, age: timedelta, sent: bool
) -> None:
    desk.told(partner())
    desk.told(event, ago=age)
    desk.send()
    assert desk.states() == ["sent" if sent else "expired"]
    assert len(mailbox.taken) == sent


def test_news_that_grew_old_while_it_waited_for_an_address_is_not_sent(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(email=""))
    desk.told(tier(), ago=timedelta(days=1))
    assert desk.states() == ["waiting-for-address"]
    desk.told(tier(sequence=2), ago=timedelta(days=3))
    desk.told(partner())
    assert desk.states() == ["pending", "expired"]


def test_partner_who_left_gets_no_weekly_mail_but_his_close_and_his_money(desk: Desk, mailbox: Mailbox) -> None:
    yesterday = (desk.clock.now() - timedelta(days=1)).date()
    desk.told(partner(left_on=yesterday), week(), close(), payout())
    assert desk.states() == ["expired", "pending", "pending"]


def test_partner_who_will_leave_still_gets_his_week(desk: Desk) -> None:
    desk.told(partner(left_on=(desk.clock.now() + timedelta(days=2)).date()), week())
    assert desk.states() == ["pending"]


def test_temporary_refusal_is_tried_again_later_and_later_then_given_up(desk: Desk, mailbox: Mailbox) -> None:
    mailbox.answers["p1@partner.example"] = "451 4.3.0 try later"
    desk.told(partner(), close())
    for attempt, wait in enumerate(RETRIES, 1):
        before = desk.clock.now()
        desk.send()
        row = desk.row()
        assert (row["state"], row["attempts"]) == ("pending", attempt)
        assert before + wait <= row["next_try_at"] <= desk.clock.now() + wait * (1 + JITTER)  # type: ignore[operator]
        assert desk.send() == 0, "not before its time"
        desk.wait_is_over()
    desk.send()
    assert desk.row()["state"] == "failed"
    assert mailbox.taken == []


def test_temporary_refusal_that_passes_sends_one_mail(desk: Desk, mailbox: Mailbox) -> None:
    mailbox.answers["p1@partner.example"] = "450 4.2.1 greylisted"
    desk.told(partner(), close())
    desk.send()
    mailbox.answers.clear()
    desk.wait_is_over()
    desk.send()
    assert (desk.row()["state"], desk.row()["last_error"]) == ("sent", None)
    assert len(mailbox.taken) == 1


def test_final_refusal_is_not_tried_again_and_holds_up_nobody(desk: Desk, mailbox: Mailbox) -> None:
    mailbox.answers["p1@partner.example"] = "550 5.1.1 <p1@partner.example> unknown"
    desk.told(partner(1), partner(2), week(1), week(2))
    desk.send()
    assert desk.states() == ["failed", "sent"]
    assert len(mailbox.to("p2@partner.example")) == 1


def test_refusal_is_kept_without_the_address(desk: Desk, mailbox: Mailbox) -> None:
    mailbox.answers["p1@partner.example"] = "550 5.1.1 <p1@partner.example> unknown"
    desk.told(partner(), close())
    desk.send()
    assert desk.row()["last_error"] == "550 5.1.1 [address] unknown"


def test_new_address_gives_a_refused_mail_another_chance(desk: Desk, mailbox: Mailbox) -> None:
    mailbox.answers["p1@partner.example"] = "550 5.1.1 unknown"
    desk.told(partner(), close())
    desk.send()
    desk.told(partner())
    assert desk.send() == 0, "the same address again changes nothing"
    desk.told(partner(email="new@partner.example"))
    desk.send()
    assert len(mailbox.to("new@partner.example")) == 1


@pytest.mark.parametrize(
    "address", ["nobody", "a@b@c.example", "x y@z.example", "a@b\r\nBcc: c@d.example", "<a@b.example>"]
)
def test_what_is_no_address_is_given_up_at_once(desk: Desk, mailbox: Mailbox, address: str) -> None:
    desk.told(partner(email=address), close())
    desk.send()
    assert desk.states() == ["failed"]
    assert mailbox.taken == []


def test_address_in_an_international_domain_is_written_in_ascii(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(email="info@müller.example"), close())
    desk.send()
    assert mailbox.taken[0].recipients == ["info@xn--mller-kva.example"]


def test_message_that_breaks_the_connection_is_put_off_and_the_others_go_out(desk: Desk, mailbox: Mailbox) -> None:
    mailbox.hangs_up_on.add("p1@partner.example")
    desk.told(partner(1), partner(2), week(1), week(2))
    before = desk.clock.now()
    desk.send()
    assert desk.states() == ["pending", "pending"]
    desk.send()
    assert desk.states() == ["pending", "sent"]
    with desk.engine.connect() as connection:
        row = connection.execute(select(messages).where(messages.c.partner_id == "P1")).one()
    assert (row.attempts, row.next_try_at >= before + RECONNECT) == (1, True)
    assert row.next_try_at < before + RETRIES[0]


def test_server_that_is_away_costs_no_message_an_attempt(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), close())
    mailbox.close()
    assert desk.send() == 0
    assert desk.server.problem is not None
    assert (desk.row()["state"], desk.row()["attempts"]) == ("pending", 0)
    back = Mailbox(mailbox.port)
    try:
        desk.another_sender().step()
        assert len(back.taken) == 1
    finally:
        back.close()


def test_many_mails_share_a_connection(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(*[partner(n) for n in range(30)], *[week(n) for n in range(30)])
    assert desk.send() == 30
    assert mailbox.connections == 1
    assert len({d.mail["Message-ID"] for d in mailbox.taken}) == 30


def test_step_ends_when_its_time_is_over(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(*[partner(n) for n in range(5)], *[week(n) for n in range(5)])
    assert desk.sender.step(seconds=0) == 0
    assert desk.send() == 5


def test_stop_ends_a_step_between_two_mails(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(*[partner(n) for n in range(5)], *[week(n) for n in range(5)])
    assert desk.sender.step(seconds=20, stopping=lambda: len(mailbox.taken) == 2) == 2
    assert len(mailbox.taken) == 2


def test_two_senders_send_each_mail_once(desk: Desk, mailbox: Mailbox) -> None:
    from threading import Thread

    desk.told(*[partner(n) for n in range(20)], *[week(n) for n in range(20)])
    threads = [Thread(target=desk.another_sender(f"here:{n}").step, kwargs={"seconds": 20}) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(d.recipients[0] for d in mailbox.taken) == sorted(f"p{n}@partner.example" for n in range(20))


def test_link_opens_the_page_of_the_partner_it_was_sent_to(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(1), partner(2), week(1), week(2))
    desk.send()
    for number in (1, 2):
        text = mailbox.to(f"p{number}@partner.example")[0].part("plain")
        token, quarter = text.split(f"{desk.settings.public_url}/l/")[1].split()[0].split("?")
        assert quarter == "quarter=2026Q4"
        assert read_token(desk.settings, token) == Invitation("partner", f"P{number}")


def test_the_link_about_a_missing_sale_opens_the_page_of_that_claim(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(1), claim())
    desk.send()
    words = mailbox.to("p1@partner.example")[0].part("plain").split()
    assert any(word.endswith("?claim=C-MFRGGZDFMZTWQ") for word in words)


def test_headers_say_that_nobody_typed_it_and_where_answers_go(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(language="de"), close(CloseKind.PROVISIONAL, payable=0))
    desk.send()
    mail = mailbox.taken[0].mail
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["From"] == mail["Reply-To"] == "Partner Programme <partner@staffel.example>"
    assert mail["Content-Language"] == "de"
    assert mail["Date"] is not None
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert max(len(line) for line in mailbox.taken[0].raw.splitlines()) <= 998


@pytest.mark.parametrize("name", ["x\r\nBcc: y@z.example", "x\nSubject: hello", "x\x00y", "x\u2028Bcc: y@z.example"])
def test_name_cannot_become_a_header(desk: Desk, mailbox: Mailbox, name: str) -> None:
    desk.told(partner(name=name), tier())
    desk.send()
    (delivery,) = mailbox.taken
    assert delivery.recipients == ["p1@partner.example"]
    assert delivery.mail["Bcc"] is None
    assert delivery.mail.get_all("Subject") == ["Q4 2026: you now earn €10.00 per unit"]


@pytest.mark.parametrize("name", ["{{7*7}}", "{name}", "%(x)s %s", "<script>alert(1)</script>", "{units.__class__}"])
def test_name_is_nothing_but_a_name(desk: Desk, mailbox: Mailbox, name: str) -> None:
    desk.told(partner(name=name), tier())
    desk.send()
    (delivery,) = mailbox.taken
    assert f"Hello {name}," in delivery.part("plain")
    assert "49" not in delivery.part("html").split("Hello")[1].split("</p>")[0]
    assert "<script" not in delivery.part("html")


def test_message_that_cannot_be_written_is_given_up_and_holds_up_nobody(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(1), partner(2), week(1), week(2))
    with desk.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE messages SET event = '{}' WHERE partner_id = 'P1'")
    desk.send()
    assert desk.states() == ["failed", "sent"]


def test_logs_hold_nothing_personal(
    desk: Desk, mailbox: Mailbox, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    mailbox.answers["p1@partner.example"] = "550 5.1.1 <p1@partner.example> unknown"
    desk.told(partner(1), partner(2), partner(3, email="no address"), week(1), week(2), week(3))
    desk.send()
    mailbox.close()
    desk.told(close(number=2))
    desk.send()
    said = caplog.text + "".join(capsys.readouterr())
    assert "given up" in said
    for private in ("partner.example", "Systemhaus", "no address", "/l/"):
        assert private not in said


def test_waiting_for_bank_details_never_asks_for_them_by_mail(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), payout(PayoutStatus.WAITING))
    desk.send()
    text = " ".join(mailbox.taken[0].part("plain").split())
    assert "never send bank details by mail" in text


def test_test_clock_that_leaps_or_runs_fast_makes_no_news_old(desk: Desk) -> None:
    settings = load({"data": desk.settings.data, "clock": "2026-10-01T00:00:00Z", "clock_rate": 86_400}, {}).settings
    clock = open_clock(settings)
    recorded_at = clock.now()
    advance(settings, by=timedelta(days=60))
    desk.handler = Handler(desk.engine, clock, programme(), desk.settings)
    desk.handle([received(partner(), recorded_at)])
    desk.handle([received(tier(), recorded_at)])
    desk.handle([received(week(), recorded_at)])
    assert desk.states() == ["pending", "pending"]
