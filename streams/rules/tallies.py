"""A partner's standing in a quarter: what a changed line does to it, and what is told when the tier moves."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from schemas.events import LineStatus, Phase, SaleLine, Tally, TierChanged
from schemas.values import Quarter
from streams.rules.terms import Programme, Terms

COUNTERS = {
    LineStatus.COUNTED: "counted",
    LineStatus.PENDING: "pending",
    LineStatus.REJECTED: "rejected",
    LineStatus.RETURNED: "returned",
}


def new_tally(programme: Programme, partner_id: str, quarter: Quarter, phase: Phase) -> Tally:
    """The standing of who has sold nothing yet."""
    terms = programme.terms_for(quarter)
    return Tally(
        programme_id=programme.id,
        partner_id=partner_id,
        quarter=str(quarter),
        currency=terms.currency,
        terms_version=terms.version,
        tier=terms.tiers[0].units,
        rate_minor=terms.tiers[0].rate_minor,
        phase=phase,
    )


def without(tally: Tally, line: SaleLine, terms: Terms) -> Tally:
    """The tally as if the line had never been in it."""
    return _moved(tally, line, -1, terms)


def including(tally: Tally, line: SaleLine, terms: Terms) -> Tally:
    """The tally with the line in it."""
    return _moved(tally, line, +1, terms)


def _moved(tally: Tally, line: SaleLine, sign: int, terms: Terms) -> Tally:
    units = tally.units + sign * line.units
    tier = terms.tier_for(units)
    counter = COUNTERS[line.status]
    return replace(
        tally,
        units=units,
        tier=tier.units,
        rate_minor=tier.rate_minor,
        rebate_minor=terms.rebate_minor(units),
        **{counter: getattr(tally, counter) + sign},
    )


def tier_change(before: Tally, after: Tally, terms: Terms, occurred_at: datetime) -> tuple[Tally, TierChanged | None]:
    """The tally with its tier changes counted, and the event if the tier moved, up or down (rule 6)."""
    if before.tier == after.tier:
        return after, None
    sequence = before.tier_sequence + 1
    after = replace(after, tier_sequence=sequence)
    above = terms.next_tier(after.units)
    return after, TierChanged(
        programme_id=after.programme_id,
        partner_id=after.partner_id,
        quarter=after.quarter,
        sequence=sequence,
        from_tier=before.tier,
        to_tier=after.tier,
        units=after.units,
        rate_minor=after.rate_minor,
        rebate_before_minor=before.rebate_minor,
        rebate_after_minor=after.rebate_minor,
        currency=after.currency,
        phase=after.phase,
        next_threshold=above.threshold if above else None,
        units_missing=above.units_missing if above else 0,
        gain_minor=above.gain_minor if above else 0,
        occurred_at=occurred_at,
    )
