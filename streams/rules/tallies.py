"""A partner's standing in a quarter: what a changed line does to it, and what is told when the tier moves."""

from __future__ import annotations

import math
from datetime import datetime

from msgspec.structs import replace

from schemas.events import LineStatus, Phase, SaleLine, Tally, TierChanged
from schemas.values import Quarter
from streams.rules.terms import Programme, Terms

COUNTED = (LineStatus.COUNTED, LineStatus.PENDING, LineStatus.REJECTED, LineStatus.RETURNED)
"""The statuses of which a tally counts the lines, in the order of its fields."""


def new_tally(programme: Programme, partner_id: str, quarter: Quarter, phase: Phase) -> Tally:
    """The standing of who has sold nothing yet."""
    terms = programme.terms_for(quarter)
    return Tally(
        programme_id=programme.id,
        partner_id=partner_id,
        quarter=str(quarter),
        currency=terms.currency,
        terms_version=terms.version,
        rate_minor=terms.tiers[0].rate_minor,
        phase=phase,
    )


class Running:
    """A tally at work: changed in place while a batch's lines move in and out of it, a ``Tally`` again at its end."""

    __slots__ = ("_below", "_counts", "_from", "_told_units", "as_of", "sequence", "tally", "terms", "tier", "units")

    def __init__(self, tally: Tally, terms: Terms) -> None:
        self.tally = tally
        """What it was at first."""
        self.terms = terms
        self.units = self._told_units = tally.units
        self.sequence = tally.tier_sequence
        self.as_of = tally.as_of
        self._counts = {
            LineStatus.COUNTED: tally.counted,
            LineStatus.PENDING: tally.pending,
            LineStatus.REJECTED: tally.rejected,
            LineStatus.RETURNED: tally.returned,
        }
        self._reach()

    def include(self, line: SaleLine) -> None:
        """Put a line in."""
        self.units += line.units
        self._counts[line.status] += 1

    def exclude(self, line: SaleLine) -> None:
        """As if the line had never been in it."""
        self.units -= line.units
        self._counts[line.status] -= 1

    def changed(self, occurred_at: datetime) -> TierChanged | None:
        """To be called once after each change: the event if the tier moved, up or down (rule 6)."""
        self.as_of = occurred_at
        before, self._told_units = self._told_units, self.units
        if self._from <= self.units < self._below:
            return None
        old = self.tier
        self._reach()
        if old.units == self.tier.units:
            return None
        self.sequence += 1
        above = self.terms.next_tier(self.units)
        return TierChanged(
            programme_id=self.tally.programme_id,
            partner_id=self.tally.partner_id,
            quarter=self.tally.quarter,
            sequence=self.sequence,
            from_tier=old.units,
            to_tier=self.tier.units,
            units=self.units,
            rate_minor=self.tier.rate_minor,
            rebate_before_minor=self.terms.rebate_minor(before),
            rebate_after_minor=self.terms.rebate_minor(self.units),
            currency=self.tally.currency,
            phase=self.tally.phase,
            next_threshold=above.threshold if above else None,
            units_missing=above.units_missing if above else 0,
            gain_minor=above.gain_minor if above else 0,
            occurred_at=occurred_at,
        )

    def result(self) -> Tally:
        """The tally with all that happened to it."""
        counted, pending, rejected, returned = self._counts.values()
        return replace(
            self.tally,
            units=self.units,
            tier=self.tier.units,
            rate_minor=self.tier.rate_minor,
            rebate_minor=self.terms.rebate_minor(self.units),
            tier_sequence=self.sequence,
            as_of=self.as_of,
            counted=counted,
            pending=pending,
            rejected=rejected,
            returned=returned,
        )

    def _reach(self) -> None:
        """Note the tier reached, and between which units it is not left."""
        self.tier = self.terms.tier_for(self.units)
        self._from, self._below = self.tier.units, math.inf
        for tier in self.terms.tiers:
            if tier.units > self.units:
                self._below = tier.units
                break
