"""The days on which euros move: the TARGET calendar. National holidays don't count. Pure."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import holidays

_CLOSED = holidays.financial_holidays("XECB")
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


def is_bank_day(day: date) -> bool:
    """Whether TARGET is open: not at weekends, 1 January, Good Friday, Easter Monday, 1 May, 25 and 26 December."""
    return day.weekday() < 5 and day not in _CLOSED


def next_bank_day(day: date) -> date:
    """The first bank day after this day."""
    day += _DAY
    while not is_bank_day(day):
        day += _DAY
    return day


def bank_hours(since: datetime, now: datetime) -> float:
    """Hours of bank days between two moments in one zone: time in which a bank might have answered."""
    total, start = timedelta(), since
    while start < now:
        end = min(now, datetime.combine(start.date() + _DAY, time(), start.tzinfo))
        if is_bank_day(start.date()):
            total += end - start
        start = end
    return total / _HOUR


def bank_day_after(day: date, number: int) -> date:
    """The bank day that comes so many bank days after this day; with 0 the day itself, bank day or not."""
    for _ in range(number):
        day = next_bank_day(day)
    return day


def latest_run_day(local: datetime, hour: int) -> date:
    """The bank day whose hour for a run was reached last, seen from a moment in programme time."""
    day = local.date() if local.hour >= hour else local.date() - _DAY
    while not is_bank_day(day):
        day -= _DAY
    return day
