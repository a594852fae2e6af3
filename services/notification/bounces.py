"""What came back: each report is noted once, told from an invention, and its address believed bad or not."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, and_, func, or_, select, update

from deploy.runtime.clock import RealClock
from services.kit.database import upsert
from services.notification.addresses import Addresses
from services.notification.dsn import Report
from services.notification.messages import Kind
from services.notification.reach import bounced
from services.notification.smtp import without_addresses
from services.notification.tables import State, bad_addresses, bounces, contacts, messages, partners

SOFT_MAX = 3
"""So many mails in a row that came back for the time being are worth a look."""
_EVENT_ID = re.compile(r"([0-9a-f-]{36}(?:/[a-z0-9-]{1,20})?)(?:\.\d{1,6})?")


class Result(StrEnum):
    """What became of a report."""

    BAD_ADDRESS = "bad-address"
    """The partner's address takes no mail: this message and what else is for him wait for another one. Or a contact's:
    then no more goes to him."""
    OLD_ADDRESS = "old-address"
    """Permanent, but he has another address by now; what is about his money goes there."""
    SOFT = "soft"
    """Came back for the time being: counted."""
    SOFT_AGAIN = "soft-again"
    """The same, for the last three mails in a row."""
    REPEATED = "repeated"
    """This report was read before."""
    UNMATCHED = "unmatched"
    """It names no message of ours that was sent."""


class Noted(NamedTuple):
    """A report and what became of it."""

    result: Result
    partner_id: str = ""
    number: int | None = None
    """Of the message that came back."""


class Bounces:
    """Takes in reports."""

    def __init__(self, engine: Engine, addresses: Addresses) -> None:
        self._engine, self._addresses = engine, addresses
        self._real = RealClock()

    def note(self, report: Report, *, dry_run: bool = False) -> Noted:
        """Take in one report, in a transaction of its own."""
        with self._engine.connect() as connection, connection.begin() as transaction:
            noted = self._note(connection, report)
            if dry_run:
                transaction.rollback()
        return noted

    def _note(self, connection: Connection, report: Report) -> Noted:
        message = self._message(connection, report)
        if message is None:
            return Noted(Result.UNMATCHED)
        now = self._real.now()
        row = {
            "report_id": report.report_id,
            "message_number": message.number,
            "partner_id": message.partner_id,
            "sent_to": message.sent_to,
            "status": report.status,
            "diagnostic": without_addresses(report.diagnostic),
            "read_at": now,
        }
        added = upsert(bounces, self._engine).values(row).on_conflict_do_nothing().returning(bounces.c.report_id)
        if connection.execute(added).first() is None:
            return Noted(Result.REPEATED, message.partner_id, message.number)
        if report.permanent:
            result = self._believe_bad(connection, message, report.status, now)
        else:
            again = _soft_in_a_row(connection, message) >= SOFT_MAX
            result = Result.SOFT_AGAIN if again else Result.SOFT
        return Noted(result, message.partner_id, message.number)

    def _message(self, connection: Connection, report: Report) -> Row[Any] | None:
        """The message that came back. Where each has a return path of its own, only that is believed."""
        sent = select(messages).where(messages.c.sent_to.is_not(None))
        numbers = [self._addresses.message_of(mailbox) for mailbox in report.returned_to]
        number = next((number for number in numbers if number is not None), None)
        if number is not None or self._addresses.tell_messages_apart:
            return connection.execute(sent.where(messages.c.number == number)).first()
        ids = [match[1] for id_ in report.message_ids if (match := _EVENT_ID.fullmatch(id_))]
        if ids:
            return connection.execute(sent.where(messages.c.event_id.in_(ids))).first()
        return self._latest_to(connection, report)

    def _latest_to(self, connection: Connection, report: Report) -> Row[Any] | None:
        marks = [self._addresses.fingerprint(recipient) for recipient in report.recipients]
        latest = select(messages).where(messages.c.sent_to.in_(marks)).order_by(messages.c.sent_at.desc()).limit(1)
        return connection.execute(latest).first()

    def _believe_bad(self, connection: Connection, message: Row[Any], status: str, now: datetime) -> Result:
        if message.contact_id is not None:
            return _stop_writing_to(connection, message, status)
        email = connection.execute(
            select(partners.c.email).where(partners.c.partner_id == message.partner_id)
        ).scalar_one_or_none()
        this = messages.c.number == message.number
        if not email or self._addresses.fingerprint(email) != message.sent_to:
            if (
                Kind(message.kind).fresh_for is None and message.recipient is None
            ):  # about his money: he must hear of it where he is now
                again = {"state": State.PENDING, "next_try_at": now, "attempts": 0}
                connection.execute(update(messages).where(this, messages.c.state == State.SENT).values(again))
            return Result.OLD_ADDRESS
        bad = {"partner_id": message.partner_id, "fingerprint": message.sent_to, "status": status, "since": now}
        connection.execute(
            upsert(bad_addresses, self._engine)
            .values(bad)
            .on_conflict_do_update(index_elements=["partner_id"], set_=bad)
        )
        connection.execute(
            update(messages)
            .where(messages.c.partner_id == message.partner_id, messages.c.claimed_by.is_(None))
            .where(messages.c.recipient.is_(None), messages.c.contact_id.is_(None))
            .where(or_(messages.c.state == State.PENDING, and_(this, messages.c.state == State.SENT)))
            .values(state=State.WAITING, last_error=bounced(status), attempts=0)
        )
        return Result.BAD_ADDRESS


def _stop_writing_to(connection: Connection, message: Row[Any], status: str) -> Result:
    """A contact's address is bad: he gets no more mail. The partner sees it, and the mails to himself go on."""
    this = contacts.c.contact_id == message.contact_id
    marked = connection.execute(update(contacts).where(this).values(bad_status=status)).rowcount
    connection.execute(
        update(messages)
        .where(messages.c.partner_id == message.partner_id, messages.c.contact_id == message.contact_id)
        .where(messages.c.state == State.PENDING, messages.c.claimed_by.is_(None))
        .values(state=State.EXPIRED, last_error=bounced(status))
    )
    return Result.BAD_ADDRESS if marked else Result.OLD_ADDRESS


def _soft_in_a_row(connection: Connection, message: Row[Any]) -> int:
    """How many of the partner's latest mails to this address came back, counted back from the last one."""
    came_back = select(func.count()).where(bounces.c.message_number == messages.c.number).scalar_subquery()
    latest = connection.execute(
        select(came_back)
        .select_from(messages)
        .where(messages.c.partner_id == message.partner_id, messages.c.sent_to == message.sent_to)
        .order_by(messages.c.sent_at.desc())
        .limit(SOFT_MAX)
    ).scalars()
    number = 0
    for reports in latest:
        if not reports:
            break
        number += 1
    return number
