"""Several tier changes within a short time: the first at once, the others in one mail."""

from __future__ import annotations

from dataclasses import replace as with_settings
from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import update

from deploy.runtime.clock import open_clock
from deploy.runtime.settings import load
from schemas.events import TierChanged
from services.notification.handler import Handler
from services.notification.tables import messages
from tests.notification.conftest import Desk
from tests.notification.facts import partner, programme, tier
from tests.notification.mailbox import Mailbox


def step(sequence: int, from_tier: int, to_tier: int, number: int = 1) -> TierChanged:
    """From a threshold to another one, exactly."""
    rates = {0: 0, 10: 500, 25: 1000, 50: 1500}
    return msgspec.structs.replace(
        tier(number=number, sequence=sequence),
        from_tier=from_tier,
        to_tier=to_tier,
        units=max(to_tier, 9),
        rate_minor=rates[to_tier],
        rebate_before_minor=from_tier * rates[from_tier],
        rebate_after_minor=to_tier * rates[to_tier],
        next_threshold=None,
    )


def subjects(mailbox: Mailbox) -> list[str]:
    return [delivery.mail["Subject"] for delivery in mailbox.taken]


def test_the_first_goes_out_at_once_and_the_others_as_one_when_the_wait_is_over(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), step(1, 0, 10))
    desk.send()
    assert subjects(mailbox) == ["Q4 2026: you now earn €5.00 per unit"]
    desk.told(step(2, 10, 25))
    desk.told(step(3, 25, 50))
    assert desk.send() == 0, "not before the wait is over"
    assert desk.states() == ["sent", "superseded", "pending"]
    desk.wait_is_over()
    desk.send()
    assert subjects(mailbox)[1:] == ["Q4 2026: you now earn €15.00 per unit"]
    text = " ".join(mailbox.taken[1].part("plain").split())
    assert "your rebate rises from €50.00 to €750.00" in text, "from what he was told last"
    assert "You have passed 2 tiers since you last heard from us." in text


def test_what_comes_together_is_one_mail_at_once(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), step(1, 0, 10), step(2, 10, 25), step(3, 25, 50))
    assert desk.states() == ["superseded", "superseded", "pending"]
    desk.send()
    assert subjects(mailbox) == ["Q4 2026: you now earn €15.00 per unit"]
    assert "You have passed 3 tiers" in mailbox.taken[0].part("plain")


def test_up_and_down_again_is_no_news(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), step(1, 0, 10))
    desk.send()
    desk.told(step(2, 10, 25))
    desk.told(step(3, 25, 10))
    desk.wait_is_over()
    assert desk.send() == 0
    assert desk.states() == ["sent", "superseded", "superseded"]


def test_further_up_and_a_little_down_is_told_as_the_way_up_that_it_is(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), step(1, 0, 50), step(2, 50, 25))
    desk.send()
    assert subjects(mailbox) == ["Q4 2026: you now earn €10.00 per unit"]


def test_the_end_of_the_wait_does_not_move(desk: Desk) -> None:
    desk.told(partner(), step(1, 0, 10))
    desk.send()
    sent_at = desk.rows()[0]["sent_at"]
    for sequence, (below, above) in enumerate([(10, 25), (25, 50)], 2):
        desk.told(step(sequence, below, above))
        due = desk.rows()[-1]["next_try_at"]
        assert due == sent_at + timedelta(seconds=desk.settings.tier_mail_wait_seconds)


def test_after_the_wait_the_next_goes_out_at_once(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), step(1, 0, 10))
    desk.send()
    with desk.engine.begin() as connection:
        connection.execute(update(messages).values(sent_at=desk.clock.now() - timedelta(seconds=61)))
    desk.told(step(2, 10, 25))
    assert desk.send() == 1


def test_partners_and_quarters_do_not_wait_for_each_other(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(1), partner(2), step(1, 0, 10))
    desk.send()
    other_quarter = msgspec.structs.replace(step(1, 0, 10), quarter="2027Q1")
    desk.told(step(1, 0, 10, number=2), other_quarter)
    assert desk.send() == 2


def test_what_is_being_sent_is_not_replaced(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), step(1, 0, 10))
    outbox = desk.another_outbox("there:1")
    (row,) = outbox.claim()
    desk.told(step(2, 10, 25))
    assert desk.states() == ["pending", "pending"]
    outbox.settle_sent(row, "")
    desk.wait_is_over()
    desk.send()
    assert "from €50.00 to €250.00" in " ".join(mailbox.taken[0].part("plain").split())


def test_what_waits_for_an_address_is_one_mail_when_there_is_one(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(step(1, 0, 10))
    desk.told(step(2, 10, 25))
    desk.told(partner())
    desk.send()
    assert desk.states() == ["superseded", "sent"]
    assert "from €0.00 to €250.00" in " ".join(mailbox.taken[0].part("plain").split())


def test_without_a_wait_each_change_is_a_mail(desk: Desk, mailbox: Mailbox) -> None:
    desk = desk.with_settings(tier_mail_wait_seconds=0)
    desk.told(partner(), step(1, 0, 10), step(2, 10, 25))
    assert desk.send() == 2
    desk.close()


@pytest.mark.parametrize(("rate", "seconds"), [(1, 60), (6, 10)])
def test_the_wait_is_in_programme_time(desk: Desk, rate: int, seconds: int) -> None:
    flags = {"data": desk.settings.data / str(rate), "clock": "2026-11-01T00:00:00Z", "clock_rate": rate}
    settings = with_settings(desk.settings, **{**flags, "clock_rate": float(rate)})
    desk.clock = open_clock(load(flags, {}).settings)  # type: ignore[assignment]
    desk.handler = Handler(desk.engine, desk.clock, programme(), settings)
    desk.told(partner(), step(1, 0, 10))
    desk.another_outbox("there:1").claim()
    desk.told(step(2, 10, 25))
    first, second = desk.rows()
    assert second["next_try_at"] - first["queued_at"] == timedelta(seconds=seconds)
