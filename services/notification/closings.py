"""Letters about a quarter that has ended: its closes, and where the money is."""

from __future__ import annotations

from datetime import timedelta

from schemas.events import PayoutStatusChanged, QuarterClosed
from schemas.values import Quarter
from services.notification.letter import Fact, Letter, Step, ladder
from services.notification.voice import Voice
from streams.rules.terms import Programme


def provisional(event: QuarterClosed, voice: Voice, programme: Programme) -> Letter:
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


def final(event: QuarterClosed, voice: Voice, programme: Programme) -> Letter:
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


def adjustment(event: QuarterClosed, voice: Voice, programme: Programme) -> Letter:
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
            voice.say(
                "After the final result, sales of this quarter were reported late, returned or corrected. Your page "
                "shows which."
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


def bank_details_missing(event: PayoutStatusChanged, voice: Voice, programme: Programme) -> Letter:
    """Earned, not yet payable: nobody knows where to."""
    amount, quarter = voice.money(event.amount_minor, event.currency), voice.quarter(event.quarter)
    return Letter(
        subject=voice.say("Your rebate of {amount} waits for your bank details", amount=amount),
        title=voice.say("Where may we send your rebate?"),
        figure=amount,
        caption=voice.say("earned for {quarter}, not yet payable", quarter=quarter),
        paragraphs=(
            voice.say(
                "We have no bank details of yours. Your page says how to give them safely; as soon as they are there, "
                "the amount goes out with the next payment run. It is not lost meanwhile."
            ),
            voice.say("For your safety: never send bank details by mail. We will never ask you to."),
        ),
        button=voice.say("Open your page"),
    )


def in_payment(event: PayoutStatusChanged, voice: Voice, programme: Programme) -> Letter:
    """The transfer is in a payment file."""
    amount, quarter = voice.money(event.amount_minor, event.currency), voice.quarter(event.quarter)
    facts = [Fact(voice.say("Rebate for"), quarter), Fact(voice.say("Amount"), amount)]
    if event.execution_date is not None:
        facts.append(Fact(voice.say("Transferred on"), voice.date(event.execution_date)))
    if event.end_to_end_id:
        facts.append(Fact(voice.say("Reference on your account statement"), event.end_to_end_id))
    return Letter(
        subject=voice.say("{amount} for {quarter} is on its way to you", amount=amount, quarter=quarter),
        title=voice.say("Your rebate is on its way"),
        figure=amount,
        caption=voice.say("rebate for {quarter}", quarter=quarter),
        paragraphs=(voice.say("We have ordered the transfer to your bank account. You need not do anything."),),
        button=voice.say("See your payments"),
        facts=tuple(facts),
        good=True,
    )


def returned(event: PayoutStatusChanged, voice: Voice, programme: Programme) -> Letter:
    """The bank sent the money back."""
    amount, quarter = voice.money(event.amount_minor, event.currency), voice.quarter(event.quarter)
    return Letter(
        subject=voice.say("The transfer of {amount} came back", amount=amount),
        title=voice.say("The bank returned your rebate"),
        figure=amount,
        caption=voice.say("rebate for {quarter}, not lost", quarter=quarter),
        paragraphs=(
            voice.say(
                "The transfer to your bank account came back. The amount stays yours: please check your bank details; "
                "your page says how to correct them safely. Then we pay again."
            ),
            voice.say("For your safety: never send bank details by mail. We will never ask you to."),
        ),
        button=voice.say("Open your page"),
        facts=(Fact(voice.say("Reason given by the bank"), event.reason),) if event.reason else (),
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


def _steps(event: QuarterClosed, voice: Voice, programme: Programme) -> tuple[Step, ...]:
    return ladder(voice, programme.terms_for(Quarter.parse(event.quarter)), event.units)


def _close_facts(event: QuarterClosed, voice: Voice) -> tuple[Fact, ...]:
    return (
        Fact(voice.say("Units in {quarter}", quarter=voice.quarter(event.quarter)), voice.number(event.units)),
        Fact(voice.say("Rate per unit"), voice.money(event.rate_minor, event.currency)),
        Fact(voice.say("Rebate"), voice.money(event.rebate_minor, event.currency)),
    )
