"""The ways from page to page: what stands in the head of a partner's pages and of the vendor's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from services.portal.auth import STAFF, Visitor
from services.portal.voice import Voice


class Way(NamedTuple):
    """A page that the head leads to. ``name`` is what it is called in the visitor's language."""

    path: str
    name: str
    begins: bool = False
    """Whether something else begins here: staff's pages are grouped by what they are about."""
    waiting: int = 0
    """How much there waits for somebody."""


def ways(visitor: Visitor, voice: Voice, waiting: Mapping[str, int]) -> list[Way]:
    """Where this visitor may go, and how much waits there."""
    if visitor.audience == STAFF:
        return [way._replace(waiting=waiting.get(way.path, 0)) for way in _staff(visitor, voice)]
    found = [
        Way("/", voice.say("Standing")),
        Way("/sales", voice.say("Sales")),
        Way("/quarters", voice.say("Quarters")),
    ]
    if visitor.accountant:
        return found
    found += [
        Way("/claims", voice.say("Missing sales")),
        Way("/details", voice.say("Your details")),
        Way("/tokens", voice.say("Your systems")),
        Way("/security", voice.say("Security")),
    ]
    # Who looks at them as the vendor sees what a link shows.
    return [way for way in found if not visitor.viewing or way.path != "/security"]


def home(visitor: Visitor) -> str:
    """The page that the vendor's mark leads to."""
    return "/programme" if visitor.audience == STAFF else "/"


def _staff(visitor: Visitor, voice: Voice) -> list[Way]:
    places = [
        [Way("/programme", voice.say("Programme")), Way("/partners", voice.say("Partners"))],
        [
            Way("/claims/desk", voice.say("Claims")),
            Way("/conflicts", voice.say("Conflicts")),
            Way("/rejected", voice.say("Not counted")),
            Way("/dead-letters", voice.say("Unreadable")),
        ],
        [
            Way("/closing", voice.say("Quarter close")),
            Way("/holds", voice.say("Held payments")),
            Way("/payments", voice.say("Payments")),
            Way("/bank", voice.say("The bank")),
        ],
        [Way("/mails", voice.say("Mails")), Way("/webhooks", voice.say("Webhooks"))],
        [Way("/audit", voice.say("Record"))],
    ]
    if visitor.person:  # behind a link is nobody by name
        places[-1].append(Way("/account", voice.say("Your account")))
    return [way._replace(begins=number == 0) for group in places for number, way in enumerate(group)]
