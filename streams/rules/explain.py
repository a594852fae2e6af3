"""Why a quarter came to the number that it came to: every report in one group, every group in the sum. Pure.

The units reported are those counted, those that came back, those that wait and those rejected, and nothing else. The
units counted, at the rate of the tier that they reach, are the rebate; the closes say when it became payable.
An exact repetition of a report leaves no trace in a line, and so none here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

import msgspec

from schemas.events import CloseKind, LineStatus, SaleLine
from streams.rules.terms import NextTier, Terms, Tier


class Line(NamedTuple):
    """What an explanation needs of a sale line."""

    sale_id: str
    status: LineStatus
    reason: str | None
    product_id: str
    quantity: int
    units: int
    sold_on: date | None
    conflicts: int
    """How many other reports of the same sale do not stand."""

    @classmethod
    def of(cls, line: SaleLine) -> Line:
        """The same, picked from a line as it is published."""
        return cls(
            line.sale_id,
            line.status,
            line.reason,
            line.product_id,
            line.quantity,
            line.units,
            line.sold_on,
            len(line.conflicts),
        )


class Close(NamedTuple):
    """What an explanation needs of a close."""

    revision: int
    units: int
    rebate_minor: int
    payable_minor: int
    closed_at: datetime


class Group(msgspec.Struct, frozen=True):
    """Some sales and their units."""

    sales: int
    units: int


class Rejected(msgspec.Struct, frozen=True):
    """Sales that do not count (or not yet) for one reason."""

    reason: str
    sales: int
    units: int


class Cell(msgspec.Struct, frozen=True):
    """Counted sales of one product in one month."""

    month: date
    """Its first day."""
    product_id: str
    sales: int
    units: int
    rebate_minor: int
    """What they bring at the rate reached."""


class Revision(msgspec.Struct, frozen=True):
    """A close beside the one before it: what changed, and what it made payable."""

    revision: int
    kind: CloseKind
    closed_at: datetime
    units: int
    units_change: int
    rate_minor: int
    rebate_minor: int
    rebate_change_minor: int
    payable_minor: int


class Explanation(msgspec.Struct, frozen=True):
    """A partner's quarter, from the reports to what was made payable."""

    reported: Group
    counted: Group
    """Sales of which something counts, with the units that do."""
    came_back: Group
    """Sales of which something came back, with the units that did."""
    pending: tuple[Rejected, ...]
    rejected: tuple[Rejected, ...]
    conflicts: int
    """Sales of which another report says something else and does not stand."""
    cells: tuple[Cell, ...]
    """The counted units by month and product."""
    tier: Tier
    next_tier: NextTier | None
    rebate_minor: int
    currency: str
    terms_version: str
    revisions: tuple[Revision, ...]
    payable_minor: int
    """What all closes made payable."""
    unsettled_minor: int
    """The rebate less what was made payable: before the final close all of it, afterwards nothing for long."""


def explain(lines: Iterable[Line], terms: Terms, closes: Sequence[Close]) -> Explanation:
    """Explain a partner's quarter from its lines and, in the order of revisions, its closes."""
    reported, counted, came_back = [0, 0], [0, 0], [0, 0]
    aside: dict[LineStatus, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    cells: dict[tuple[date, str], list[int]] = defaultdict(lambda: [0, 0])
    conflicts = 0
    for line in lines:
        _add(reported, line.quantity)
        conflicts += line.conflicts > 0
        if line.status not in (LineStatus.COUNTED, LineStatus.RETURNED) or line.sold_on is None:
            _add(aside[line.status][line.reason or ""], line.quantity)
            continue
        if line.units:
            _add(counted, line.units)
            _add(cells[line.sold_on.replace(day=1), line.product_id], line.units)
        if line.units != line.quantity:
            _add(came_back, line.quantity - line.units)
    units = counted[1]
    tier, rebate_minor = terms.tier_for(units), terms.rebate_minor(units)
    payable_minor = sum(close.payable_minor for close in closes)
    return Explanation(
        reported=Group(*reported),
        counted=Group(*counted),
        came_back=Group(*came_back),
        pending=_reasons(aside.pop(LineStatus.PENDING, {})),
        rejected=tuple(found for reasons in aside.values() for found in _reasons(reasons)),
        conflicts=conflicts,
        cells=tuple(
            Cell(month, product_id, sales, units, units * tier.rate_minor)
            for (month, product_id), (sales, units) in sorted(cells.items())
        ),
        tier=tier,
        next_tier=terms.next_tier(units),
        rebate_minor=rebate_minor,
        currency=terms.currency,
        terms_version=terms.version,
        revisions=_revisions(terms, closes),
        payable_minor=payable_minor,
        unsettled_minor=rebate_minor - payable_minor,
    )


def kind_of(revision: int) -> CloseKind:
    """Which close a revision is."""
    return {0: CloseKind.PROVISIONAL, 1: CloseKind.FINAL}.get(revision, CloseKind.ADJUSTMENT)


def _revisions(terms: Terms, closes: Sequence[Close]) -> tuple[Revision, ...]:
    found, units, rebate_minor = [], 0, 0
    for close in closes:
        found.append(
            Revision(
                revision=close.revision,
                kind=kind_of(close.revision),
                closed_at=close.closed_at,
                units=close.units,
                units_change=close.units - units,
                rate_minor=terms.tier_for(close.units).rate_minor,
                rebate_minor=close.rebate_minor,
                rebate_change_minor=close.rebate_minor - rebate_minor,
                payable_minor=close.payable_minor,
            )
        )
        units, rebate_minor = close.units, close.rebate_minor
    return tuple(found)


def _reasons(reasons: dict[str, list[int]]) -> tuple[Rejected, ...]:
    return tuple(Rejected(reason, sales, units) for reason, (sales, units) in sorted(reasons.items()))


def _add(group: list[int], units: int) -> None:
    group[0] += 1
    group[1] += units
