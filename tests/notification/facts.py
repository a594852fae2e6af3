"""Partners and events as they come from the topics."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from schemas.events import (
    BankDetailsChange,
    BankDetailsChanged,
    ClaimDecided,
    ClaimDecision,
    CloseKind,
    Event,
    Partner,
    PayoutStatus,
    PayoutStatusChanged,
    Phase,
    PreferencesChanged,
    PreferenceSource,
    QuarterClosed,
    TierChanged,
    WeeklySummary,
    id_of,
)
from schemas.topics import (
    BANK_DETAILS,
    CLAIMS,
    PARTNERS,
    PAYOUTS,
    PREFERENCES,
    QUARTER_CLOSES,
    TIER_CHANGES,
    WEEKLY_SUMMARIES,
    Topic,
)
from services.kit.consumer import Received
from services.notification.calls import Call, Near, calls
from services.notification.messages import Addressee, Link, Message, Told, compose
from streams.rules.terms import Programme, parse

ROOT = Path(__file__).parents[2]
NEAR = Near(units=3, weeks=4)
NOON = datetime(2026, 12, 14, 12, tzinfo=UTC)
_TOPICS: dict[type[Event], Topic] = {
    Partner: PARTNERS,
    TierChanged: TIER_CHANGES,
    WeeklySummary: WEEKLY_SUMMARIES,
    QuarterClosed: QUARTER_CLOSES,
    PayoutStatusChanged: PAYOUTS,
    PreferencesChanged: PREFERENCES,
    BankDetailsChanged: BANK_DETAILS,
    ClaimDecided: CLAIMS,
}


def programme() -> Programme:
    """The one that ships."""
    return parse((ROOT / "programme.toml").read_text("utf-8"))


def partner(number: int = 1, **changes: object) -> Partner:
    """A partner, named for his number."""
    fields: dict[str, object] = {
        "partner_id": f"P{number}",
        "name": f"Systemhaus {number}",
        "email": f"p{number}@partner.example",
        "language": "en",
        "country": "GB",
        "registered_on": date(2026, 1, 1),
        "left_on": None,
    }
    return Partner(**fields | changes)  # type: ignore[arg-type]


def tier(
    to: int = 25, *, units: int = 26, number: int = 1, sequence: int = 1, phase: Phase = Phase.OPEN
) -> TierChanged:
    """26 units instead of 24; or with ``to=10`` the way back down, to 24."""
    up = to == 25
    return TierChanged(
        programme_id="topseller",
        partner_id=f"P{number}",
        quarter="2026Q4",
        sequence=sequence,
        from_tier=10 if up else 25,
        to_tier=to,
        units=units if up else 24,
        rate_minor=1000 if up else 500,
        rebate_before_minor=12_000 if up else 26_000,
        rebate_after_minor=units * 1000 if up else 12_000,
        currency="EUR",
        phase=phase,
        next_threshold=50 if up else 25,
        units_missing=50 - units if up else 1,
        gain_minor=75_000 - units * 1000 if up else 13_000,
        occurred_at=NOON,
    )


def week(number: int = 1, units: int = 1048, change: int = 1005) -> WeeklySummary:
    """A standing with numbers that need their thousands separated."""
    return WeeklySummary(
        programme_id="topseller",
        partner_id=f"P{number}",
        quarter="2026Q4",
        week="2026-W51",
        units=units,
        tier=50,
        rate_minor=1500,
        rebate_minor=units * 1500,
        currency="EUR",
        next_threshold=None,
        units_missing=0,
        gain_minor=0,
        units_change=change,
        rebate_change_minor=change * 1500,
        pending=37,
        rejected=11,
        quarter_ends_on=date(2026, 12, 31),
        as_of=datetime(2026, 12, 14, 7, tzinfo=UTC),
    )


def close(kind: CloseKind = CloseKind.FINAL, units: int = 52, payable: int = 78_000, number: int = 1) -> QuarterClosed:
    """A close; 52 units at 15 euros."""
    rate, reached = (1500, 50) if units >= 50 else (1000, 25) if units >= 25 else (0, 0)
    return QuarterClosed(
        programme_id="topseller",
        partner_id=f"P{number}",
        quarter="2026Q4",
        kind=kind,
        revision=list(CloseKind).index(kind),
        units=units,
        tier=reached,
        rate_minor=rate,
        rebate_minor=units * rate,
        payable_minor=payable,
        payable_total_minor=units * rate if kind is not CloseKind.PROVISIONAL else 0,
        currency="EUR",
        terms_version="2026-1",
        closed_at=datetime(2027, 1, 28, 23, tzinfo=UTC),
    )


def payout(
    status: PayoutStatus = PayoutStatus.IN_PAYMENT, amount: int = 78_000, number: int = 1, **changes: object
) -> PayoutStatusChanged:
    """The money of the final close moves."""
    moved = PayoutStatusChanged(
        programme_id="topseller",
        partner_id=f"P{number}",
        quarter="2026Q4",
        revision=1,
        sequence=list(PayoutStatus).index(status),
        status=status,
        reason="AC04" if status is PayoutStatus.RETURNED else None,
        amount_minor=amount,
        currency="EUR",
        run_id="R-7",
        end_to_end_id="26Q4-P1-A0T1",
        execution_date=date(2027, 2, 2),
        occurred_at=datetime(2027, 1, 29, 9, tzinfo=UTC),
    )
    return replace(moved, **changes)


def bank_details(number: int = 1, version: int = 1, change: BankDetailsChange | None = None) -> BankDetailsChanged:
    """The first account of a partner, or another one; or what became of one."""
    change = change or (BankDetailsChange.ENTERED if version == 1 else BankDetailsChange.CHANGED)
    return BankDetailsChanged(
        partner_id=f"P{number}",
        version=version,
        change=change,
        usable_on=None if change is BankDetailsChange.INVALID else date(2027, 1, 4),
        occurred_at=NOON,
    )


def claim(number: int = 1, decision: ClaimDecision = ClaimDecision.ACCEPTED) -> ClaimDecided:
    """What the vendor said about a sale that a partner had missed."""
    return ClaimDecided(
        partner_id=f"P{number}",
        claim_id="C-MFRGGZDFMZTWQ",
        sequence=1,
        decision=decision,
        reason=None if decision is ClaimDecision.ACCEPTED else "proof-missing",
        sale_id="RE-4711",
        product_id="TS-200",
        quantity=3,
        sold_on=date(2026, 12, 4),
        occurred_at=NOON,
    )


def choice(weekly_mail: bool, number: int = 1) -> PreferencesChanged:
    """A partner turns his weekly mail off, or on."""
    return PreferencesChanged(f"P{number}", weekly_mail, PreferenceSource.MAIL, NOON)


def received(event: Event | None, at: datetime, key: str = "") -> Received:
    """The event as the reader hands it over; None with a key is a tombstone."""
    if event is None:
        return Received(PARTNERS, key, None, f"tombstone-{key}", at, 0, 0)
    topic = _TOPICS[type(event)]
    return Received(topic, event.partner_id, event, id_of(event), at, 0, 0)  # type: ignore[attr-defined]


def called_for(event: Told, earlier: Call | None = None) -> list[Call]:
    """The mails that this event calls for."""
    return list(calls(event, id_of(event), earlier, NEAR, programme().zone))


def mail_about(
    event: Told, name: str = "Systemhaus 1", language: str = "en", country: str = "GB", earlier: Told | None = None
) -> Message:
    """The mail about this event after an earlier one was told, with a link that works until the day after."""
    call = called_for(event, called_for(earlier)[0] if earlier else None)[0]
    link = Link("https://portal.example/l/token", 24, NOON + timedelta(days=1))
    return compose(call.kind, call.event, Addressee("P1", name, language, country), programme(), link)
