"""A sample of each mail, in each language, the same at every time: to look at, to check, to show to a translator."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from msgspec.structs import asdict, replace

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
)
from services.notification.closings import Close
from services.notification.invitations import ContactNamed
from services.notification.messages import Addressee, Kind, Link, Message, Subject, as_of, compose, dump
from services.notification.newlink import LinkWanted
from services.notification.payments import BLOCKED, DETAILS_NEW
from services.notification.webhooks.outage import EndpointDisabled
from streams.rules.terms import Programme

COUNTRIES = {"en": "GB", "de": "DE", "fr": "FR", "it": "IT", "es": "ES", "nl": "NL", "pt": "PT"}
"""The languages there are samples in, and whose habits they show."""
_MONDAY = datetime(2026, 12, 14, 7, tzinfo=UTC)
_ABOUT: dict[str, Any] = {"programme_id": "topseller", "partner_id": "P-1001", "quarter": "2026Q4", "currency": "EUR"}


class Sample(NamedTuple):
    """A mail of a kind, about an event of its own."""

    name: str
    kind: Kind
    event: Subject


def write(sample: Sample, language: str, programme: Programme) -> Message:
    """The mail in one language."""
    contact = sample.kind is Kind.INVITATION
    name = "Alex Sommer" if contact else "Keller & Sohn"
    addressee = Addressee("P-1001", name, language, COUNTRIES[language], contact)
    link = Link("https://partner.example/l/sample", 14 * 24, as_of(sample.event) + timedelta(days=14))
    leave = "https://partner.example/unsubscribe/sample" if sample.kind is Kind.WEEKLY else ""
    return compose(sample.kind, dump(sample.event), addressee, programme, link, leave)


def _tier(from_tier: int, to_tier: int, units: int, rate: int, above: tuple[int | None, int, int]) -> TierChanged:
    before = units * 500 if from_tier < to_tier else (units + 2) * 1000
    return TierChanged(
        **_ABOUT,
        sequence=2,
        from_tier=from_tier,
        to_tier=to_tier,
        units=units,
        rate_minor=rate,
        rebate_before_minor=before,
        rebate_after_minor=units * rate,
        phase=Phase.OPEN,
        next_threshold=above[0],
        units_missing=above[1],
        gain_minor=above[2],
        occurred_at=_MONDAY + timedelta(hours=3, minutes=21),
    )


_WEEK = WeeklySummary(
    **_ABOUT,
    week="2026-W51",
    units=34,
    tier=25,
    rate_minor=1000,
    rebate_minor=34_000,
    next_threshold=50,
    units_missing=16,
    gain_minor=41_000,
    units_change=5,
    rebate_change_minor=5_000,
    pending=2,
    rejected=1,
    quarter_ends_on=date(2026, 12, 31),
    as_of=_MONDAY,
)
_PROVISIONAL = QuarterClosed(
    **_ABOUT,
    kind=CloseKind.PROVISIONAL,
    revision=0,
    units=1_246,
    tier=50,
    rate_minor=1500,
    rebate_minor=1_869_000,
    payable_minor=0,
    payable_total_minor=0,
    terms_version="2026-1",
    closed_at=datetime(2026, 12, 31, 23, tzinfo=UTC),
)
_FINAL = replace(
    _PROVISIONAL,
    kind=CloseKind.FINAL,
    revision=1,
    units=1_250,
    rebate_minor=1_875_000,
    payable_minor=1_875_000,
    payable_total_minor=1_875_000,
    closed_at=datetime(2027, 1, 28, 23, tzinfo=UTC),
)
_NOTHING = replace(_FINAL, units=0, tier=0, rate_minor=0, rebate_minor=0, payable_minor=0, payable_total_minor=0)
_CORRECTED = replace(
    _FINAL,
    kind=CloseKind.ADJUSTMENT,
    revision=2,
    units=1_247,
    rebate_minor=1_870_500,
    payable_minor=-4_500,
    payable_total_minor=1_870_500,
    closed_at=datetime(2027, 2, 17, 10, 5, tzinfo=UTC),
)
_PAYOUT = PayoutStatusChanged(
    **_ABOUT,
    revision=1,
    sequence=3,
    status=PayoutStatus.IN_PAYMENT,
    reason=None,
    amount_minor=1_875_000,
    run_id="RB-20270129-7Q2M",
    end_to_end_id="270129-K3VQ7ZP4M",
    execution_date=date(2027, 2, 1),
    occurred_at=datetime(2027, 1, 29, 9, tzinfo=UTC),
)
_SET_OFF = replace(
    _PAYOUT,
    status=PayoutStatus.NETTED,
    amount_minor=-4_500,
    revision=2,
    run_id="RB-20270430-7Q2M",
    end_to_end_id="270430-K3VQ7ZP4M",
    execution_date=date(2027, 5, 3),
    occurred_at=datetime(2027, 4, 30, 8, tzinfo=UTC),
)
_UNPAID = replace(_PAYOUT, run_id=None, end_to_end_id=None, execution_date=None)
_DETAILS = BankDetailsChanged(
    partner_id="P-1001",
    version=2,
    change=BankDetailsChange.CHANGED,
    usable_on=date(2027, 1, 20),
    occurred_at=datetime(2027, 1, 15, 13, 40, tzinfo=UTC),
)
_CLAIM = ClaimDecided(
    partner_id="P-1001",
    claim_id="C-MFRGGZDFMZTWQ",
    sequence=1,
    decision=ClaimDecision.ACCEPTED,
    reason=None,
    sale_id="RE-2026-4711",
    product_id="TS-200",
    quantity=3,
    sold_on=date(2026, 12, 4),
    occurred_at=datetime(2026, 12, 21, 9, 30, tzinfo=UTC),
)
_REFUSED = replace(_CLAIM, decision=ClaimDecision.REFUSED, reason="proof-does-not-match")
_ASKED = replace(_CLAIM, decision=ClaimDecision.ASKED, reason="serials-missing")
_OUTAGE = EndpointDisabled(
    partner_id="P-1001",
    endpoint_id="ep_1f2e3d4c5b6a7988",
    host="hooks.keller-sohn.example",
    status=500,
    failing_since=datetime(2027, 1, 11, 8, 3, tzinfo=UTC),
    occurred_at=datetime(2027, 1, 14, 15, 20, tzinfo=UTC),
)
_ACCOUNTANT = ContactNamed(
    partner_id="P-1001",
    contact_id="c-mfrggzdfmztwq",
    name="Alex Sommer",
    standing="accountant",
    company="Keller & Sohn",
    occurred_at=datetime(2027, 1, 15, 14, 5, tzinfo=UTC),
)
_OWNER = replace(_ACCOUNTANT, standing="owner")

SAMPLES = (
    Sample("tier-up", Kind.TIER_UP, _tier(10, 25, 26, 1000, (50, 24, 49_000))),
    Sample("tier-down", Kind.TIER_DOWN, _tier(25, 10, 24, 500, (25, 1, 13_000))),
    Sample("weekly", Kind.WEEKLY, _WEEK),
    Sample("weekly-fewer", Kind.WEEKLY, replace(_WEEK, units_change=-1, rebate_change_minor=-1_000)),
    Sample(
        "threshold-near",
        Kind.THRESHOLD_NEAR,
        replace(_WEEK, units=49, rebate_minor=49_000, units_missing=1, gain_minor=26_000),
    ),
    Sample("provisional", Kind.PROVISIONAL, _PROVISIONAL),
    Sample("final", Kind.FINAL, Close(**asdict(_FINAL), told=_PROVISIONAL)),
    Sample("final-nothing", Kind.FINAL, _NOTHING),
    Sample("adjustment", Kind.ADJUSTMENT, Close(**asdict(_CORRECTED), told=_FINAL)),
    Sample("bank-details-missing", Kind.BANK_DETAILS_MISSING, replace(_UNPAID, status=PayoutStatus.WAITING)),
    Sample("bank-details-entered", Kind.BANK_DETAILS_ENTERED, replace(_DETAILS, change=BankDetailsChange.ENTERED)),
    Sample("bank-details-changed", Kind.BANK_DETAILS_CHANGED, _DETAILS),
    Sample(
        "bank-details-invalid",
        Kind.BANK_DETAILS_INVALID,
        replace(_DETAILS, change=BankDetailsChange.INVALID, usable_on=None),
    ),
    Sample("bank-details-notice", Kind.BANK_DETAILS_NOTICE, _DETAILS),
    Sample("held", Kind.HELD, replace(_UNPAID, status=PayoutStatus.HELD, reason=DETAILS_NEW)),
    Sample("held-blocked", Kind.HELD, replace(_UNPAID, status=PayoutStatus.HELD, reason=BLOCKED)),
    Sample("in-payment", Kind.IN_PAYMENT, _PAYOUT),
    Sample("set-off", Kind.SET_OFF, _SET_OFF),
    Sample("paid", Kind.PAID, replace(_PAYOUT, status=PayoutStatus.PAID)),
    Sample("returned", Kind.RETURNED, replace(_PAYOUT, status=PayoutStatus.RETURNED, reason="AC04")),
    Sample("returned-by-us", Kind.RETURNED, replace(_PAYOUT, status=PayoutStatus.RETURNED, reason="AM04")),
    Sample("claim-accepted", Kind.CLAIM_ACCEPTED, _CLAIM),
    Sample("claim-refused", Kind.CLAIM_REFUSED, _REFUSED),
    Sample("claim-refused-otherwise", Kind.CLAIM_REFUSED, replace(_REFUSED, reason="other")),
    Sample("claim-asked", Kind.CLAIM_ASKED, _ASKED),
    Sample("webhook-disabled", Kind.WEBHOOK_DISABLED, _OUTAGE),
    Sample("webhook-disabled-silent", Kind.WEBHOOK_DISABLED, replace(_OUTAGE, status=None)),
    Sample("webhook-disabled-gone", Kind.WEBHOOK_DISABLED, replace(_OUTAGE, status=410, failing_since=None)),
    Sample("new-link", Kind.NEW_LINK, LinkWanted("P-1001", _MONDAY + timedelta(hours=2))),
    Sample("invitation", Kind.INVITATION, _ACCOUNTANT),
    Sample("invitation-owner", Kind.INVITATION, _OWNER),
    Sample("contact-added", Kind.CONTACT_ADDED, _ACCOUNTANT),
    Sample("contact-added-owner", Kind.CONTACT_ADDED, _OWNER),
    Sample("contact-changed", Kind.CONTACT_CHANGED, _OWNER),
    Sample("contact-removed", Kind.CONTACT_REMOVED, _ACCOUNTANT),
)
