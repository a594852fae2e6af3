"""The calendar: which moments are due between two instants, and what each does to a standing (rules 7 and 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum, auto
from functools import cache
from typing import NamedTuple

from msgspec.structs import replace

from schemas.events import CloseKind, Phase, QuarterClosed, Tally, WeeklySummary
from schemas.values import Quarter, iso_week
from streams.rules.terms import Programme

_WEEKLY_AT = time(8)
_CLOCKS_DIFFER = timedelta(days=1)


class MomentKind(IntEnum):
    """What is due, in the order in which it happens if it is due at the same instant."""

    WEEK = auto()
    PROVISIONAL = auto()
    FINAL = auto()


class Moment(NamedTuple):
    """Something due at an instant: for a week the Monday, else the first day of the quarter."""

    at: datetime
    kind: MomentKind
    day: date

    @property
    def quarter(self) -> Quarter:
        return Quarter.of(self.day)


def due(programme: Programme, after: datetime, until: datetime) -> list[Moment]:
    """The moments later than ``after`` and not later than ``until``, in order; provisional before final.

    Of weekly summaries only the latest: after a month of downtime nobody wants four.
    """
    moments = [
        Moment(at, kind, quarter.first_day)
        for quarter in _quarters(programme, after, until)
        for at, kind in (
            (programme.dates(quarter).provisional_at, MomentKind.PROVISIONAL),
            (programme.dates(quarter).final_at, MomentKind.FINAL),
        )
        if after < at <= until
    ]
    monday = _monday_before(programme, until)
    if after < monday.at:
        moments.append(monday)
    return sorted(moments)


def _quarters(programme: Programme, after: datetime, until: datetime) -> Iterator[Quarter]:
    # A quarter's final close comes at most its horizon after its end; begin with the oldest that can still be due.
    longest = max(terms.horizon_days for terms in programme.terms)
    quarter = Quarter.of((after - timedelta(days=longest + 100)).date())
    last = Quarter.of(until.astimezone(programme.zone).date())
    while quarter <= last:
        if programme.dates(quarter).covered:
            yield quarter
        quarter = quarter.next


def _monday_before(programme: Programme, until: datetime) -> Moment:
    local = until.astimezone(programme.zone)
    monday = local.date() - timedelta(days=local.weekday())
    at = datetime.combine(monday, _WEEKLY_AT, programme.zone)
    if at > until:
        monday -= timedelta(days=7)
        at = datetime.combine(monday, _WEEKLY_AT, programme.zone)
    return Moment(at, MomentKind.WEEK, monday)


def phase_at(programme: Programme, quarter: Quarter, instant: datetime) -> Phase:
    """Where a quarter stands at an instant."""
    dates = programme.dates(quarter)
    if instant >= dates.final_at:
        return Phase.FINAL
    if instant >= dates.provisional_at:
        return Phase.PROVISIONAL
    return Phase.OPEN


def over_by(programme: Programme, at: datetime) -> Callable[[str], bool]:
    """Whether a quarter was past its horizon, and closed, at an instant; a day before, since brokers' clocks differ."""
    before = at - _CLOCKS_DIFFER

    @cache
    def over(quarter: str) -> bool:
        dates = programme.dates(Quarter.parse(quarter))
        return before >= max(dates.horizon_at, dates.final_at)

    return over


def summarised(tally: Tally, programme: Programme, moment: Moment) -> tuple[Tally, WeeklySummary]:
    """A partner's weekly summary, and the tally that remembers what it said."""
    quarter = Quarter.parse(tally.quarter)
    above = programme.terms_for(quarter).next_tier(tally.units)
    week = iso_week(moment.day)
    summary = WeeklySummary(
        programme_id=tally.programme_id,
        partner_id=tally.partner_id,
        quarter=tally.quarter,
        week=week,
        units=tally.units,
        tier=tally.tier,
        rate_minor=tally.rate_minor,
        rebate_minor=tally.rebate_minor,
        currency=tally.currency,
        next_threshold=above.threshold if above else None,
        units_missing=above.units_missing if above else 0,
        gain_minor=above.gain_minor if above else 0,
        units_change=tally.units - tally.week_units,
        rebate_change_minor=tally.rebate_minor - tally.week_rebate_minor,
        pending=tally.pending,
        rejected=tally.rejected,
        quarter_ends_on=quarter.last_day,
        as_of=moment.at.astimezone(UTC),
    )
    return replace(tally, week=week, week_units=tally.units, week_rebate_minor=tally.rebate_minor), summary


def closed(tally: Tally, kind: CloseKind, at: datetime) -> tuple[Tally, QuarterClosed]:
    """A close of a partner's quarter, and the tally that remembers it.

    A provisional close makes nothing payable; any other makes payable what the closes before it did not (rule 8).
    """
    payable = 0 if kind is CloseKind.PROVISIONAL else tally.rebate_minor - tally.payable_minor
    revision = 1 if kind is CloseKind.FINAL else tally.revision + 1
    tally = replace(
        tally,
        phase=Phase.PROVISIONAL if kind is CloseKind.PROVISIONAL else Phase.FINAL,
        revision=revision,
        payable_minor=tally.payable_minor + payable,
    )
    return tally, QuarterClosed(
        programme_id=tally.programme_id,
        partner_id=tally.partner_id,
        quarter=tally.quarter,
        kind=kind,
        revision=revision,
        units=tally.units,
        tier=tally.tier,
        rate_minor=tally.rate_minor,
        rebate_minor=tally.rebate_minor,
        payable_minor=payable,
        payable_total_minor=tally.payable_minor,
        currency=tally.currency,
        terms_version=tally.terms_version,
        closed_at=at.astimezone(UTC),
    )
