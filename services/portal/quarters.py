"""A partner's quarters, each from its first close to the money: what the page of all of them shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Row

from schemas.events import CloseKind, PayoutStatus, Phase
from schemas.values import Quarter
from services.kit.statements import Card
from services.portal.queries import PartnerRows, standing_of
from streams.rules.terms import Programme, QuarterDates

_MOVED = (PayoutStatus.IN_PAYMENT, PayoutStatus.PAID)


class Obligation(NamedTuple):
    """The money of one close: each step that it took, the latest last."""

    steps: Sequence[Row[Any]]

    @property
    def now(self) -> Row[Any]:
        return self.steps[-1]


class QuarterCard(NamedTuple):
    """All that there is to say of one quarter."""

    quarter: Quarter
    dates: QuarterDates
    standing: Mapping[str, Any]
    closes: Sequence[Row[Any]]
    obligations: Sequence[Obligation]
    statements: Sequence[Card]
    """Those that mention it, the latest first."""

    @property
    def is_open(self) -> bool:
        return bool(self.standing["phase"] == Phase.OPEN)

    @property
    def is_final(self) -> bool:
        return bool(self.standing["phase"] == Phase.FINAL)

    @property
    def adjustments(self) -> int:
        """How often the final result was corrected."""
        return sum(close.kind == CloseKind.ADJUSTMENT for close in self.closes)

    @property
    def paid_minor(self) -> int:
        """Money that is on its way to his account, or there."""
        return sum(o.now.amount_minor for o in self.obligations if o.now.status in _MOVED)

    @property
    def carried_minor(self) -> int:
        """Money that was paid and taken back since, and is still to be set off; zero or more."""
        payable = (o.now.amount_minor for o in self.obligations if o.now.status == PayoutStatus.PAYABLE)
        return sum(-int(amount) for amount in payable if amount < 0)

    def final_on(self, programme: Programme) -> date:
        return self.dates.final_at.astimezone(programme.zone).date()


@dataclass(frozen=True, slots=True)
class QuartersPage:
    """All that the page shows."""

    programme: Programme
    partner: Row[Any] | None
    cards: Sequence[QuarterCard]
    """The latest quarter first."""

    @property
    def carried_minor(self) -> int:
        """What is to be set off against the next payment, of all quarters."""
        return sum(card.carried_minor for card in self.cards)


def quarters_page(
    rows: PartnerRows, programme: Programme, partner_id: str, now: datetime, statements: Sequence[Card]
) -> QuartersPage:
    """Gather a partner's quarters: each in which he has anything, and the current one."""
    current = Quarter.of(now.astimezone(programme.zone).date())
    known = sorted({*map(Quarter.parse, rows.quarters()), current}, reverse=True)
    tallies, closes, steps = rows.standings(), rows.closes(), rows.payout_steps()
    cards = [
        QuarterCard(
            quarter=quarter,
            dates=programme.dates(quarter),
            standing=standing_of(tallies.get(str(quarter)), programme, partner_id, quarter, now),
            closes=[close for close in closes if close.quarter == str(quarter)],
            obligations=_obligations([step for step in steps if step.quarter == str(quarter)]),
            statements=[card for card in statements if str(quarter) in card.quarters],
        )
        for quarter in known
    ]
    return QuartersPage(programme, rows.partner(), cards)


def _obligations(steps: Sequence[Row[Any]]) -> list[Obligation]:
    revisions = dict.fromkeys(step.revision for step in steps)
    return [Obligation([step for step in steps if step.revision == revision]) for revision in revisions]
