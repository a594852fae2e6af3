"""Letters about the people whom a partner names: an invitation to each, and to the partner that he was named.

Whoever gets into a partner's page would name himself there, so the address of the registration hears of each change.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.kit.contacts import Standing
from services.notification.letter import Letter
from services.notification.voice import Voice
from streams.rules.terms import Programme


class ContactNamed(msgspec.Struct, frozen=True):
    """What the letters are written from. It comes from no topic, for a name is in it: the portal asked for it."""

    partner_id: str
    contact_id: str
    name: str
    standing: str
    company: str
    """The partner's name."""
    occurred_at: datetime
    """By the stack's clock, as everything that a mail tells."""


def invitation(event: ContactNamed, voice: Voice, programme: Programme) -> Letter:
    """To the contact: what he may see, and how he gets there."""
    title = voice.say("You have access to the rebate page of {company}", company=event.company)
    return Letter(
        subject=title,
        title=title,
        paragraphs=(
            *_may(event, voice),
            voice.say("You need no password: each of our mails to you has a link of your own."),
            voice.say("If you do not know why you get this mail, answer it: then we remove you."),
        ),
        button=voice.say("Open your page"),
    )


def added(event: ContactNamed, voice: Voice, programme: Programme) -> Letter:
    """To the partner: somebody was named."""
    return _news(event, voice, voice.say("Somebody was given access to your page"))


def changed(event: ContactNamed, voice: Voice, programme: Programme) -> Letter:
    """To the partner: somebody may do more or less than before."""
    return _news(event, voice, voice.say("Somebody may do something else on your page now"))


def removed(event: ContactNamed, voice: Voice, programme: Programme) -> Letter:
    """To the partner: somebody is out."""
    title = voice.say("Somebody has no access to your page any more")
    what = voice.say(
        "{name} was removed from the people named on your page. Sessions and links ended at once, and no more mails go "
        "there.",
        name=event.name,
    )
    return _guarding(title, what, voice)


def _news(event: ContactNamed, voice: Voice, title: str) -> Letter:
    what = (
        voice.say(
            "{name} was named on your page as an owner: this person sees everything there and, after a second proof, "
            "may do all that you may do.",
            name=event.name,
        )
        if event.standing == Standing.OWNER
        else voice.say(
            "{name} was named on your page as an accountant: this person sees sales, rebates, statements and payouts "
            "there, and can change nothing.",
            name=event.name,
        )
    )
    return _guarding(title, what, voice)


def _guarding(title: str, what: str, voice: Voice) -> Letter:
    return Letter(
        subject=title,
        title=title,
        paragraphs=(
            what,
            voice.say("If this was you or somebody in your company, you need not do anything."),
            voice.say("If not, answer this mail at once."),
        ),
        button=voice.say("Open your page"),
    )


def _may(event: ContactNamed, voice: Voice) -> tuple[str, ...]:
    if event.standing == Standing.OWNER:
        return (
            voice.say(
                "{company} has named you as an owner: you see its sales and rebates, and may do there all that the "
                "company itself may do.",
                company=event.company,
            ),
            voice.say(
                "What concerns money or access takes a second proof that it is you. The code for setting it up is "
                "given to you by whoever named you, not by mail."
            ),
        )
    return (
        voice.say(
            "{company} has named you as an accountant: you see its sales, rebates, statements and payouts, and get the "
            "mails about closed quarters and payments.",
            company=event.company,
        ),
    )
