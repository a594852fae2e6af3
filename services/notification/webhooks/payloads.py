"""Which event becomes which webhook, and its body. Thin: ids, and figures that the partner's own page shows as well."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from schemas.events import (
    BankDetailsChange,
    BankDetailsChanged,
    ClaimDecided,
    ClaimDecision,
    CloseKind,
    Event,
    PayoutStatus,
    PayoutStatusChanged,
    QuarterClosed,
    TierChanged,
    WeeklySummary,
)

PING = "ping"
TYPES = ("tier.changed", "week.summary", "quarter.closed", "payout.changed", "bank_details.changed", "claim.decided")
"""What an endpoint can be told of. ``ping`` is not among them: it comes to whoever asks for it."""


class Payload(NamedTuple):
    """What goes to an endpoint: the same bytes each time."""

    type: str
    partner_id: str
    body: str


def payload_of(event: Event | None) -> Payload | None:
    """The webhook that an event calls for, or None. What a later contract says and we don't know is told to nobody."""
    match event:
        case TierChanged():
            fields = _pick(event, "quarter sequence from_tier to_tier units rate_minor rebate_before_minor")
            fields |= _pick(event, "rebate_after_minor currency next_threshold units_missing gain_minor")
            return _payload("tier.changed", event.partner_id, event.occurred_at, _with(event.programme_id, fields))
        case WeeklySummary():
            fields = _pick(event, "quarter week units tier rate_minor rebate_minor currency next_threshold")
            fields |= _pick(event, "units_missing gain_minor units_change rebate_change_minor pending rejected")
            return _payload("week.summary", event.partner_id, event.as_of, _with(event.programme_id, fields))
        case QuarterClosed() if event.kind is not CloseKind.UNKNOWN:
            fields = _pick(event, "quarter kind revision units tier rate_minor rebate_minor payable_minor")
            fields |= _pick(event, "payable_total_minor currency")
            return _payload("quarter.closed", event.partner_id, event.closed_at, _with(event.programme_id, fields))
        case PayoutStatusChanged() if event.status is not PayoutStatus.UNKNOWN:
            fields = _pick(event, "quarter revision sequence status amount_minor currency end_to_end_id execution_date")
            # Why a payment is held is between the vendor and its own systems; why it came back is for him to mend.
            fields["reason"] = event.reason if event.status is PayoutStatus.RETURNED else None
            return _payload("payout.changed", event.partner_id, event.occurred_at, _with(event.programme_id, fields))
        case BankDetailsChanged() if event.change is not BankDetailsChange.UNKNOWN:
            fields = _pick(event, "version change usable_on")
            return _payload("bank_details.changed", event.partner_id, event.occurred_at, fields)
        case ClaimDecided() if event.decision is not ClaimDecision.UNKNOWN:
            fields = _pick(event, "claim_id sequence decision reason sale_id product_id quantity sold_on")
            return _payload("claim.decided", event.partner_id, event.occurred_at, fields)
    return None


def ping(partner_id: str, at: datetime) -> Payload:
    """Says nothing but that it arrives."""
    return _payload(PING, partner_id, at, {})


def _payload(kind: str, partner_id: str, at: datetime, fields: dict[str, Any]) -> Payload:
    content = {"type": kind, "timestamp": at, "data": {"partner_id": partner_id, **fields}}
    return Payload(kind, partner_id, msgspec.json.encode(content).decode())


def _with(programme_id: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"programme_id": programme_id, **fields}


def _pick(event: Event, names: str) -> dict[str, Any]:
    return {name: getattr(event, name) for name in names.split()}
