"""When euros move."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from services.payout.bank_days import is_bank_day, latest_run_day, next_bank_day


@pytest.mark.parametrize(
    "day", ["2026-12-25", "2027-01-01", "2027-03-26", "2027-03-29", "2028-05-01", "2028-12-26", "2026-11-21"]
)
def test_target_is_closed(day: str) -> None:
    assert not is_bank_day(date.fromisoformat(day))


@pytest.mark.parametrize("day", ["2026-12-24", "2026-12-31", "2028-10-03", "2027-05-06", "2028-08-15", "2026-10-26"])
def test_target_is_open_also_on_national_holidays(day: str) -> None:
    assert is_bank_day(date.fromisoformat(day))


@pytest.mark.parametrize(
    ("day", "following"),
    [
        ("2026-12-24", "2026-12-28"),
        ("2027-03-25", "2027-03-30"),
        ("2026-11-20", "2026-11-23"),
        ("2026-11-23", "2026-11-24"),
    ],
)
def test_the_next_bank_day_jumps_what_is_closed(day: str, following: str) -> None:
    assert next_bank_day(date.fromisoformat(day)) == date.fromisoformat(following)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-11-23T10:00", "2026-11-23"),
        ("2026-11-23T09:59", "2026-11-20"),
        ("2026-11-22T12:00", "2026-11-20"),
        ("2026-12-28T08:00", "2026-12-24"),
        ("2027-03-29T18:00", "2027-03-25"),
    ],
)
def test_the_latest_run_day_is_the_bank_day_whose_hour_has_come(moment: str, day: str) -> None:
    assert latest_run_day(datetime.fromisoformat(moment), 10) == date.fromisoformat(day)
