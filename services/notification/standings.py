"""Letters about a running quarter: a tier reached, lost or near, and the week's standing."""

from __future__ import annotations

from datetime import date

from schemas.events import Phase, TierChanged, WeeklySummary
from schemas.values import Quarter
from services.notification.letter import Fact, Letter, ladder
from services.notification.voice import Voice
from streams.rules.terms import Programme


def tier_up(event: TierChanged, voice: Voice, programme: Programme) -> Letter:
    """He reached a higher tier."""
    quarter, rate = voice.quarter(event.quarter), voice.money(event.rate_minor, event.currency)
    return Letter(
        subject=voice.say("{quarter}: you now earn {rate} per unit", quarter=quarter, rate=rate),
        title=voice.say("Congratulations, you have reached {units}!", units=voice.units(event.to_tier)),
        figure=rate,
        caption=voice.say("per unit, on every unit of {quarter}", quarter=quarter),
        paragraphs=(
            voice.say(
                "The new rate counts for the whole quarter from its first unit: with {units} your rebate rises from "
                "{before} to {after}.",
                units=voice.units(event.units),
                before=voice.money(event.rebate_before_minor, event.currency),
                after=voice.money(event.rebate_after_minor, event.currency),
            ),
            *_at_once(event, voice, programme),
            _way_on(event, voice),
            *_still_provisional(event, voice),
        ),
        button=voice.say("See your standing"),
        steps=ladder(voice, programme.terms_for(Quarter.parse(event.quarter)), event.units),
        good=True,
    )


def tier_down(event: TierChanged, voice: Voice, programme: Programme) -> Letter:
    """Returns or corrections took him below a threshold."""
    quarter, rate = voice.quarter(event.quarter), voice.money(event.rate_minor, event.currency)
    units = voice.units(event.units)
    return Letter(
        subject=voice.say("{quarter}: now {units}, {rate} per unit", quarter=quarter, units=units, rate=rate),
        title=voice.say("Your tier has changed"),
        figure=rate,
        caption=voice.say("per unit, on every unit of {quarter}", quarter=quarter),
        paragraphs=(
            voice.say(
                "Units came back, or a report of sales was corrected. Your quarter now counts {units} and so lies "
                "below the threshold of {threshold}.",
                units=units,
                threshold=voice.number(event.from_tier),
            ),
            voice.say(
                "Returned units leave the quarter in which they were sold. Your rebate changes from {before} to "
                "{after}; your page shows sale by sale what happened.",
                before=voice.money(event.rebate_before_minor, event.currency),
                after=voice.money(event.rebate_after_minor, event.currency),
            ),
            _way_on(event, voice),
            *_still_provisional(event, voice),
        ),
        button=voice.say("See your sales"),
        steps=ladder(voice, programme.terms_for(Quarter.parse(event.quarter)), event.units),
    )


def weekly(event: WeeklySummary, voice: Voice, programme: Programme) -> Letter:
    """His standing on Monday morning."""
    quarter, rebate = voice.quarter(event.quarter), voice.money(event.rebate_minor, event.currency)
    today = event.as_of.astimezone(programme.zone).date()
    return Letter(
        subject=voice.say(
            "{quarter}: {units}, {rebate} so far", quarter=quarter, units=voice.units(event.units), rebate=rebate
        ),
        title=voice.say("Your week in the programme"),
        figure=rebate,
        caption=_so_far(event, voice),
        paragraphs=(_way_on(event, voice), *_decline(event, voice)),
        button=voice.say("See your sales"),
        steps=ladder(voice, programme.terms_for(Quarter.parse(event.quarter)), event.units),
        facts=(
            Fact(
                voice.say("Since last week"),
                f"{voice.change(event.units_change)} / {voice.money_change(event.rebate_change_minor, event.currency)}",
            ),
            Fact(voice.say("Sales still being checked"), voice.number(event.pending)),
            Fact(voice.say("Sales that do not count"), voice.number(event.rejected)),
            Fact(voice.say("Quarter ends"), _days_left(event.quarter_ends_on, today, voice)),
        ),
    )


def threshold_near(event: WeeklySummary, voice: Voice, programme: Programme) -> Letter:
    """The quarter ends soon, and only little is missing to the next tier."""
    quarter, gain = voice.quarter(event.quarter), voice.money_change(event.gain_minor, event.currency)
    threshold = voice.units(event.next_threshold or 0)
    today = event.as_of.astimezone(programme.zone).date()
    return Letter(
        subject=voice.count(
            "{quarter}: {number} more unit, {gain}",
            "{quarter}: {number} more units, {gain}",
            event.units_missing,
            quarter=quarter,
            gain=gain,
        ),
        title=voice.count(
            "Only {number} more unit to the next tier",
            "Only {number} more units to the next tier",
            event.units_missing,
        ),
        figure=gain,
        caption=voice.say("more rebate for {quarter}, with {units}", quarter=quarter, units=threshold),
        paragraphs=(
            _way_on(event, voice),
            voice.say(
                "The date of the sale decides: what you sell by the end of the quarter counts, even if its report "
                "arrives later."
            ),
        ),
        button=voice.say("See your standing"),
        steps=ladder(voice, programme.terms_for(Quarter.parse(event.quarter)), event.units),
        facts=(
            Fact(voice.say("Units in {quarter}", quarter=quarter), voice.number(event.units)),
            Fact(voice.say("Rebate so far"), voice.money(event.rebate_minor, event.currency)),
            Fact(
                voice.say("Rebate with {units}", units=threshold),
                voice.money(event.rebate_minor + event.gain_minor, event.currency),
            ),
            Fact(voice.say("Quarter ends"), _days_left(event.quarter_ends_on, today, voice)),
        ),
    )


def _so_far(event: WeeklySummary, voice: Voice) -> str:
    quarter, units = voice.quarter(event.quarter), voice.units(event.units)
    if not event.rate_minor:
        return voice.say("your rebate so far in {quarter}, with {units}", quarter=quarter, units=units)
    rate = voice.money(event.rate_minor, event.currency)
    return voice.say("your rebate so far in {quarter}: {units} at {rate} each", quarter=quarter, units=units, rate=rate)


def _way_on(event: TierChanged | WeeklySummary, voice: Voice) -> str:
    if event.next_threshold is None:
        return voice.say(
            "This is the highest tier: every further unit earns another {rate}.",
            rate=voice.money(event.rate_minor, event.currency),
        )
    return voice.count(
        "{number} more unit takes you to the tier from {threshold} units on. Reaching it raises your rebate by {gain}.",
        "{number} more units take you to the tier from {threshold} units on. Reaching it raises your rebate by {gain}.",
        event.units_missing,
        threshold=voice.number(event.next_threshold),
        gain=voice.money(event.gain_minor, event.currency),
    )


def _at_once(event: TierChanged, voice: Voice, programme: Programme) -> tuple[str, ...]:
    tiers = programme.terms_for(Quarter.parse(event.quarter)).tiers
    passed = sum(event.from_tier < tier.units <= event.to_tier for tier in tiers)
    if passed < 2:
        return ()
    return (voice.say("You have passed {number} tiers since you last heard from us.", number=voice.number(passed)),)


def _still_provisional(event: TierChanged, voice: Voice) -> tuple[str, ...]:
    if event.phase is not Phase.PROVISIONAL:
        return ()
    return (voice.say("The quarter has ended; late reports may still change the result until it is final."),)


def _decline(event: WeeklySummary, voice: Voice) -> tuple[str, ...]:
    if event.units_change >= 0:
        return ()
    return (
        voice.count(
            "{number} unit less than last week: units came back, or a report of sales was corrected.",
            "{number} units less than last week: units came back, or a report of sales was corrected.",
            -event.units_change,
        ),
    )


def _days_left(last_day: date, today: date, voice: Voice) -> str:
    days = (last_day - today).days
    if days <= 0:
        return voice.date(last_day)
    return voice.count("in {number} day, on {date}", "in {number} days, on {date}", days, date=voice.date(last_day))
