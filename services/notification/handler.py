"""Events to rows, in the transaction that notes them as read."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, delete, select, update

from deploy.runtime.clock import Clock, RealClock
from deploy.runtime.settings import Settings
from schemas.events import BankDetailsChange, BankDetailsChanged, Event, Partner, PreferencesChanged
from services.kit.consumer import Batch, Received
from services.kit.database import upsert
from services.kit.speech import known_language
from services.notification import former
from services.notification.addressees import contacts_of, copy_for, gets
from services.notification.addresses import Addresses
from services.notification.calls import Call, Near, calls, predecessor
from services.notification.digest import collect
from services.notification.former import Change, Former
from services.notification.messages import Kind, Told, dump
from services.notification.noting import count, new_row
from services.notification.pace import parse_quiet_hours, weekly_due
from services.notification.reach import UNSUBSCRIBED, Reach, Verdict, known
from services.notification.tables import UNSENT, State, bad_addresses, contacts, messages, partners, preferences
from streams.rules.terms import Programme

_PERSONAL = (Kind.WEBHOOK_DISABLED, Kind.INVITATION, Kind.CONTACT_ADDED, Kind.CONTACT_CHANGED, Kind.CONTACT_REMOVED)
_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")


class Handler:
    """What the service does with what it reads."""

    def __init__(self, engine: Engine, clock: Clock, programme: Programme, settings: Settings) -> None:
        self._engine, self._clock, self._programme, self._settings = engine, clock, programme, settings
        self._addresses = Addresses(settings)
        self._reach = Reach(clock, programme, self._addresses)
        self._quiet = parse_quiet_hours(settings.quiet_hours)
        self._near = Near(settings.near_units, settings.near_weeks)
        self._real = RealClock()

    def partners(self, batch: Batch) -> None:
        """Remember names and addresses, forget who is to be forgotten, let go what waited for an address."""
        latest = {record.key: record.event for record in batch.received}
        before = known(batch.connection, latest)
        rows = [_partner_row(key, event) for key, event in latest.items() if isinstance(event, Partner)]
        erased = [key for key, event in latest.items() if event is None]
        if rows:
            statement = upsert(partners, self._engine)
            columns = {name: statement.excluded[name] for name in ("name", "email", "language", "country", "left_on")}
            batch.connection.execute(statement.on_conflict_do_update(index_elements=["partner_id"], set_=columns), rows)
        changes = [Change(r.key, _address(r.event), r.recorded_at) for r in batch.received]
        former.remember(batch.connection, {partner_id: row.email for partner_id, row in before.items()}, changes)
        if erased:
            _forget(batch.connection, erased)
        readdressed = [
            row["partner_id"]
            for row in rows
            if row["email"] and (row["partner_id"] not in before or before[row["partner_id"]].email != row["email"])
        ]
        if readdressed:
            self._give_another_chance(batch.connection, [row for row in rows if row["partner_id"] in readdressed])
            self._release(batch.connection, readdressed)

    def preferences(self, batch: Batch) -> None:
        """Remember each one's language and who wants the weekly mail; who does not gets none that has not gone out."""
        latest = {record.key: record.event for record in batch.received}
        rows = [
            {
                "partner_id": key,
                "weekly_mail": event.weekly_mail,
                "language": known_language(event.chosen_language),
                "changed_at": event.occurred_at,
            }
            for key, event in latest.items()
            if isinstance(event, PreferencesChanged)
        ]
        if not rows:
            return
        statement = upsert(preferences, self._engine)
        columns = {name: statement.excluded[name] for name in ("weekly_mail", "language", "changed_at")}
        batch.connection.execute(statement.on_conflict_do_update(index_elements=["partner_id"], set_=columns), rows)
        batch.connection.execute(
            update(messages)
            .where(
                messages.c.partner_id.in_([row["partner_id"] for row in rows if not row["weekly_mail"]]),
                messages.c.contact_id.is_(None),  # whom he named chooses for himself
                messages.c.kind == Kind.WEEKLY,
                messages.c.state.in_([State.WAITING, State.PENDING]),
                messages.c.claimed_by.is_(None),
            )
            .values(state=State.EXPIRED, last_error=UNSUBSCRIBED)
        )

    def events(self, batch: Batch) -> None:
        """Note the mails that these events call for."""
        told = [(record, record.event) for record in batch.received if isinstance(record.event, Told)]
        partner_of = known(batch.connection, {event.partner_id for _, event in told})
        noted = _noted(batch.connection, {before for _, event in told if (before := predecessor(event))})
        news = {event.partner_id for _, event in told if _is_news_of_details(event)}
        left = former.addresses(batch.connection, news) if news else {}
        people = contacts_of(batch.connection, partner_of)
        rows: list[dict[str, Any]] = []
        for record, event in told:
            earlier = noted.get(predecessor(event) or "")
            for call in calls(event, record.event_id, earlier, self._near, self._programme.zone):
                noted.setdefault(call.id, call)
                rows.append(self._row(call, event.partner_id, record, partner_of.get(event.partner_id)))
                rows += [
                    self._copy(call, record, contact)
                    for contact in people.get(event.partner_id, ())
                    if gets(contact.standing, call.kind)
                ]
            if _is_news_of_details(event):
                rows += self._notices(event, record, left.get(event.partner_id, []))
        self._note(batch.connection, rows)

    def _notices(self, event: Told, record: Received, left: Sequence[Former]) -> list[dict[str, Any]]:
        """The same news for each address that was his until recently: a thief changes that first."""
        recent = [address.email for address in left if address.is_recent(record.recorded_at)]
        names = ["previous", *(f"previous-{number}" for number in range(2, len(recent) + 1))]
        return [
            self._row(
                Call(f"{record.event_id}/{name}", Kind.BANK_DETAILS_NOTICE, dump(event)),
                event.partner_id,
                record,
                recipient=email,
            )
            for name, email in zip(names, recent, strict=False)
        ]

    def _row(
        self,
        call: Call,
        partner_id: str,
        record: Received,
        partner: Row[Any] | None = None,
        recipient: str | None = None,
    ) -> dict[str, Any]:
        now = self._real.now()
        verdict = Verdict(State.PENDING) if recipient else self._reach.judge(call.kind, record.recorded_at, partner)
        due = self._due(call.kind, partner_id, now)
        return new_row(call, partner_id, record.recorded_at, verdict, now, due=due, recipient=recipient)

    def _copy(self, call: Call, record: Received, contact: Row[Any]) -> dict[str, Any]:
        """The mail for one of the partner's contacts."""
        now = self._real.now()
        verdict = self._reach.judge_contact(call.kind, record.recorded_at, contact)
        due = self._due(call.kind, contact.partner_id, now)
        copy, contact_id = copy_for(call, contact.contact_id), contact.contact_id
        return new_row(copy, contact.partner_id, record.recorded_at, verdict, now, due=due, contact_id=contact_id)

    def _note(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        wait = timedelta(seconds=self._settings.tier_mail_wait_seconds / self._clock.rate)
        collect(connection, rows, wait, self._real.now())
        # What the database answers was added: what was told before is neither told nor counted again.
        statement = upsert(messages, self._engine).on_conflict_do_nothing()
        added = connection.execute(statement.returning(messages.c.kind, messages.c.state), rows)
        for kind, state in added:
            count(kind, state)

    def _give_another_chance(self, connection: Connection, rows: Collection[dict[str, Any]]) -> None:
        """Another address says nothing of the one that was bad; the same one in other letters does."""
        connection.execute(
            delete(bad_addresses).where(
                bad_addresses.c.partner_id == bindparam("of"), bad_addresses.c.fingerprint != bindparam("new")
            ),
            [{"of": row["partner_id"], "new": self._addresses.fingerprint(row["email"])} for row in rows],
        )

    def _release(self, connection: Connection, partner_ids: Collection[str]) -> None:
        partner_of = known(connection, partner_ids)
        held = connection.execute(
            select(messages.c.number, messages.c.partner_id, messages.c.kind, messages.c.recorded_at).where(
                messages.c.partner_id.in_(partner_ids),
                messages.c.state.in_([State.WAITING, State.FAILED]),
                messages.c.recipient.is_(None),
                messages.c.contact_id.is_(None),
            )
        ).all()
        changes = []
        for row in held:
            verdict = self._reach.judge(Kind(row.kind), row.recorded_at, partner_of[row.partner_id])
            changes.append({"of": row.number, "to": verdict.state.value, "why": verdict.reason, "at": self._real.now()})
            count(row.kind, verdict.state)
        if changes:
            connection.execute(
                update(messages)
                .where(messages.c.number == bindparam("of"))
                .values(
                    state=bindparam("to"),
                    last_error=bindparam("why"),
                    next_try_at=bindparam("at", type_=messages.c.next_try_at.type),
                    attempts=0,
                    claimed_by=None,
                ),
                changes,
            )

    def _due(self, kind: Kind, partner_id: str, now: datetime) -> datetime:
        """When a message that came in now is due, in real time."""
        if not kind.of_the_wave:
            return now
        local = self._clock.now().astimezone(self._programme.zone)
        due = weekly_due(partner_id, local, self._settings.weekly_spread_minutes, self._quiet)
        # Two moments of one zone would be compared by what clocks on the wall show.
        return now + (due.astimezone(UTC) - local.astimezone(UTC)) / self._clock.rate


def _is_news_of_details(event: Told) -> bool:
    return isinstance(event, BankDetailsChanged) and event.change in (
        BankDetailsChange.ENTERED,
        BankDetailsChange.CHANGED,
    )


def _noted(connection: Connection, ids: Collection[str]) -> dict[str, Call]:
    if not ids:
        return {}
    rows = connection.execute(
        select(messages.c.event_id, messages.c.kind, messages.c.event).where(messages.c.event_id.in_(ids))
    )
    return {row.event_id: Call(row.event_id, Kind(row.kind), row.event) for row in rows}


def _partner_row(partner_id: str, event: Partner) -> dict[str, Any]:
    return {
        "partner_id": partner_id,
        "name": _one_line(event.name),
        "email": _one_line(event.email),
        "language": _one_line(event.language),
        "country": _one_line(event.country),
        "left_on": event.left_on,
    }


def _address(event: Event | None) -> str | None:
    return _one_line(event.email) if isinstance(event, Partner) else None


def _one_line(text: str) -> str:
    """What comes from outside, without the characters that mean something to a mail or a database."""
    return _CONTROL.sub(" ", text).strip()[:200]


def _forget(connection: Connection, partner_ids: Collection[str]) -> None:
    for table in (partners, preferences, bad_addresses, contacts):
        connection.execute(delete(table).where(table.c.partner_id.in_(partner_ids)))
    former.forget(connection, partner_ids)
    theirs = messages.c.partner_id.in_(partner_ids)
    connection.execute(update(messages).where(theirs).values(recipient=None))
    # They name his host or his people, and there is nothing left of which they could tell.
    connection.execute(update(messages).where(theirs, messages.c.kind.in_(_PERSONAL)).values(event="{}"))
    connection.execute(
        update(messages)
        .where(theirs, messages.c.state.in_(UNSENT))
        .values(state=State.EXPIRED, last_error="the partner was erased")
    )
