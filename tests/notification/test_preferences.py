"""Who turned the weekly mail off gets none; everything about money reaches everybody."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from services.kit.links import Invitation, read_unsubscribe_token
from services.notification.pace import QuietHours
from tests.notification.conftest import Desk
from tests.notification.facts import choice, close, partner, payout, tier, week
from tests.notification.mailbox import Mailbox


def test_who_turned_the_weekly_mail_off_gets_everything_else(desk: Desk) -> None:
    desk.told(partner(), choice(False), week(), tier(), close(), payout())
    assert desk.states() == ["expired", "pending", "pending", "pending"]
    assert desk.rows()[0]["last_error"] == "unsubscribed"


def test_a_choice_is_effective_at_once_for_what_has_not_gone_out(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(1), partner(2), week(1), week(2), tier(number=1))
    desk.told(choice(False))
    desk.send()
    assert desk.states() == ["expired", "sent", "sent"] or desk.states() == ["sent", "expired", "sent"]
    assert {d.recipients[0] for d in mailbox.taken if "so far" in d.mail["Subject"]} == {"p2@partner.example"}


def test_who_turns_it_on_again_gets_the_next_one(desk: Desk) -> None:
    desk.told(partner(), choice(False))
    desk.told(choice(True))
    desk.told(week())
    assert desk.states() == ["pending"]


def test_a_choice_may_come_before_its_partner(desk: Desk) -> None:
    desk.told(choice(False))
    desk.told(week())
    desk.told(partner())
    assert desk.states() == ["expired"]


def test_only_the_weekly_mail_can_be_turned_off_with_one_click(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), week(), tier(), close(), payout())
    desk.send()
    weekly = [d for d in mailbox.taken if d.mail["List-Unsubscribe"]]
    assert [d.mail["Subject"] for d in weekly] == [
        d.mail["Subject"] for d in mailbox.taken if "so far" in d.raw.decode()
    ]
    (delivery,) = weekly
    assert delivery.mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    match = re.fullmatch(r"<(\S+/unsubscribe/(\S+))>", delivery.mail["List-Unsubscribe"])
    assert match is not None
    assert read_unsubscribe_token(desk.settings, match[2]) == Invitation("partner", "P1")
    assert match[1] in delivery.part("plain")
    assert f'href="{match[1]}"' in delivery.part("html")
    others = [d for d in mailbox.taken if d is not delivery]
    assert all("/unsubscribe/" not in d.part("plain") + d.part("html") for d in others)


def test_the_wave_waits_for_the_end_of_the_quiet_hours_and_nothing_else_does(desk: Desk, mailbox: Mailbox) -> None:
    hour = desk.clock.now().astimezone(desk.handler._programme.zone).hour
    quiet = desk.with_settings(quiet_hours=f"{hour}-{(hour + 2) % 24}")
    quiet.told(partner(), week(), tier())
    assert quiet.send() == 1
    assert quiet.states() == ["pending", "sent"]
    due = quiet.rows()[0]["next_try_at"].astimezone(quiet.handler._programme.zone)
    assert not QuietHours(hour, (hour + 2) % 24).cover(due + timedelta(seconds=1))
    quiet.wait_is_over()
    assert quiet.send() == 0, "due or not, it is night"
    quiet.close()


def test_the_wave_goes_behind_everything_else(desk: Desk, mailbox: Mailbox) -> None:
    numbers = range(20)
    desk.told(*[partner(n) for n in numbers], *[week(n) for n in numbers])
    desk.told(tier(number=3))
    desk.send()
    assert mailbox.taken[0].recipients == ["p3@partner.example"]
    assert "you now earn" in mailbox.taken[0].mail["Subject"]


def test_no_more_mails_a_minute_go_out_than_allowed(desk: Desk, mailbox: Mailbox) -> None:
    slow = desk.with_settings(mail_per_minute=180)
    slow.told(*[partner(n) for n in range(20)], *[week(n) for n in range(20)])
    assert slow.sender.step(seconds=0.5) <= 5
    assert 1 <= len(mailbox.taken) <= 5
    slow.close()


@pytest.mark.parametrize("minutes", [0, 120])
def test_the_wave_is_spread_over_the_partners(desk: Desk, minutes: int) -> None:
    spread = desk.with_settings(weekly_spread_minutes=minutes)
    spread.told(*[partner(n) for n in range(40)], *[week(n) for n in range(40)])
    waits = [(row["next_try_at"] - row["queued_at"]).total_seconds() / 60 for row in spread.rows()]
    assert (min(waits), max(waits)) == (0, 0) if minutes == 0 else (min(waits) < 20 and 100 < max(waits) <= 120)
    assert all(row["next_try_at"] > datetime(2000, 1, 1, tzinfo=UTC) for row in spread.rows())
    spread.close()


def test_mails_speak_what_the_partner_chose(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(language="de"), close())
    desk.send()
    desk.told(replace(choice(True), chosen_language="fr"))
    desk.told(payout())
    desk.send()
    desk.told(replace(choice(True), chosen_language=""))
    desk.told(tier())
    desk.send()
    assert [delivery.mail["Content-Language"] for delivery in mailbox.taken] == ["de", "fr", "de"]


def test_a_choice_of_language_is_none_about_the_weekly_mail(desk: Desk) -> None:
    desk.told(partner(), week())
    desk.told(replace(choice(True), chosen_language="it"))
    assert desk.states() == ["pending"]
