"""Whether a partner can and wants to be reached: his address, whether it is good, what he turned off."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from deploy.runtime.clock import Clock, RealClock
from services.notification.addresses import Addresses
from services.notification.messages import Kind
from services.notification.tables import State, bad_addresses, partners, preferences
from streams.rules.terms import Programme

UNSUBSCRIBED = "unsubscribed"
_STANDINGS = (Kind.WEEKLY, Kind.THRESHOLD_NEAR)
"""Mails that whoever is no partner any more need not get."""


class Verdict(NamedTuple):
    """What is to become of a message, and why if nothing."""

    state: State
    reason: str | None = None


class Reach:
    """Judges messages by what is known of their partners."""

    def __init__(self, clock: Clock, programme: Programme, addresses: Addresses) -> None:
        self._clock, self._programme, self._addresses = clock, programme, addresses
        self._real = RealClock()

    def judge(self, kind: Kind, recorded_at: datetime, partner: Row[Any] | None) -> Verdict:
        """What is to become of a message of this kind. ``partner`` is one of ``known``."""
        # Aged by real time: a test clock that runs fast or jumps makes no mail stale, a week's outage does.
        if kind.fresh_for is not None and recorded_at < self._clock.at(self._real.now() - kind.fresh_for):
            return Verdict(State.EXPIRED, f"older than {kind.fresh_for.days} days")
        if partner is None:
            return Verdict(State.WAITING)
        if kind is Kind.WEEKLY and partner.weekly_mail is False:
            return Verdict(State.EXPIRED, UNSUBSCRIBED)
        today = self._clock.now().astimezone(self._programme.zone).date()
        if kind in _STANDINGS and partner.left_on is not None and partner.left_on <= today:
            return Verdict(State.EXPIRED, "no longer a partner")
        if not partner.email:
            return Verdict(State.WAITING)
        if partner.fingerprint and partner.fingerprint == self._addresses.fingerprint(partner.email):
            return Verdict(State.WAITING, bounced(partner.status))
        return Verdict(State.PENDING)

    def judge_contact(self, kind: Kind, recorded_at: datetime, contact: Row[Any]) -> Verdict:
        """The same of a message to a contact, one of ``addressees.contacts_of``. His address never becomes another."""
        if contact.bad_status:
            return Verdict(State.EXPIRED, bounced(contact.bad_status))
        return self.judge(kind, recorded_at, contact)


def bounced(status: str) -> str:
    """Why messages to a bad address wait."""
    return f"mail to the address came back: {status}"


def known(connection: Connection, partner_ids: Collection[str]) -> dict[str, Row[Any]]:
    """What is known of these partners: registration, choice (None: never made one), and the address found bad."""
    chosen = preferences.c.partner_id == partners.c.partner_id
    bad = bad_addresses.c.partner_id == partners.c.partner_id
    rows: Sequence[Row[Any]] = connection.execute(
        select(partners, preferences.c.weekly_mail, bad_addresses.c.fingerprint, bad_addresses.c.status)
        .select_from(partners.outerjoin(preferences, chosen).outerjoin(bad_addresses, bad))
        .where(partners.c.partner_id.in_(partner_ids))
    ).all()
    return {row.partner_id: row for row in rows}
