"""The letter with a new link, for whoever entered a partner's address on the portal."""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.notification.letter import Letter
from services.notification.voice import Voice
from streams.rules.terms import Programme


class LinkWanted(msgspec.Struct, frozen=True):
    """What the letter is written from. It comes from no topic: the portal asked for it."""

    partner_id: str
    occurred_at: datetime
    """By the stack's clock, as everything that a mail tells."""


def new_link(event: LinkWanted, voice: Voice, programme: Programme) -> Letter:
    """Here it is, and nothing else: somebody else may have asked for it."""
    title = voice.say("Your new link")
    return Letter(
        subject=title,
        title=title,
        paragraphs=(
            voice.say("Your address was entered on the page of the {programme} programme.", programme=programme.name),
            voice.say("If that was not you, you need not do anything: nobody else gets this link."),
        ),
        button=voice.say("Open your page"),
    )
