"""What other terms would have cost: the lines of a quarter judged again by another programme. Writes nothing.

Beside it stands the real cost: the units as they were counted, at the present programme's terms.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, select

from schemas.events import LineStatus, Partner, SaleLine
from schemas.values import Quarter
from services.payout.tables import lines, partners
from streams.rules.lines import Reason, judged
from streams.rules.terms import Programme, Terms

_TOLD = 5
"""How many of those who win or lose most are kept."""
_decoder = msgspec.json.Decoder(SaleLine)


class Cost(NamedTuple):
    """A partner's quarter under some terms."""

    units: int
    tier: int
    rebate_minor: int

    @classmethod
    def of(cls, units: int, terms: Terms) -> Cost:
        return cls(units, terms.tier_for(units).units, terms.rebate_minor(units))


class Compared(NamedTuple):
    """A partner's quarter as it is, and as it would be."""

    partner_id: str
    real: Cost
    other: Cost

    @property
    def difference_minor(self) -> int:
        return self.other.rebate_minor - self.real.rebate_minor


class TierCost(msgspec.Struct):
    """All partners in one tier."""

    tier: int
    rate_minor: int
    partners: int = 0
    units: int = 0
    rebate_minor: int = 0


class Summary:
    """Sums over partners, as they come by."""

    def __init__(self, real: Terms, other: Terms) -> None:
        self.currency = real.currency
        self.real, self.other = _tiers(real), _tiers(other)
        self.partners = self.better = self.worse = self.better_minor = self.worse_minor = 0
        self._most: list[tuple[int, str, Compared]] = []
        self._least: list[tuple[int, str, Compared]] = []

    def watch(self, compared: Iterable[Compared]) -> Iterator[Compared]:
        """Hand them on, adding them up."""
        for one in compared:
            self._add(one)
            yield one

    @property
    def winners(self) -> list[Compared]:
        """Those who would get most more, first the one with most."""
        return [one for _, _, one in sorted(self._most, reverse=True)]

    @property
    def losers(self) -> list[Compared]:
        """Those who would get most less, first the one with most."""
        return [one for _, _, one in sorted(self._least, reverse=True)]

    @property
    def real_minor(self) -> int:
        return sum(tier.rebate_minor for tier in self.real.values())

    @property
    def other_minor(self) -> int:
        return sum(tier.rebate_minor for tier in self.other.values())

    def _add(self, one: Compared) -> None:
        self.partners += 1
        for tiers, cost in ((self.real, one.real), (self.other, one.other)):
            tier = tiers[cost.tier]
            tier.partners, tier.units = tier.partners + 1, tier.units + cost.units
            tier.rebate_minor += cost.rebate_minor
        difference = one.difference_minor
        if difference > 0:
            self.better, self.better_minor = self.better + 1, self.better_minor + difference
            _keep(self._most, (difference, one.partner_id, one))
        elif difference < 0:
            self.worse, self.worse_minor = self.worse + 1, self.worse_minor + difference
            _keep(self._least, (-difference, one.partner_id, one))


def compare(connection: Connection, real: Programme, other: Programme, quarter: Quarter) -> Iterator[Compared]:
    """Each partner with a line in the quarter, in the database's order of ids; one partner in memory at a time."""
    real_terms, other_terms = real.terms_for(quarter), other.terms_for(quarter)
    rows = connection.execute(
        select(lines.c.partner_id, lines.c.line, partners.c.country, partners.c.registered_on, partners.c.left_on)
        .join(partners, partners.c.partner_id == lines.c.partner_id, isouter=True)
        .where(lines.c.quarter == str(quarter))
        .order_by(lines.c.partner_id)
        .execution_options(yield_per=1000)
    )
    for partner_id, group in groupby(rows, key=attrgetter("partner_id")):
        own = list(group)
        sales = [_decoder.decode(row.line) for row in own]
        judges = _judge(own[0], sales, other)
        units = sum(judges(sale).units for sale in sales)
        yield Compared(partner_id, Cost.of(sum(sale.units for sale in sales), real_terms), Cost.of(units, other_terms))


def _judge(row: Any, sales: Sequence[SaleLine], programme: Programme) -> Callable[[SaleLine], SaleLine]:
    """How a partner's sales are judged. Whom the registry has forgotten keeps what he was: registered, and here.

    A sale that still waits for its partner waits for ever: he registered when nothing could change it any more.
    """
    known: Partner | None = None
    counted = [sale for sale in sales if sale.status in (LineStatus.COUNTED, LineStatus.RETURNED)]
    if row.country is not None:
        known = Partner(row.partner_id, "", "", "", row.country, row.registered_on, row.left_on)
    elif counted:
        countries = programme.terms_for(Quarter.parse(counted[0].quarter)).countries
        known = Partner(row.partner_id, "", "", "", min(countries, default=""), date.min)
    return lambda sale: judged(sale, None if sale.reason == Reason.PARTNER_NOT_REGISTERED else known, programme)


def _tiers(terms: Terms) -> dict[int, TierCost]:
    return {tier.units: TierCost(tier.units, tier.rate_minor) for tier in terms.tiers}


def _keep(heap: list[Any], item: tuple[int, str, Compared]) -> None:
    heapq.heappush(heap, item)
    if len(heap) > _TOLD:
        heapq.heappop(heap)
