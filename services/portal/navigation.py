"""The ways from page to page: what stands in the head of a partner's pages and of the vendor's."""

from __future__ import annotations

from typing import NamedTuple

from services.portal.auth import STAFF, Role, Visitor
from services.portal.voice import Voice


class Way(NamedTuple):
    """A page that the head leads to. ``name`` is what it is called in the visitor's language."""

    path: str
    name: str


def ways(visitor: Visitor, voice: Voice) -> list[Way]:
    """Where this visitor may go."""
    if visitor.audience == STAFF:
        return _staff(visitor, voice)
    found = [
        Way("/", voice.say("Standing")),
        Way("/sales", voice.say("Sales")),
        Way("/quarters", voice.say("Quarters")),
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
    found = [
        (Role.VIEWER, Way("/programme", voice.say("Programme"))),
        (Role.VIEWER, Way("/partners", voice.say("Partners"))),
        (Role.VIEWER, Way("/audit", voice.say("Record"))),
        (Role.VIEWER, Way("/claims/desk", voice.say("Claims"))),
        (Role.VIEWER, Way("/conflicts", voice.say("Conflicts"))),
        (Role.VIEWER, Way("/rejected", voice.say("Not counted"))),
        (Role.VIEWER, Way("/closing", voice.say("Quarter close"))),
        (Role.VIEWER, Way("/payments", voice.say("Payments"))),
        (Role.VIEWER, Way("/holds", voice.say("Held payments"))),
        (Role.VIEWER, Way("/bank", voice.say("The bank"))),
        (Role.VIEWER, Way("/mails", voice.say("Mails"))),
        (Role.VIEWER, Way("/webhooks", voice.say("Webhooks"))),
    ]
    own = [Way("/account", voice.say("Your account"))] if visitor.person else []  # behind a link is nobody by name
    return [way for needed, way in found if visitor.role >= needed] + own
