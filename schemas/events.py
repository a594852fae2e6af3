"""Every event of the flow: frozen, in the past tense, complete in itself.

Money is an integer of minor units (cents) beside its currency. ``sold_on`` and ``returned_on`` are calendar dates and
decide the quarter; every other time is an instant in UTC with millisecond precision.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import date, datetime
from enum import StrEnum

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """Base of all events."""


class SaleReported(Event, frozen=True, gc=False):
    """Somebody (a distributor, an ERP, the partner) says that a partner sold something."""

    sale_id: str
    partner_id: str
    product_id: str
    quantity: int
    sold_on: date
    """Calendar date of the sale in the partner's country: decides the quarter."""
    reported_at: datetime
    """When the reporter's system made the report: of two reports of one sale, the earlier stands."""
    serial_numbers: tuple[str, ...] = ()
    reported_by: str = ""


class SaleReturned(Event, frozen=True, gc=False):
    """Units of a sale came back. They leave the quarter of the sale, not the one in which they came back."""

    return_id: str
    sale_id: str
    partner_id: str
    product_id: str
    quantity: int
    returned_on: date
    reported_at: datetime
    serial_numbers: tuple[str, ...] = ()
    reported_by: str = ""


class Partner(Event, frozen=True, gc=False):
    """A registered partner. The only event that holds personal data."""

    partner_id: str
    name: str
    email: str
    language: str
    country: str
    registered_on: date
    left_on: date | None = None
    """First day on which he was a partner no more: sales of that day and later do not count."""


class LineStatus(StrEnum):
    """What became of a reported sale."""

    COUNTED = "counted"
    """In the programme; its units (less those returned) are in the tally."""
    PENDING = "pending"
    """Waits for something that may still arrive: the partner's registration, or the sale a return belongs to."""
    REJECTED = "rejected"
    """Does not count; the reason says why."""
    RETURNED = "returned"
    """Was counted, and all of it came back."""
    UNKNOWN = "UNKNOWN"
    """A status of a later version of the contract."""


class LineReturn(Event, frozen=True, gc=False):
    """A return, as remembered in its sale's line."""

    return_id: str
    quantity: int
    returned_on: date
    reported_at: datetime
    recorded_at: datetime
    content_hash: str
    reason: str | None = None
    """Why the return does not take units away, if it does not."""


class SaleLine(Event, frozen=True, gc=False):
    """All that is known of one sale, and the verdict. Latest state, keyed by partner and sale id."""

    partner_id: str
    sale_id: str
    status: LineStatus
    reason: str | None
    quarter: str
    """Empty while only a return is known."""
    product_id: str
    quantity: int
    units: int
    """Units in the tally: quantity less what came back if counted, else 0."""
    sold_on: date | None
    """None while only a return is known."""
    serial_numbers: tuple[str, ...]
    reported_at: datetime
    recorded_at: datetime
    """Broker time of the first record with this content: the instant at which the verdict was made."""
    content_hash: str
    returns: tuple[LineReturn, ...] = ()
    conflicts: tuple[str, ...] = ()
    """Content hashes of reports of the same sale that say something else and do not stand (the 16 smallest)."""
    source_offset: int = -1
    """Offset in ``sales`` of the latest record that changed this line."""
    reported_by: str = ""
    """Who made the report that stands. Empty while only a return is known, and in lines of before this was kept."""


class Phase(StrEnum):
    """Where a quarter stands."""

    OPEN = "open"
    PROVISIONAL = "provisional"
    FINAL = "final"
    UNKNOWN = "UNKNOWN"


class Tally(Event, frozen=True, gc=False):
    """A partner's standing in a quarter. Latest state, keyed by programme, partner and quarter."""

    programme_id: str
    partner_id: str
    quarter: str
    currency: str
    terms_version: str
    units: int = 0
    tier: int = 0
    """Threshold of the tier reached, in units."""
    rate_minor: int = 0
    rebate_minor: int = 0
    counted: int = 0
    """Number of sale lines with this status; likewise the next three."""
    pending: int = 0
    rejected: int = 0
    returned: int = 0
    tier_sequence: int = 0
    """How many tier changes this quarter has seen."""
    phase: Phase = Phase.OPEN
    revision: int = -1
    """Number of the latest close: -1 none, 0 the provisional, 1 the final, from 2 adjustments."""
    payable_minor: int = 0
    """Sum of what all closes so far made payable."""
    week: str = ""
    """ISO week of the latest weekly summary, and what it said."""
    week_units: int = 0
    week_rebate_minor: int = 0
    as_of: datetime | None = None
    """Broker time of the latest record applied."""


class TierChanged(Event, frozen=True, gc=False):
    """A partner reached another tier, upwards or downwards."""

    programme_id: str
    partner_id: str
    quarter: str
    sequence: int
    from_tier: int
    to_tier: int
    units: int
    rate_minor: int
    rebate_before_minor: int
    rebate_after_minor: int
    currency: str
    phase: Phase
    next_threshold: int | None
    units_missing: int
    gain_minor: int
    occurred_at: datetime


class WeeklySummary(Event, frozen=True, gc=False):
    """A partner's standing on Monday morning, and how it moved since the last one."""

    programme_id: str
    partner_id: str
    quarter: str
    week: str
    units: int
    tier: int
    rate_minor: int
    rebate_minor: int
    currency: str
    next_threshold: int | None
    units_missing: int
    gain_minor: int
    units_change: int
    rebate_change_minor: int
    pending: int
    rejected: int
    quarter_ends_on: date
    as_of: datetime


class CloseKind(StrEnum):
    """Which close of a quarter this is."""

    PROVISIONAL = "provisional"
    FINAL = "final"
    ADJUSTMENT = "adjustment"
    UNKNOWN = "UNKNOWN"


class QuarterClosed(Event, frozen=True, gc=False):
    """A quarter was closed, or a closed one corrected. ``payable_minor`` below zero is a clawback."""

    programme_id: str
    partner_id: str
    quarter: str
    kind: CloseKind
    revision: int
    units: int
    tier: int
    rate_minor: int
    rebate_minor: int
    payable_minor: int
    """What this revision makes payable."""
    payable_total_minor: int
    """What all revisions up to this one made payable."""
    currency: str
    terms_version: str
    closed_at: datetime


class PayoutStatus(StrEnum):
    """Where the money of an obligation is."""

    WAITING = "waiting"
    """Earned, not yet payable: no bank details."""
    HELD = "held"
    """Stopped for a reason that the vendor must look at."""
    PAYABLE = "payable"
    NETTED = "netted"
    """A clawback set off against another payment, or an amount carried forward."""
    IN_PAYMENT = "in_payment"
    """In a payment file."""
    PAID = "paid"
    RETURNED = "returned"
    UNKNOWN = "UNKNOWN"


class PayoutStatusChanged(Event, frozen=True, gc=False):
    """The money of one close moved on."""

    programme_id: str
    partner_id: str
    quarter: str
    revision: int
    sequence: int
    status: PayoutStatus
    reason: str | None
    amount_minor: int
    currency: str
    run_id: str | None
    end_to_end_id: str | None
    execution_date: date | None
    occurred_at: datetime


class BankDetailsChange(StrEnum):
    """What happened to a partner's bank details."""

    ENTERED = "entered"
    """The first ones came in."""
    CHANGED = "changed"
    INVALID = "invalid"
    """A bank sent money back because of them: nothing is paid there until others are entered."""
    UNKNOWN = "UNKNOWN"


class BankDetailsChanged(Event, frozen=True, gc=False):
    """A partner's bank details changed. Says that, and never what they are: he is told, wherever he can be reached."""

    partner_id: str
    version: int
    """Counts his details from 1."""
    change: BankDetailsChange
    usable_on: date | None
    """First day, programme time, on which money may go there; None if it may not."""
    occurred_at: datetime


class PreferenceSource(StrEnum):
    """Where a partner made his choice."""

    MAIL = "mail"
    """By what his mail program shows beside the weekly mail, or by the link in it."""
    PORTAL = "portal"
    UNKNOWN = "UNKNOWN"


class PreferencesChanged(Event, frozen=True, gc=False):
    """A partner chose which optional mails he wants, and in what language. What concerns his money is not optional."""

    partner_id: str
    weekly_mail: bool
    source: PreferenceSource
    occurred_at: datetime
    chosen_language: str = ""
    """What he is spoken to in, like ``de``; empty: the language of his registration."""


class ClaimDecision(StrEnum):
    """What became of a partner's report of a sale that was missing."""

    ACCEPTED = "accepted"
    """It is in ``sales`` now, as if a distributor had reported it; the sale's line says whether it counts."""
    REFUSED = "refused"
    ASKED = "asked"
    """The vendor wants to know more before he decides."""
    UNKNOWN = "UNKNOWN"


class ClaimDecided(Event, frozen=True, gc=False):
    """The vendor decided on a sale that a partner missed and reported himself, or asked him about it."""

    partner_id: str
    claim_id: str
    sequence: int
    """Counts what the vendor said about the claim, from 1."""
    decision: ClaimDecision
    reason: str | None
    """Why, as a code. What somebody wrote beside it stays in the portal."""
    sale_id: str
    product_id: str
    quantity: int
    sold_on: date
    occurred_at: datetime


class Position(Event, frozen=True, gc=False):
    """How far a partition's state has come in one of its sources. Internal to the stream."""

    source: str
    """A source topic, or ``calendar``: then ``offset`` is the latest due moment done, in milliseconds since 1970."""
    topic_id: str
    offset: int
    leader_epoch: int
    programme_hash: str = ""
    last_offset: int = -1
    """Offset of the last record that was applied; ``offset`` may lie behind it, on the marker of a transaction."""
    last_hash: str = ""
    """A hash of that record. Another record in its place means that the log lost its end and was written on."""


# Names of event ids, uuid5. Fixed for ever: a new namespace would make every old event look new.
_NAMESPACE = uuid.UUID("5b0c7a52-6d0f-5c1e-9d59-0f6c3a4e8a11")


def event_id(kind: str, *facts: object) -> str:
    """The deterministic id of an event: it follows from what the event says, so whoever reads it twice can tell."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join([kind, *map(str, facts)])))


def id_of(event: Event) -> str:
    """The ``ce_id`` under which an event is published."""
    match event:
        case SaleReported():
            return event_id("sale", event.partner_id, event.sale_id, content_hash(event))
        case SaleReturned():
            return event_id("return", event.partner_id, event.sale_id, event.return_id, content_hash(event))
        case TierChanged():
            return event_id("tier", event.programme_id, event.partner_id, event.quarter, event.sequence)
        case WeeklySummary():
            return event_id("week", event.programme_id, event.partner_id, event.week)
        case QuarterClosed():
            return event_id("close", event.programme_id, event.partner_id, event.quarter, event.revision)
        case PayoutStatusChanged():
            return event_id(
                "payout", event.programme_id, event.partner_id, event.quarter, event.revision, event.sequence
            )
        case BankDetailsChanged():
            return event_id("bank-details", event.partner_id, event.version, event.change.value)
        case ClaimDecided():
            return event_id("claim", event.claim_id, event.sequence)
    return event_id(type(event).__name__, msgspec.json.encode(event, order="sorted").decode())


def content_hash(event: SaleReported | SaleReturned) -> str:
    """A short hash of what a report says, leaving out who said it and when: two reports with the same hash are one."""
    day = event.sold_on if isinstance(event, SaleReported) else event.returned_on
    facts = (event.product_id, str(event.quantity), day.isoformat(), *sorted(event.serial_numbers))
    return hashlib.blake2b("\x1f".join(facts).encode(), digest_size=8).hexdigest()
