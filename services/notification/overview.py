"""The messages as an operator sees them: which there are, why one was not sent, and sending one anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, Select, case, delete, func, select, update

from deploy.runtime.clock import RealClock
from deploy.runtime.settings import Settings
from services.kit.database import open_engine, reading
from services.notification.addressees import addressee_columns, with_addressees
from services.notification.addresses import masked
from services.notification.messages import Kind
from services.notification.tables import (
    MIGRATIONS,
    State,
    bad_addresses,
    bounces,
    contacts,
    messages,
    preferences,
)

_RESENDABLE = (State.FAILED, State.EXPIRED, State.WAITING)


@contextmanager
def database(settings: Settings) -> Iterator[Engine]:
    """The service's database, its tables up to date. Raises NotReady if it does not answer."""
    engine = open_engine(settings.notification_db_url, MIGRATIONS)
    try:
        yield engine
    finally:
        engine.dispose()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages to list; what is not said does not matter."""

    states: Sequence[State] = ()
    kinds: Sequence[Kind] = ()
    partner_id: str = ""
    since: datetime | None = None
    limit: int = 50


class Listed(NamedTuple):
    """Some messages, newest first, and how many there are."""

    rows: Sequence[Row[Any]]
    total: int


def listed(engine: Engine, wanted: Wanted) -> Listed:
    """The messages that are wanted."""
    conditions = [messages.c.queued_at >= wanted.since] if wanted.since else []
    if wanted.states:
        conditions.append(messages.c.state.in_(wanted.states))
    if wanted.kinds:
        conditions.append(messages.c.kind.in_(wanted.kinds))
    if wanted.partner_id:
        conditions.append(messages.c.partner_id == wanted.partner_id)
    newest = select(messages).where(*conditions).order_by(messages.c.number.desc()).limit(wanted.limit)
    with reading(engine).connect() as connection:
        total = connection.execute(select(func.count()).select_from(messages).where(*conditions)).scalar_one()
        return Listed(connection.execute(newest).all(), total)


def shown(engine: Engine, number: int) -> dict[str, Any] | None:
    """All about one message, its address masked. None if there is no such message."""
    with reading(engine).connect() as connection:
        row = connection.execute(_with_partner().where(messages.c.number == number)).first()
        if row is None:
            return None
        came_back = connection.execute(
            select(bounces.c.status, bounces.c.diagnostic, bounces.c.read_at)
            .where(bounces.c.message_number == number)
            .order_by(bounces.c.read_at)
        ).mappings()
        return as_dict(row) | {
            "event_id": row.event_id,
            "message_id": f"{row.event_id}.{row.edition}" if row.edition else row.event_id,
            "event": json.loads(row.event),
            "to": masked(row.email or ""),
            "recorded_at": row.recorded_at,
            "next_try_at": row.next_try_at if row.state == State.PENDING and row.claimed_by is None else None,
            "why": why(row, RealClock().now()),
            "bounces": [dict(bounce) for bounce in came_back],
        }


def as_dict(row: Row[Any]) -> dict[str, Any]:
    """A message's facts. Nothing in them says where its partner can be reached."""
    names = ("number", "partner_id", "contact_id", "kind", "state", "queued_at", "sent_at", "attempts", "last_error")
    return {name: getattr(row, name) for name in names}


def why(row: Row[Any], now: datetime) -> str:
    """Why a message stands where it stands, in a sentence. ``row`` is one of ``_with_partner``."""
    match State(row.state):
        case State.SENT:
            return "the mail server took it"
        case State.WAITING if row.email is None:
            return "the partner is not registered: it is sent when the registry names an address"
        case State.WAITING if not row.email:
            return "the partner has no mail address: it is sent when the registry names one"
        case State.WAITING:
            return f"{row.last_error}: it is sent when the registry names another one"
        case State.FAILED:
            return f"given up after {row.attempts} attempt{'' if row.attempts == 1 else 's'}: {row.last_error}"
        case State.EXPIRED | State.SUPERSEDED:
            return f"not to be sent: {row.last_error}"
        case State.PENDING if row.claimed_by is not None and row.next_try_at > now:
            return f"{row.claimed_by} is sending it"
        case State.PENDING if row.next_try_at > now:
            return "put off, " + (f"since the server said: {row.last_error}" if row.last_error else "not due yet")
        case _:
            return "due: it goes out as soon as a sender and the mail server have time"


class Refusal(NamedTuple):
    """A message that is not sent anew, and why."""

    number: int
    reason: str


class Resent(NamedTuple):
    """What ``resend`` did."""

    numbers: Sequence[int]
    refused: Sequence[Refusal]


def resend(engine: Engine, numbers: Sequence[int], *, again: bool = False, dry_run: bool = False) -> Resent:
    """Make messages due that were not sent, under the Message-ID that they had.

    One that was sent, with ``again``, goes out under a new one. Who says so about a message that waits because mail to
    its address came back, or about one to a contact, says that the address is good after all.
    """
    done: list[int] = []
    now = RealClock().now()
    with engine.connect() as connection, connection.begin() as transaction:
        rows = connection.execute(
            _with_partner().where(messages.c.number.in_(numbers)).with_for_update(of=messages)
        ).all()
        unknown = sorted(set(numbers) - {row.number for row in rows})
        refused = [Refusal(number, "there is no such message") for number in unknown]
        for row in rows:
            reason = _refusal(row, again)
            if reason:
                refused.append(Refusal(row.number, reason))
                continue
            _make_due(connection, row, now)
            done.append(row.number)
        if dry_run:
            transaction.rollback()
    return Resent(done, refused)


def failed_numbers(engine: Engine) -> list[int]:
    """The messages that were given up."""
    with reading(engine).connect() as connection:
        query = select(messages.c.number).where(messages.c.state == State.FAILED).order_by(messages.c.number)
        return list(connection.execute(query).scalars())


def due(engine: Engine) -> Iterator[Row[Any]]:
    """Every message that would be sent, now or later, with what its mail must know of the partner."""
    with reading(engine).connect() as connection:
        query = _with_partner().where(messages.c.state == State.PENDING).order_by(messages.c.number)
        yield from connection.execution_options(yield_per=200).execute(query)


def _refusal(row: Row[Any], again: bool) -> str:
    if not row.email:
        return "the partner has no mail address" if row.contact_id is None else "the contact was removed"
    if row.kind == Kind.WEEKLY and row.weekly_mail is False:
        return "the partner has turned the weekly mail off"
    if row.state == State.SENT:
        return "" if again else "it was sent; --again sends it once more"
    if row.state not in _RESENDABLE:
        return "it is due already" if row.state == State.PENDING else "a later mail tells of it"
    return ""


def _make_due(connection: Connection, row: Row[Any], now: datetime) -> None:
    if row.contact_id is not None:
        connection.execute(update(contacts).where(contacts.c.contact_id == row.contact_id).values(bad_status=None))
    elif row.state == State.WAITING:
        connection.execute(delete(bad_addresses).where(bad_addresses.c.partner_id == row.partner_id))
    connection.execute(
        update(messages)
        .where(messages.c.number == row.number)
        .values(
            state=State.PENDING,
            next_try_at=now,
            queued_at=now,
            attempts=0,
            last_error=None,
            claimed_by=None,
            edition=row.edition + int(row.state == State.SENT),
        )
    )


def _with_partner() -> Select[Any]:
    chosen = case((messages.c.contact_id.is_not(None), contacts.c.weekly_mail), else_=preferences.c.weekly_mail)
    query = select(messages, *addressee_columns(), chosen.label("weekly_mail"))
    return query.select_from(with_addressees(registered=False))
