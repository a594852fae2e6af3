"""Letters about a partner's bank details: they came in, changed, or turned out wrong. None says what they are.

A change of details is how rebates are stolen, so the addresses that he had until recently hear of it too.
"""

from __future__ import annotations

from schemas.events import BankDetailsChanged
from services.notification.letter import Letter
from services.notification.payments import never_by_mail
from services.notification.voice import Voice
from streams.rules.terms import Programme


def entered(event: BankDetailsChanged, voice: Voice, programme: Programme) -> Letter:
    """The first details came in."""
    title = voice.say("Your bank details have been entered")
    return _news(event, voice, title, voice.say("We have bank details for your rebate now; before, there were none."))


def changed(event: BankDetailsChanged, voice: Voice, programme: Programme) -> Letter:
    """Other details replaced those that were there."""
    title = voice.say("Your bank details have been changed")
    return _news(event, voice, title, voice.say("Other bank details replace those that we had for your rebate."))


def invalid(event: BankDetailsChanged, voice: Voice, programme: Programme) -> Letter:
    """A bank sent money back because of them."""
    title = voice.say("We need other bank details from you")
    return Letter(
        subject=title,
        title=title,
        paragraphs=(
            voice.say(
                "A bank did not take a payment because of your bank details. Nothing is paid to this account any more; "
                "what you have earned is kept for you."
            ),
            voice.say("Please give us other details: your page says how to do it safely."),
            never_by_mail(voice),
        ),
        button=voice.say("Open your page"),
    )


def notice(event: BankDetailsChanged, voice: Voice, programme: Programme) -> Letter:
    """The same news to an address that was his until recently. Whoever reads there now must not get to his page."""
    title = voice.say("Bank details were entered or changed")
    return Letter(
        subject=title,
        title=title,
        figure=_day(event, voice),
        caption=voice.say("first day on which we pay to this account") if event.usable_on else "",
        paragraphs=(
            voice.say(
                "This address was registered with us for your company until recently. Now bank details for its rebate "
                "were entered or changed."
            ),
            voice.say("If your company wanted both, you need not do anything. If not, answer this mail at once."),
            never_by_mail(voice),
        ),
    )


def _news(event: BankDetailsChanged, voice: Voice, title: str, what: str) -> Letter:
    return Letter(
        subject=title,
        title=title,
        figure=_day(event, voice),
        caption=voice.say("first day on which we pay to this account") if event.usable_on else "",
        paragraphs=(
            what,
            voice.say("If this was you or somebody in your company, you need not do anything."),
            voice.say("If not, answer this mail at once: until that day nothing is paid to this account.")
            if event.usable_on and event.usable_on > event.occurred_at.astimezone(voice.zone).date()
            else voice.say("If not, answer this mail at once."),
            never_by_mail(voice),
        ),
        button=voice.say("Open your page"),
    )


def _day(event: BankDetailsChanged, voice: Voice) -> str:
    return voice.date(event.usable_on) if event.usable_on else ""
