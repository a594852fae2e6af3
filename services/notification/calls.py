"""Which mails an event calls for. Pure: no clock, no database, no network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import asdict

from schemas.events import (
    BankDetailsChange,
    BankDetailsChanged,
    ClaimDecided,
    ClaimDecision,
    CloseKind,
    PayoutStatus,
    PayoutStatusChanged,
    Phase,
    QuarterClosed,
    TierChanged,
    WeeklySummary,
    event_id,
)
from services.notification.closings import Close
from services.notification.messages import Kind, Told, dump
from services.notification.payments import DETAILS_INVALID, HOLDS_TOLD


class Near(NamedTuple):
    """When the next tier counts as near: so few units are missing, so few weeks before the quarter ends."""

    units: int
    weeks: int


class Call(NamedTuple):
    """A mail that is to be written. Of two calls with one id, the first stands."""

    id: str
    kind: Kind
    event: str
    """What it is written from: the event as ``dump`` writes it, with what was told before."""


def calls(event: Told, id_: str, earlier: Call | None, near: Near, zone: ZoneInfo) -> Iterator[Call]:
    """The mails that an event with this id calls for. ``earlier`` is the mail about its ``predecessor``, if any."""
    match event:
        case TierChanged():
            if event.phase in (Phase.OPEN, Phase.PROVISIONAL):  # a final quarter's correction is told by its adjustment
                yield Call(id_, Kind.TIER_UP if event.to_tier > event.from_tier else Kind.TIER_DOWN, dump(event))
        case WeeklySummary():
            yield Call(id_, Kind.WEEKLY, dump(event))
            if _is_near(event, near, zone):
                once = event_id("near", event.programme_id, event.partner_id, event.quarter, event.next_threshold)
                yield Call(once, Kind.THRESHOLD_NEAR, dump(event))
        case QuarterClosed():
            if event.kind in _CLOSES:
                yield Call(id_, _CLOSES[event.kind], dump(_with(event, earlier)))
        case BankDetailsChanged():
            if event.change in _DETAILS:
                yield Call(id_, _DETAILS[event.change], dump(event))
        case ClaimDecided():
            if event.decision in _CLAIMS:
                yield Call(id_, _CLAIMS[event.decision], dump(event))
        case PayoutStatusChanged():
            kind = _kind_of_payout(event, earlier)
            if kind is Kind.HELD:  # once for each reason, however often it is lifted and comes back
                place = (event.programme_id, event.partner_id, event.quarter, event.revision)
                yield Call(event_id("held", *place, event.reason), kind, dump(event))
            elif kind is not None:
                yield Call(id_, kind, dump(event))


def predecessor(event: Told) -> str | None:
    """The id of the event before this one, where a mail about it changes what is to be said now."""
    match event:
        case QuarterClosed() if event.revision > 0:
            return event_id("close", event.programme_id, event.partner_id, event.quarter, event.revision - 1)
        case PayoutStatusChanged() if event.reason == DETAILS_INVALID:
            place = (event.programme_id, event.partner_id, event.quarter, event.revision)
            return event_id("payout", *place, event.sequence - 1)
    return None


_CLOSES = {
    CloseKind.PROVISIONAL: Kind.PROVISIONAL,
    CloseKind.FINAL: Kind.FINAL,
    CloseKind.ADJUSTMENT: Kind.ADJUSTMENT,
}
_DETAILS = {
    BankDetailsChange.ENTERED: Kind.BANK_DETAILS_ENTERED,
    BankDetailsChange.CHANGED: Kind.BANK_DETAILS_CHANGED,
    BankDetailsChange.INVALID: Kind.BANK_DETAILS_INVALID,
}
_CLAIMS = {
    ClaimDecision.ACCEPTED: Kind.CLAIM_ACCEPTED,
    ClaimDecision.REFUSED: Kind.CLAIM_REFUSED,
    ClaimDecision.ASKED: Kind.CLAIM_ASKED,
}
_PAYOUTS = {
    PayoutStatus.WAITING: Kind.BANK_DETAILS_MISSING,
    PayoutStatus.IN_PAYMENT: Kind.IN_PAYMENT,
    PayoutStatus.PAID: Kind.PAID,
    PayoutStatus.RETURNED: Kind.RETURNED,
}


def _is_near(event: WeeklySummary, near: Near, zone: ZoneInfo) -> bool:
    days = (event.quarter_ends_on - event.as_of.astimezone(zone).date()).days
    return event.next_threshold is not None and 0 < event.units_missing <= near.units and 0 <= days < 7 * near.weeks


def _with(event: QuarterClosed, earlier: Call | None) -> Close:
    told = msgspec.json.decode(earlier.event, type=QuarterClosed) if earlier else None
    return Close(**asdict(event) | {"told": told})


def _kind_of_payout(event: PayoutStatusChanged, earlier: Call | None) -> Kind | None:
    if event.status is PayoutStatus.NETTED:
        # A clawback is told with the transfer that it makes smaller; where none is made, what was earned tells of both.
        return Kind.SET_OFF if (event.amount_minor < 0) == (event.end_to_end_id is not None) else None
    if event.amount_minor <= 0:
        return None
    if event.status is PayoutStatus.HELD:
        return Kind.HELD if event.reason in HOLDS_TOLD else None
    if event.reason == DETAILS_INVALID and earlier is not None and earlier.kind is Kind.RETURNED:
        return None  # told by the return, a moment ago
    return _PAYOUTS.get(event.status)
