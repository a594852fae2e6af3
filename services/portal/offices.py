"""The offices of payout and notification, as the portal asks them: on behalf of whom, and what they answer with."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, NamedTuple

from msgspec import Struct

from deploy.runtime.settings import Settings
from services.kit.office.client import Client
from services.kit.office.protocol import Actor
from services.kit.office.protocol import Role as Acting
from services.portal.auth import STAFF, Role, Visitor

_STAFF = {Role.NONE: Acting.VIEWER, Role.VIEWER: Acting.VIEWER}
_STAFF |= {Role.OPERATOR: Acting.OPERATOR, Role.APPROVER: Acting.APPROVER}


class Offices(NamedTuple):
    """Whom the portal asks."""

    payout: Client
    notification: Client


def open_offices(settings: Settings) -> Offices:
    """Both; nothing is asked yet."""
    return Offices(
        Client(settings, "payout", settings.payout_office_url),
        Client(settings, "notification", settings.notification_office_url),
    )


def acting(visitor: Visitor) -> Actor:
    """Who acts, as an office is told. Only for visitors that the route has let in."""
    if visitor.audience == STAFF:
        return Actor(_STAFF[visitor.role], visitor.person)
    role = Acting.CONFIRMED if visitor.confirmed else Acting.PARTNER
    return Actor(role, visitor.person or visitor.partner_id, visitor.partner_id)


class Details(Struct):
    """A version of a partner's bank details."""

    masked: str
    entered_at: datetime
    entered_by: str
    source: str
    usable_on: date
    invalid_since: datetime | None = None
    invalid_reason: str | None = None


class Rehearsal(Struct):
    """What entering bank details would do."""

    result: str
    masked: str
    sepa: bool
    usable_on: date
    bank: str = ""
    bic: str = ""
    needs_address: bool = False


class Sum(Struct):
    """An amount."""

    amount_minor: int
    currency: str


class Hold(Struct):
    """Something earned that is not paid."""

    obligation: str
    partner_id: str
    quarter: str
    amount_minor: int
    currency: str
    code: str | None
    since: datetime
    why: str | None
    ends: str | None


class HeldAccount(Struct):
    """What a hold's page tells of an account."""

    masked: str
    version: int
    usable_on: date
    invalid: bool


class Block(Struct):
    """Somebody blocked a partner, or unblocked him."""

    blocked: bool
    reason: str
    decided_by: str
    at: datetime


class Lift(Struct):
    """Somebody let an unusual obligation go."""

    reason: str
    note: str
    lifted_by: str
    at: datetime
    counts_still: bool


class HoldPage(Hold):
    """All that bears on one."""

    state: str = ""
    units: int = 0
    units_of_last_two_days: int = 0
    units_of_earlier_quarters: list[int] = []
    account: HeldAccount | None = None
    blocks: list[Block] = []
    lifts: list[Lift] = []

    @property
    def liftable(self) -> bool:
        """Whether somebody who has looked at it may let it go."""
        return self.ends == "holds lift"

    @property
    def blocked(self) -> bool:
        """Whether the partner is blocked now."""
        return bool(self.blocks) and self.blocks[-1].blocked


class Run(Struct):
    """A payment run."""

    run: str
    kind: str
    state: str
    execution_date: date
    payments: int
    total_minor: int
    currency: str
    prepared_by: str
    prepared_at: datetime

    @property
    def waits(self) -> bool:
        """Whether it can still be given up."""
        return self.state in ("draft", "approved")


class Limits(Struct):
    """What needs whose eyes."""

    automatic_minor: int
    second_minor: int


class Runs(Struct):
    """Every run, the latest first."""

    runs: list[Run]
    limits: Limits


class Approval(Struct):
    """Who approved, and when."""

    by: str
    at: datetime


class Payment(Struct):
    """A payment of a run; its account is masked."""

    partner_id: str
    account: str
    amount_minor: int
    currency: str
    state: str
    reason: str | None
    end_to_end_id: str


class RunPage(Run):
    """A run with its approvals and payments."""

    sha256: str = ""
    reason: str | None = None
    closed_by: str | None = None
    closed_at: datetime | None = None
    approvals: list[Approval] = []
    approvals_missing: int = 0
    warnings: list[str] = []
    payments_made: list[Payment] = []

    def may_approve(self, person: str) -> bool:
        """Whether an approval of this person would count."""
        return self.waits and self.prepared_by != person and all(said.by != person for said in self.approvals)


class RunFile(Struct):
    """A run's file."""

    name: str
    content: bytes


class Standing(Struct):
    """Where a run stands with the bank."""

    msg_id: str
    day: date
    state: str
    total_minor: int
    currency: str
    payments: dict[str, int]
    silent_hours: float


class Strange(Struct):
    """What the bank said and fits no payment of ours."""

    id: int
    reason: str
    end_to_end_id: str | None = None
    msg_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    debit: bool | None = None
    booked_on: date | None = None
    statement_id: str | None = None


class Gap(Struct):
    """What is missing between two statements of the bank."""

    statement_id: str
    day: date | None
    what: str
    difference_minor: int
    currency: str


class Silence(Struct):
    """How many payments wait longer than they should."""

    answer: int
    debit: int


class Bank(Struct):
    """Where we stand with the bank."""

    runs: list[Standing]
    silence: Silence
    unmatched: list[Strange]
    gaps: list[Gap]


class Taken(Struct):
    """What a file of the bank brought."""

    kind: str
    repeated: bool
    payments: dict[str, int]
    unmatched: int
    foreign: int


class Endpoint(Struct):
    """Where a partner's software is told what happens."""

    id: str
    partner_id: str
    url: str
    types: list[str]
    state: str
    disabled_reason: str | None
    disabled_at: datetime | None
    created_at: datetime
    delivered_at: datetime | None
    failures: int
    pending: int
    failed: int


class Endpoints(Struct):
    """Endpoints, and the types of events that there are."""

    endpoints: list[Endpoint]
    types: list[str]


class NewEndpoint(Struct):
    """An endpoint just made."""

    endpoint_id: str
    secret: str


class Contact(Struct):
    """Somebody whom a partner named. The address is masked unless he has just shown a second factor."""

    contact_id: str
    name: str
    email: str
    standing: str
    language: str
    weekly_mail: bool
    added_at: datetime
    bad_status: str | None
    """Set if mail to the address came back."""


class Attempt(Struct):
    """What an endpoint answered."""

    at: datetime
    status: int | None
    duration_ms: int
    said: str


class Delivery(Struct):
    """Something that is or was to be sent."""

    number: int
    type: str
    state: str
    recorded_at: datetime
    attempts: list[Attempt]


class DeliveryLog(Struct):
    """An endpoint and its latest deliveries."""

    endpoint: Endpoint
    deliveries: list[Delivery]


class Mail(Struct):
    """A mail to a partner."""

    number: int
    partner_id: str
    kind: str
    state: str
    queued_at: datetime
    sent_at: datetime | None
    attempts: int
    last_error: str | None
    contact_id: str | None = None
    """To which of the partner's contacts; None: to himself."""


class Mails(Struct):
    """Some mails, newest first, and how many there are."""

    total: int
    mails: list[Mail]


class Resent(Struct):
    """Which mails are due again."""

    due: list[int]
    refused: list[dict[str, Any]]
