"""Geometry of the pictures that the templates draw as SVG. Pure: numbers in, coordinates out; no words, no colours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from schemas.values import Quarter
from streams.rules.terms import Tier


class Box(NamedTuple):
    """A rectangle, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float


class Step(NamedTuple):
    """One tier of the staircase."""

    whole: Box
    filled: Box
    """The part of it that the units reached so far fill, from the left."""


STAIRS = (400, 112)
_GAP, _LOWEST = 5, 10


def staircase(tiers: Sequence[Tier], units: int) -> list[Step]:
    """A step a tier, as high as its rate, filled from the left up to where the units stand.

    The top step has no end: whoever reaches it has filled it.
    """
    width, height = STAIRS
    each = (width - _GAP * (len(tiers) - 1)) / len(tiers)
    highest = max((tier.rate_minor for tier in tiers), default=0) or 1
    steps = []
    for number, tier in enumerate(tiers):
        tall = _LOWEST + (height - _LOWEST) * tier.rate_minor / highest
        whole = Box(_round(number * (each + _GAP)), _round(height - tall), _round(each), _round(tall))
        above = tiers[number + 1].units if number + 1 < len(tiers) else None
        steps.append(Step(whole, whole._replace(width=_round(each * _share(tier.units, above, units)))))
    return steps


def _share(begin: int, end: int | None, units: int) -> float:
    if end is None:
        return 1.0 if units >= begin else 0.0
    return min(1.0, max(0.0, (units - begin) / (end - begin)))


class Line(NamedTuple):
    """A threshold across the chart."""

    tier: Tier
    y: float


class Tick(NamedTuple):
    """Where a month begins."""

    day: date
    x: float


class Chart(NamedTuple):
    """The cumulated units of a quarter, day by day."""

    width: int
    height: int
    base: float
    """y of zero units."""
    left: float
    right: float
    line: str
    """Path of the units reached."""
    area: str
    """The same, closed down to zero."""
    end: tuple[float, float]
    """Where the line ends: today, or the quarter's last day."""
    thresholds: list[Line]
    months: list[Tick]


def quarter_chart(
    quarter: Quarter, days: Sequence[tuple[date, int]], until: date, tiers: Sequence[Tier], width: int, height: int
) -> Chart:
    """The chart up to a day; ``days`` holds the units of each day in order. It always shows the next threshold."""
    left, right, top, base = 4.0, width - 4.0, 22.0, height - 26.0
    total = sum(units for _, units in days)
    above = next((tier.units for tier in tiers if tier.units > total), 0)
    most = max(total * 1.12, above * 1.1, 1.0)
    length = (quarter.last_day - quarter.first_day).days + 1

    def x(day: date) -> float:
        return _round(left + (right - left) * ((day - quarter.first_day).days + 1) / length)

    def y(units: int) -> float:
        return _round(base - (base - top) * units / most)

    path, reached = [f"M{left} {base}"], 0
    for day, units in days:
        reached += units
        path.append(f"H{x(day)}V{y(reached)}")
    last = max([min(until, quarter.last_day), *(day for day, _ in days)])
    path.append(f"H{x(last)}")
    months = [date(quarter.year, quarter.first_day.month + offset, 1) for offset in range(3)]
    return Chart(
        width=width,
        height=height,
        base=base,
        left=left,
        right=right,
        line="".join(path),
        area="".join(path) + f"V{base}Z",
        end=(x(last), y(reached)),
        thresholds=[Line(tier, y(tier.units)) for tier in tiers if 0 < tier.units <= most],
        months=[Tick(day, _round(left + (right - left) * (day - quarter.first_day).days / length)) for day in months],
    )


class Column(NamedTuple):
    """One column of a chart, standing on its base."""

    x: float
    y: float
    width: float
    height: float


COLUMNS = (700, 120)


def columns(amounts: Sequence[int]) -> list[Column]:
    """A column for each amount, the greatest as high as the chart."""
    width, height = COLUMNS
    most = max(amounts, default=0) or 1
    step = width / max(1, len(amounts))
    return [
        Column(
            _round(n * step),
            _round(height - height * amount / most),
            _round(step * 0.8),
            _round(height * amount / most),
        )
        for n, amount in enumerate(amounts)
    ]


def shares(amounts: Sequence[int], width: float = 100.0) -> list[tuple[float, float]]:
    """Start and width of each amount on a bar."""
    total = sum(amounts) or 1
    begins = [sum(amounts[:number]) for number in range(len(amounts))]
    return [
        (_round(width * begin / total), _round(width * amount / total))
        for begin, amount in zip(begins, amounts, strict=True)
    ]


def _round(number: float) -> float:
    return round(number, 1)
