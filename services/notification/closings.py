"""Letters about a quarter that has ended: what it counts, and what became of a number that was told before."""

from __future__ import annotations

from datetime import timedelta

from schemas.events import CloseKind, QuarterClosed
from schemas.values import Quarter
from services.notification.letter import Fact, Letter, Step, ladder
from services.notification.voice import Voice
from streams.rules.terms import Programme


class Close(QuarterClosed, frozen=True, gc=False):
    """A close as it is told: with the one that the partner was told before, if there was one."""

    told: QuarterClosed | None = None


def provisional(event: Close, voice: Voice, programme: Programme) -> Letter:
    """The quarter has ended; late reports may still arrive."""
    quarter, rebate = voice.quarter(event.quarter), voice.money(event.rebate_minor, event.currency)
    last_day = (programme.dates(Quarter.parse(event.quarter)).final_at - timedelta(days=1)).date()
    paragraphs = [
        _result(event, voice, programme),
        voice.say(
            "Reports of sales may still arrive until {date}. Then the result is final, and you hear from us again.",
            date=voice.date(last_day),
        ),
    ]
    if event.rebate_minor:
        paragraphs.append(
            voice.say("You need not do anything: the rebate is transferred automatically, no invoice needed.")
        )
    return Letter(
        subject=voice.say(
            "{quarter} has ended: {units}, {rebate} (provisional)",
            quarter=quarter,
            units=voice.units(event.units),
            rebate=rebate,
        ),
        title=voice.say("{quarter} has ended", quarter=quarter),
        figure=rebate,
        caption=voice.say("your rebate for {quarter}, provisional", quarter=quarter),
        paragraphs=tuple(paragraphs),
        button=voice.say("Check your sales"),
        steps=_steps(event, voice, programme),
        facts=_close_facts(event, voice),
    )


def final(event: Close, voice: Voice, programme: Programme) -> Letter:
    """The result that is paid."""
    quarter, payable = voice.quarter(event.quarter), voice.money(event.payable_minor, event.currency)
    return Letter(
        subject=voice.say(
            "{quarter}, final: {units}, {payable}", quarter=quarter, units=voice.units(event.units), payable=payable
        ),
        title=voice.say("Your final result for {quarter}", quarter=quarter),
        figure=payable,
        caption=voice.say("your rebate for {quarter}", quarter=quarter),
        paragraphs=(
            _result(event, voice, programme),
            *_restated(event, voice),
            voice.say(
                "{amount} will be transferred to your bank account automatically. No invoice and no claim is needed.",
                amount=payable,
            )
            if event.payable_minor > 0
            else voice.say("No rebate is due for this quarter."),
        ),
        button=voice.say("See your statement"),
        steps=_steps(event, voice, programme),
        facts=(*_close_facts(event, voice), Fact(voice.say("Final amount payable"), payable)),
        good=event.payable_minor > 0,
    )


def adjustment(event: Close, voice: Voice, programme: Programme) -> Letter:
    """A final result was corrected, upwards or downwards."""
    quarter = voice.quarter(event.quarter)
    change = voice.money_change(event.payable_minor, event.currency)
    amount = voice.money(abs(event.payable_minor), event.currency)
    outcome = (
        voice.say("{amount} more will be transferred to your bank account automatically.", amount=amount)
        if event.payable_minor >= 0
        else voice.say(
            "So {amount} less is due to you. Nothing is debited from your account: the amount is set off against "
            "your next rebate.",
            amount=amount,
        )
    )
    return Letter(
        subject=voice.say("{quarter}, corrected: {change}", quarter=quarter, change=change),
        title=voice.say("{quarter} was corrected", quarter=quarter),
        figure=change,
        caption=voice.say("change of your rebate for {quarter}", quarter=quarter),
        paragraphs=(
            *(
                _restated(event, voice)
                or [
                    voice.say(
                        "After the final result, sales of this quarter were reported late, returned or corrected. "
                        "Your page shows which."
                    )
                ]
            ),
            _result(event, voice, programme),
            outcome,
        ),
        button=voice.say("See your statement"),
        steps=_steps(event, voice, programme),
        facts=(
            *_close_facts(event, voice),
            Fact(voice.say("This correction"), change),
            Fact(voice.say("Payable for the quarter in all"), voice.money(event.payable_total_minor, event.currency)),
        ),
        good=event.payable_minor > 0,
    )


def _result(event: QuarterClosed, voice: Voice, programme: Programme) -> str:
    units = voice.units(event.units)
    if event.rate_minor:
        return voice.say(
            "The quarter counts {units}. That reaches the tier from {threshold} units on: {rate} for each unit.",
            units=units,
            threshold=voice.number(event.tier),
            rate=voice.money(event.rate_minor, event.currency),
        )
    first = next((t for t in programme.terms_for(Quarter.parse(event.quarter)).tiers if t.rate_minor), None)
    if first is None:
        return voice.say("The quarter counts {units}.", units=units)
    return voice.say(
        "The quarter counts {units}; the rebate begins at {threshold} units.",
        units=units,
        threshold=voice.number(first.units),
    )


def _restated(event: Close, voice: Voice) -> tuple[str, ...]:
    """What became of the number that he was told before, and why; nothing if it stands."""
    told = event.told
    if told is None or (told.units, told.rebate_minor) == (event.units, event.rebate_minor):
        return ()
    units, rebate = voice.units(told.units), voice.money(told.rebate_minor, told.currency)
    then = (
        voice.say("The provisional result was {units} and {rebate}.", units=units, rebate=rebate)
        if told.kind is CloseKind.PROVISIONAL
        else voice.say("Until now the result was {units} and {rebate}.", units=units, rebate=rebate)
    )
    return (f"{then} {_why(event.units - told.units, voice)}",) if event.units != told.units else (then,)


def _why(more: int, voice: Voice) -> str:
    if more > 0:
        return voice.count(
            "Since then {number} unit was added by late or corrected reports; your page shows which.",
            "Since then {number} units were added by late or corrected reports; your page shows which.",
            more,
        )
    return voice.count(
        "Since then {number} unit came back or was corrected away; your page shows which.",
        "Since then {number} units came back or were corrected away; your page shows which.",
        -more,
    )


def _steps(event: QuarterClosed, voice: Voice, programme: Programme) -> tuple[Step, ...]:
    return ladder(voice, programme.terms_for(Quarter.parse(event.quarter)), event.units)


def _close_facts(event: QuarterClosed, voice: Voice) -> tuple[Fact, ...]:
    return (
        Fact(voice.say("Units in {quarter}", quarter=voice.quarter(event.quarter)), voice.number(event.units)),
        Fact(voice.say("Rate per unit"), voice.money(event.rate_minor, event.currency)),
        Fact(voice.say("Rebate"), voice.money(event.rebate_minor, event.currency)),
    )
