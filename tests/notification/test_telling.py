"""From events to the messages of a partner: what he is told once, and where."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from schemas.events import BankDetailsChange, CloseKind, Event, PayoutStatus, id_of
from services.notification.former import KEPT
from services.notification.tables import former_addresses, messages
from tests.notification.conftest import Desk
from tests.notification.facts import bank_details, close, partner, payout, received, tier
from tests.notification.mailbox import Mailbox
from tests.notification.test_calls import near

OLD, NEW, NEWEST = (f"{name}@partner.example" for name in ("old", "new", "newest"))


def kinds(desk: Desk) -> list[str]:
    with desk.engine.connect() as connection:
        return list(connection.execute(select(messages.c.kind).order_by(messages.c.number)).scalars())


def changes_address(desk: Desk, *addresses: str, ago: timedelta = timedelta(hours=1)) -> None:
    """A partner's addresses one after the other, all but the first so long ago."""
    for address in addresses:
        desk.told(partner(email=address), ago=ago)


def recipients(mailbox: Mailbox) -> list[str]:
    return sorted(recipient for delivery in mailbox.taken for recipient in delivery.recipients)


def test_near_threshold_is_told_once_beside_the_weekly_mails(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(), near(3, day=7, week="2026-W50"))
    desk.told(near(2, day=14, week="2026-W51"), near(3, day=21, week="2026-W52"))
    assert kinds(desk) == ["weekly", "threshold-near", "weekly", "weekly"]
    desk.send()
    assert len(mailbox.taken) == 4


def test_another_threshold_is_told_again(desk: Desk) -> None:
    desk.told(partner(), near(3, next_threshold=25), near(3, day=21, week="2026-W52"))
    assert kinds(desk) == ["weekly", "threshold-near"] * 2


def test_partner_who_left_hears_of_no_threshold(desk: Desk) -> None:
    desk.told(partner(left_on=(desk.clock.now() - timedelta(days=1)).date()), near())
    assert desk.states() == ["expired", "expired"]


@pytest.mark.parametrize("together", [True, False])
def test_final_mail_tells_what_became_of_the_provisional_number(desk: Desk, mailbox: Mailbox, together: bool) -> None:
    events: list[Event] = [close(CloseKind.PROVISIONAL, units=49, payable=0), close(units=52)]
    desk.told(partner())
    if together:
        desk.told(*events)
    else:
        for event in events:
            desk.told(event)
    desk.send()
    final = " ".join(mailbox.taken[-1].part("plain").split())
    assert "The provisional result was 49 units and €490.00. Since then 3 units were added" in final


def test_a_hold_is_told_once_however_often_it_comes_back(desk: Desk) -> None:
    held = [payout(PayoutStatus.HELD, reason="bank-details-new", sequence=number) for number in (1, 3, 5)]
    desk.told(partner(), held[0], payout(PayoutStatus.PAYABLE, sequence=2), held[1])
    desk.told(held[2], payout(PayoutStatus.HELD, reason="recount-differs", sequence=6))
    assert kinds(desk) == ["held"]


@pytest.mark.parametrize("together", [True, False])
def test_a_return_is_told_and_not_that_the_money_waits_again(desk: Desk, together: bool) -> None:
    events = [
        payout(PayoutStatus.RETURNED, sequence=4),
        payout(PayoutStatus.WAITING, sequence=5, reason="bank-details-invalid"),
    ]
    desk.told(partner())
    if together:
        desk.told(*events)
    else:
        for event in events:
            desk.told(event)
    assert kinds(desk) == ["returned"]


def test_changed_bank_details_are_told_to_the_former_address_too(desk: Desk, mailbox: Mailbox) -> None:
    changes_address(desk, OLD, NEW)
    desk.told(bank_details())
    desk.send()
    assert recipients(mailbox) == [NEW, OLD]
    assert {delivery.mail["Message-ID"] for delivery in mailbox.taken} == {
        f"<{id_of(bank_details())}@staffel.example>",
        f"<{id_of(bank_details())}/previous@staffel.example>",
    }


def test_the_former_address_gets_no_way_into_the_page(desk: Desk, mailbox: Mailbox) -> None:
    changes_address(desk, OLD, NEW)
    desk.told(bank_details())
    desk.send()
    (notice,) = mailbox.to(OLD)
    for part in ("plain", "html"):
        assert "/l/" not in notice.part(part)
        assert "answer this mail at once" in " ".join(notice.part(part).split())
    (told,) = mailbox.to(NEW)
    assert "/l/" in told.part("plain")


def test_every_address_of_the_last_ninety_days_hears_of_it(desk: Desk, mailbox: Mailbox) -> None:
    changes_address(desk, OLD, NEW, NEWEST)
    desk.told(bank_details())
    desk.send()
    assert recipients(mailbox) == sorted([OLD, NEW, NEWEST])


def test_addresses_that_change_within_one_batch_are_remembered(desk: Desk, mailbox: Mailbox) -> None:
    at = desk.clock.now()
    desk.handle([received(partner(email=address), at) for address in (OLD, NEW, NEWEST)])
    desk.told(bank_details())
    desk.send()
    assert recipients(mailbox) == sorted([OLD, NEW, NEWEST])


def test_an_address_left_long_ago_hears_nothing(desk: Desk, mailbox: Mailbox) -> None:
    changes_address(desk, OLD, NEW, ago=KEPT + timedelta(days=1))
    desk.told(bank_details())
    desk.send()
    assert recipients(mailbox) == [NEW]
    desk.told(partner(2))
    with desk.engine.connect() as connection:
        assert connection.execute(select(former_addresses)).all() == [], "nor is it kept"


def test_an_address_that_is_the_present_one_again_is_told_once(desk: Desk, mailbox: Mailbox) -> None:
    changes_address(desk, OLD, NEW, OLD)
    desk.told(bank_details())
    desk.send()
    assert recipients(mailbox) == [NEW, OLD]


def test_former_address_is_told_even_where_the_present_one_was_taken_away(desk: Desk, mailbox: Mailbox) -> None:
    changes_address(desk, OLD, "")
    desk.told(bank_details())
    desk.send()
    assert recipients(mailbox) == [OLD]
    assert sorted(desk.states()) == ["sent", "waiting-for-address"]


def test_details_that_are_invalid_are_no_news_for_a_former_address(desk: Desk, mailbox: Mailbox) -> None:
    changes_address(desk, OLD, NEW)
    desk.told(bank_details(change=BankDetailsChange.INVALID), tier())
    desk.send()
    assert recipients(mailbox) == [NEW, NEW]


def test_a_former_address_that_is_gone_is_nobodys_task(desk: Desk, mailbox: Mailbox) -> None:
    changes_address(desk, OLD, NEW)
    mailbox.answers[OLD] = "550 5.1.1 unknown"
    desk.told(bank_details())
    desk.send()
    assert desk.states() == ["sent", "expired"]


def test_a_new_address_lets_nothing_go_to_a_former_one(desk: Desk, mailbox: Mailbox) -> None:
    changes_address(desk, OLD, NEW)
    mailbox.answers[OLD] = "550 5.1.1 unknown"
    desk.told(bank_details())
    desk.send()
    mailbox.answers.clear()
    changes_address(desk, NEWEST)
    assert desk.send() == 0
    assert recipients(mailbox) == [NEW]


def test_of_an_erased_partner_no_former_address_is_left(desk: Desk, mailbox: Mailbox) -> None:
    changes_address(desk, OLD, NEW)
    desk.told(bank_details())
    desk.forget("P1")
    assert desk.send() == 0
    with desk.engine.connect() as connection:
        assert connection.execute(select(former_addresses)).all() == []
        assert set(connection.execute(select(messages.c.recipient)).scalars()) == {None}


def test_second_delivery_of_changed_details_sends_nothing(desk: Desk, mailbox: Mailbox) -> None:
    changes_address(desk, OLD, NEW)
    desk.told(bank_details())
    desk.send()
    desk.told(bank_details())
    assert desk.send() == 0
    assert len(mailbox.taken) == 2
