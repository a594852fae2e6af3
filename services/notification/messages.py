"""The mails there are, and how each is written. Pure: no clock, no database, no network."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from schemas.events import (
    BankDetailsChanged,
    ClaimDecided,
    PayoutStatusChanged,
    QuarterClosed,
    TierChanged,
    WeeklySummary,
)
from services.notification import claims, closings, details, invitations, payments, standings
from services.notification.closings import Close
from services.notification.invitations import ContactNamed
from services.notification.letter import Frame, Letter, as_html, as_text
from services.notification.newlink import LinkWanted, new_link
from services.notification.voice import Voice, voice_for
from services.notification.webhooks import outage
from services.notification.webhooks.outage import EndpointDisabled
from streams.rules.terms import Programme

Told = TierChanged | WeeklySummary | QuarterClosed | PayoutStatusChanged | BankDetailsChanged | ClaimDecided
"""The events that a partner may be told about."""
Subject = Told | EndpointDisabled | LinkWanted | ContactNamed
"""What a mail can be about: those, and what comes from no topic."""


class Kind(StrEnum):
    """The mails there are."""

    TIER_UP = "tier-up"
    TIER_DOWN = "tier-down"
    WEEKLY = "weekly"
    THRESHOLD_NEAR = "threshold-near"
    PROVISIONAL = "provisional"
    FINAL = "final"
    ADJUSTMENT = "adjustment"
    BANK_DETAILS_MISSING = "bank-details-missing"
    BANK_DETAILS_ENTERED = "bank-details-entered"
    BANK_DETAILS_CHANGED = "bank-details-changed"
    BANK_DETAILS_INVALID = "bank-details-invalid"
    BANK_DETAILS_NOTICE = "bank-details-notice"
    """That they were entered or changed, to an address that was the partner's until recently."""
    HELD = "held"
    IN_PAYMENT = "in-payment"
    SET_OFF = "set-off"
    PAID = "paid"
    RETURNED = "returned"
    CLAIM_ACCEPTED = "claim-accepted"
    CLAIM_REFUSED = "claim-refused"
    CLAIM_ASKED = "claim-asked"
    WEBHOOK_DISABLED = "webhook-disabled"
    NEW_LINK = "new-link"
    INVITATION = "invitation"
    """To somebody whom a partner named; the next three tell the partner himself."""
    CONTACT_ADDED = "contact-added"
    CONTACT_CHANGED = "contact-changed"
    CONTACT_REMOVED = "contact-removed"

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
    Kind.THRESHOLD_NEAR: timedelta(days=8),
    Kind.WEBHOOK_DISABLED: timedelta(days=30),
    Kind.NEW_LINK: timedelta(days=1),
    Kind.INVITATION: timedelta(days=14),
}


class Addressee(NamedTuple):
    """The partner, or somebody whom he named, as far as a mail must know him."""

    partner_id: str
    name: str
    language: str
    country: str
    contact: bool = False
    """Whether he is somebody whom the partner named."""


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


def dump(event: Subject) -> str:
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
    frame = _frame(kind, fact, addressee, voice, programme, link)._replace(leave=unsubscribe)
    return Message(letter.subject, as_text(letter, frame), as_html(letter, frame), frame.language)


_LETTERS: dict[Kind, tuple[type[Subject], Callable[[Any, Voice, Programme], Letter]]] = {
    Kind.TIER_UP: (TierChanged, standings.tier_up),
    Kind.TIER_DOWN: (TierChanged, standings.tier_down),
    Kind.WEEKLY: (WeeklySummary, standings.weekly),
    Kind.THRESHOLD_NEAR: (WeeklySummary, standings.threshold_near),
    Kind.PROVISIONAL: (Close, closings.provisional),
    Kind.FINAL: (Close, closings.final),
    Kind.ADJUSTMENT: (Close, closings.adjustment),
    Kind.BANK_DETAILS_MISSING: (PayoutStatusChanged, payments.bank_details_missing),
    Kind.BANK_DETAILS_ENTERED: (BankDetailsChanged, details.entered),
    Kind.BANK_DETAILS_CHANGED: (BankDetailsChanged, details.changed),
    Kind.BANK_DETAILS_INVALID: (BankDetailsChanged, details.invalid),
    Kind.BANK_DETAILS_NOTICE: (BankDetailsChanged, details.notice),
    Kind.HELD: (PayoutStatusChanged, payments.held),
    Kind.IN_PAYMENT: (PayoutStatusChanged, payments.in_payment),
    Kind.SET_OFF: (PayoutStatusChanged, payments.set_off),
    Kind.PAID: (PayoutStatusChanged, payments.paid),
    Kind.RETURNED: (PayoutStatusChanged, payments.returned),
    Kind.CLAIM_ACCEPTED: (ClaimDecided, claims.accepted),
    Kind.CLAIM_REFUSED: (ClaimDecided, claims.refused),
    Kind.CLAIM_ASKED: (ClaimDecided, claims.asked),
    Kind.WEBHOOK_DISABLED: (EndpointDisabled, outage.disabled),
    Kind.NEW_LINK: (LinkWanted, new_link),
    Kind.INVITATION: (ContactNamed, invitations.invitation),
    Kind.CONTACT_ADDED: (ContactNamed, invitations.added),
    Kind.CONTACT_CHANGED: (ContactNamed, invitations.changed),
    Kind.CONTACT_REMOVED: (ContactNamed, invitations.removed),
}


def _frame(kind: Kind, fact: Subject, addressee: Addressee, voice: Voice, programme: Programme, link: Link) -> Frame:
    greeting = voice.say("Hello {name},", name=addressee.name) if addressee.name else voice.say("Hello,")
    return Frame(
        language=voice.locale.language,
        programme=programme.name,
        greeting=greeting,
        link=link.url,
        link_note=_link_note(voice, link),
        colon=voice.say(":"),
        footer=(
            voice.say("As of {moment}", moment=voice.moment(as_of(fact))),
            _why_you(kind, addressee, voice, programme),
        ),
        leave_note=voice.say("You can turn this weekly mail off, and on again, on your page."),
        leave_label=voice.say("Turn it off"),
    )


def _why_you(kind: Kind, addressee: Addressee, voice: Voice, programme: Programme) -> str:
    if kind is Kind.BANK_DETAILS_NOTICE:
        return voice.say(
            "You receive this mail because this address belonged to a registered partner of the {programme} "
            "programme until recently. It was written automatically; an answer reaches the programme's team.",
            programme=programme.name,
        )
    if addressee.contact:
        return voice.say(
            "You receive this mail because a registered partner of the {programme} programme has named you as a "
            "contact. It was written automatically; an answer reaches the programme's team.",
            programme=programme.name,
        )
    return voice.say(
        "You receive this mail as a registered partner of the {programme} programme. It was written "
        "automatically; an answer reaches the programme's team.",
        programme=programme.name,
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


def as_of(fact: Subject) -> datetime:
    """The instant whose facts a mail tells."""
    match fact:
        case TierChanged() | PayoutStatusChanged() | BankDetailsChanged() | ClaimDecided():
            return fact.occurred_at
        case EndpointDisabled() | LinkWanted() | ContactNamed():
            return fact.occurred_at
        case WeeklySummary():
            return fact.as_of
        case QuarterClosed():
            return fact.closed_at
