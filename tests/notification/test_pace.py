"""When mails go out."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.runtime.errors import UsageError
from services.notification.pace import (
    JITTER,
    RECONNECT,
    RETRIES,
    Allowance,
    QuietHours,
    parse_quiet_hours,
    retry_after,
    weekly_due,
)

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(20, 7)


@pytest.mark.parametrize(
    ("text", "hours"),
    [("", None), (" ", None), ("20-7", NIGHT), ("0-6", QuietHours(0, 6)), ("9-17", QuietHours(9, 17))],
)
def test_quiet_hours_are_read(text: str, hours: QuietHours | None) -> None:
    assert parse_quiet_hours(text) == hours


@pytest.mark.parametrize("text", ["7", "7-7", "20-24", "-3-7", "20:00-07:00", "night"])
def test_what_are_no_hours_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="quiet_hours"):
        parse_quiet_hours(text)


@pytest.mark.parametrize(
    ("quiet", "moment", "over"),
    [
        (NIGHT, "2026-12-14 19:59", "2026-12-14 19:59"),
        (NIGHT, "2026-12-14 20:00", "2026-12-15 07:00"),
        (NIGHT, "2026-12-15 00:30", "2026-12-15 07:00"),
        (NIGHT, "2026-12-15 07:00", "2026-12-15 07:00"),
        (QuietHours(12, 14), "2026-12-14 12:30", "2026-12-14 14:00"),
        (QuietHours(12, 14), "2026-12-14 14:00", "2026-12-14 14:00"),
        # The night in which clocks go back is an hour longer, and still ends at seven.
        (NIGHT, "2026-10-24 22:00", "2026-10-25 07:00"),
    ],
)
def test_what_falls_into_the_quiet_hours_waits_for_their_end(quiet: QuietHours, moment: str, over: str) -> None:
    local = datetime.fromisoformat(moment).replace(tzinfo=BERLIN)
    assert quiet.over(local) == datetime.fromisoformat(over).replace(tzinfo=BERLIN)


@given(st.text(max_size=20), st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)), st.integers(0, 600))  # noqa: DTZ001
def test_a_weekly_mail_is_due_within_its_spread_outside_the_quiet_hours_and_always_at_the_same_moment(
    partner_id: str, naive: datetime, minutes: int
) -> None:
    local = naive.replace(tzinfo=BERLIN)
    due = weekly_due(partner_id, local, minutes, None)
    assert local <= due <= local + timedelta(minutes=minutes)
    assert due == weekly_due(partner_id, local, minutes, None)
    assert not NIGHT.cover(weekly_due(partner_id, local, minutes, NIGHT))


def test_the_wave_is_spread_evenly() -> None:
    begin = datetime(2026, 12, 14, 8, tzinfo=BERLIN)
    dues = [weekly_due(f"P-{n}", begin, 60, None) for n in range(6000)]
    by_ten_minutes = [
        sum(begin + timedelta(minutes=m) <= due < begin + timedelta(minutes=m + 10) for due in dues)
        for m in range(0, 60, 10)
    ]
    assert all(850 < number < 1150 for number in by_ten_minutes), by_ten_minutes


def test_waits_grow_are_a_little_longer_for_some_and_the_same_when_asked_again() -> None:
    for attempt, wait in enumerate(RETRIES, 1):
        found = {retry_after(f"event-{n}", attempt) for n in range(50)}
        assert len(found) > 40
        assert all(wait <= found_wait < wait * (1 + JITTER) for found_wait in found if found_wait)
        assert retry_after("event-1", attempt) in found
    assert retry_after("event-1", len(RETRIES) + 1) is None


def test_a_lost_connection_is_tried_again_at_once_the_first_time_only() -> None:
    assert retry_after("event-1", 1, lost=True) == RECONNECT
    second = retry_after("event-1", 2, lost=True)
    assert second is not None
    assert second >= RETRIES[1]


@given(st.integers(1, 5000), st.lists(st.tuples(st.floats(0, 5), st.integers(0, 300), st.booleans()), max_size=200))
def test_no_minute_holds_more_mails_than_allowed(per_minute: int, asked: list[tuple[float, int, bool]]) -> None:
    allowance, now, granted = Allowance(per_minute), 1000.0, []
    for pause, wanted, unused in asked:
        now += pause
        taken = allowance.take(wanted, now)
        if unused:
            allowance.give_back(taken)
        else:
            granted.append((now, taken))
    for begin, _ in granted:
        assert sum(number for at, number in granted if begin <= at < begin + 59.9) <= per_minute


def test_the_allowance_is_used_up() -> None:
    allowance = Allowance(600)
    sent = sum(allowance.take(8, second / 10) for second in range(6000))
    assert 5800 <= sent <= 6000, "ten minutes of it"


def test_without_a_limit_everything_may_go() -> None:
    assert Allowance(0).take(1000, 0.0) == 1000
