"""Which event calls for which mails."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.events import BankDetailsChange, ClaimDecision, CloseKind, PayoutStatus, Phase, WeeklySummary, id_of
from services.notification.calls import predecessor
from services.notification.messages import Kind, Told
from services.notification.samples import SAMPLES
from tests.notification.facts import bank_details, called_for, claim, close, payout, tier, week

_OF_CONTACTS = (Kind.INVITATION, Kind.CONTACT_ADDED, Kind.CONTACT_CHANGED, Kind.CONTACT_REMOVED)
DETAILS_INVALID = {"reason": "bank-details-invalid"}


def kinds(event: Told, earlier: Told | None = None) -> list[Kind]:
    return [call.kind for call in called_for(event, called_for(earlier)[0] if earlier else None)]


def near(missing: int = 3, day: int = 14, **changes: Any) -> WeeklySummary:
    """A summary of December with so many units missing."""
    facts = {"units": 50 - missing, "units_missing": missing, "next_threshold": 50, "gain_minor": 26_000}
    return replace(week(), as_of=datetime(2026, 12, day, 7, tzinfo=UTC), **facts | changes)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_each_sample_is_the_mail_that_its_event_calls_for(sample: Any) -> None:
    # The first goes with another, the others come from no topic.
    if sample.kind not in (Kind.BANK_DETAILS_NOTICE, Kind.WEBHOOK_DISABLED, Kind.NEW_LINK, *_OF_CONTACTS):
        assert sample.kind in kinds(sample.event)


@pytest.mark.parametrize(
    "event",
    [
        tier(phase=Phase.FINAL),
        payout(PayoutStatus.PAYABLE),
        payout(PayoutStatus.HELD, reason="recount-differs"),
        payout(PayoutStatus.HELD, reason=None),
        payout(PayoutStatus.NETTED, amount=-29_000, end_to_end_id=None),
        payout(PayoutStatus.UNKNOWN),
        payout(PayoutStatus.WAITING, amount=-500),
        payout(PayoutStatus.RETURNED, amount=-500),
        close(CloseKind.UNKNOWN),
        bank_details(change=BankDetailsChange.UNKNOWN),
        claim(decision=ClaimDecision.UNKNOWN),
    ],
)
def test_what_a_partner_need_not_know_is_no_mail(event: Told) -> None:
    assert kinds(event) == []


@pytest.mark.parametrize(
    ("event", "called"),
    [
        (near(3), True),
        (near(1, day=28), True),
        (near(4), False),
        (near(0), False),
        (near(3, day=4), True),
        (near(3, quarter_ends_on=datetime(2027, 3, 31, tzinfo=UTC).date()), False),
        (near(3, next_threshold=None, units_missing=0), False),
    ],
)
def test_threshold_is_near_when_little_is_missing_and_the_quarter_ends_soon(event: WeeklySummary, called: bool) -> None:
    assert kinds(event) == [Kind.WEEKLY, Kind.THRESHOLD_NEAR][: 1 + called]


def test_a_near_threshold_has_one_id_in_a_quarter() -> None:
    first, later, other = (called_for(event)[1].id for event in (near(3), near(1, day=21), near(next_threshold=25)))
    assert first == later != other


def test_a_hold_has_one_id_for_each_obligation_and_reason() -> None:
    held = payout(PayoutStatus.HELD, reason="bank-details-new")
    again, blocked, other = (
        replace(held, sequence=9),
        replace(held, reason="partner-blocked"),
        replace(held, revision=2),
    )
    ids = [called_for(event)[0].id for event in (held, again, blocked, other)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_money_that_waits_because_it_came_back_is_told_by_its_return_alone() -> None:
    waiting = payout(PayoutStatus.WAITING, sequence=8, **DETAILS_INVALID)
    returned = payout(PayoutStatus.RETURNED, sequence=7)
    assert predecessor(waiting) == id_of(returned)
    assert kinds(waiting, returned) == []
    assert kinds(waiting) == [Kind.BANK_DETAILS_MISSING]


def test_a_close_knows_the_close_before_it() -> None:
    assert predecessor(close(CloseKind.PROVISIONAL)) is None
    assert predecessor(close()) == id_of(close(CloseKind.PROVISIONAL))
    assert predecessor(close(CloseKind.ADJUSTMENT)) == id_of(close())
