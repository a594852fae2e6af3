"""Which event becomes which mail, and the mail itself. Pure: no clock, no database, no network."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from schemas.events import (
    CloseKind,
    PayoutStatus,
    PayoutStatusChanged,
    Phase,
    QuarterClosed,
    TierChanged,
    WeeklySummary,
)
from services.notification import closings, standings
from services.notification.letter import Frame, Letter, as_html, as_text
from services.notification.voice import Voice, voice_for
from streams.rules.terms import Programme

Told = TierChanged | WeeklySummary | QuarterClosed | PayoutStatusChanged
"""The events that a partner may be told about."""


class Kind(StrEnum):
    """The mails there are."""

    TIER_UP = "tier-up"
    TIER_DOWN = "tier-down"
    WEEKLY = "weekly"
    PROVISIONAL = "provisional"
    FINAL = "final"
    ADJUSTMENT = "adjustment"
    BANK_DETAILS_MISSING = "bank-details-missing"
    IN_PAYMENT = "in-payment"
    RETURNED = "returned"

    @property
    def of_the_wave(self) -> bool:
        """Whether it goes to everybody at once, so that everything else goes before it."""
        return self is Kind.WEEKLY

    @property
    def fresh_for(self) -> timedelta | None:
        """How long after its event the mail is still worth sending; None: however late, for it is about his money."""
        return _FRESH.get(self)


_FRESH = {
    Kind.TIER_UP: timedelta(days=2),
    Kind.TIER_DOWN: timedelta(days=2),
    Kind.WEEKLY: timedelta(days=8),
}


class Addressee(NamedTuple):
    """The partner, as far as a mail must know him."""

    partner_id: str
    name: str
    language: str
    country: str


class Link(NamedTuple):
    """His personal link, and how long it works. ``until`` is None where nobody could check that against a clock."""

    url: str
    hours: int
    until: datetime | None


class Message(NamedTuple):
    """A mail without its envelope."""

    subject: str
    text: str
    html: str
    language: str


def kind_of(event: Told) -> Kind | None:
    """The mail that an event calls for, or None."""
    match event:
        case TierChanged():
            if event.phase not in (Phase.OPEN, Phase.PROVISIONAL):
                return None  # a final quarter's correction is told by its adjustment
            return Kind.TIER_UP if event.to_tier > event.from_tier else Kind.TIER_DOWN
        case WeeklySummary():
            return Kind.WEEKLY
        case QuarterClosed():
            return _CLOSES.get(event.kind)
        case PayoutStatusChanged():
            return _PAYOUTS.get(event.status) if event.amount_minor > 0 else None


_CLOSES = {
    CloseKind.PROVISIONAL: Kind.PROVISIONAL,
    CloseKind.FINAL: Kind.FINAL,
    CloseKind.ADJUSTMENT: Kind.ADJUSTMENT,
}
_PAYOUTS = {
    PayoutStatus.WAITING: Kind.BANK_DETAILS_MISSING,
    PayoutStatus.IN_PAYMENT: Kind.IN_PAYMENT,
    PayoutStatus.RETURNED: Kind.RETURNED,
}


def dump(event: Told) -> str:
    """An event as it is kept beside its message."""
    return msgspec.json.encode(event).decode()


def compose(
    kind: Kind, event: str, addressee: Addressee, programme: Programme, link: Link, unsubscribe: str = ""
) -> Message:
    """Write the mail of this kind about a dumped event, in the partner's language.

    ``unsubscribe`` is the address at which he turns such mails off, if he may.
    """
    event_type, write = _LETTERS[kind]
    fact = msgspec.json.decode(event, type=event_type)
    voice = voice_for(addressee.language, addressee.country, programme.zone)
    letter = write(fact, voice, programme)
    frame = _frame(fact, addressee, voice, programme, link)._replace(leave=unsubscribe)
    return Message(letter.subject, as_text(letter, frame), as_html(letter, frame), frame.language)


_LETTERS: dict[Kind, tuple[type[Told], Callable[[Any, Voice, Programme], Letter]]] = {
    Kind.TIER_UP: (TierChanged, standings.tier_up),
    Kind.TIER_DOWN: (TierChanged, standings.tier_down),
    Kind.WEEKLY: (WeeklySummary, standings.weekly),
    Kind.PROVISIONAL: (QuarterClosed, closings.provisional),
    Kind.FINAL: (QuarterClosed, closings.final),
    Kind.ADJUSTMENT: (QuarterClosed, closings.adjustment),
    Kind.BANK_DETAILS_MISSING: (PayoutStatusChanged, closings.bank_details_missing),
    Kind.IN_PAYMENT: (PayoutStatusChanged, closings.in_payment),
    Kind.RETURNED: (PayoutStatusChanged, closings.returned),
}


def _frame(fact: Told, addressee: Addressee, voice: Voice, programme: Programme, link: Link) -> Frame:
    greeting = voice.say("Hello {name},", name=addressee.name) if addressee.name else voice.say("Hello,")
    return Frame(
        language=voice.locale.language,
        programme=programme.name,
        greeting=greeting,
        link=link.url,
        link_note=_link_note(voice, link),
        footer=(
            voice.say("As of {moment}", moment=voice.moment(_as_of(fact))),
            voice.say(
                "You receive this mail as a registered partner of the {programme} programme. It was written "
                "automatically; an answer reaches the programme's team.",
                programme=programme.name,
            ),
        ),
        leave_note=voice.say("You can turn this weekly mail off, and on again, on your page."),
        leave_label=voice.say("Turn it off"),
    )


def _link_note(voice: Voice, link: Link) -> str:
    days, hours = divmod(link.hours, 24)
    span = voice.count("{number} hour", "{number} hours", link.hours)
    if not hours:
        span = voice.count("{number} day", "{number} days", days)
    if link.until is None:
        return voice.say("This link is for you alone, please do not forward it. It works for {span}.", span=span)
    return voice.say(
        "This link is for you alone, please do not forward it. It works for {span}, until {moment}.",
        span=span,
        moment=voice.moment(link.until),
    )


def _as_of(fact: Told) -> datetime:
    match fact:
        case TierChanged() | PayoutStatusChanged():
            return fact.occurred_at
        case WeeklySummary():
            return fact.as_of
        case QuarterClosed():
            return fact.closed_at
