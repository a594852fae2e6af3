"""Several tier changes of a partner within a short time become one mail.

The first goes out at once. What follows within the wait is folded into one message, due when the wait is over: it tells
of the way from the tier that he last heard of to the one that he stands on.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, and_, or_, select, update

from schemas.events import TierChanged
from services.notification.messages import Kind, dump
from services.notification.tables import State, messages

_TIERS = (Kind.TIER_UP, Kind.TIER_DOWN)
_UNSENT = (State.PENDING, State.WAITING)
_REPLACED = "a later mail tells of it"
_NO_CHANGE = "he stands again where he was last told"
Row = dict[str, Any]
Place = tuple[str, str | None, str]
"""Partner, the contact of his who is told (None: he himself), and quarter."""


class _Told(NamedTuple):
    """What a partner has been told, or is about to be."""

    number: int | None
    """Of a message in the table; None for one of this batch."""
    row: Row | None
    event: TierChanged
    due: datetime


def collect(connection: Connection, rows: Iterable[Row], wait: timedelta, now: datetime) -> None:
    """Fold the tier mails among ``rows``, about to be written, with each other and with those not sent yet."""
    fresh = [row for row in rows if row["kind"] in _TIERS and row["state"] in _UNSENT]
    if not fresh or not wait:
        return
    known = select(messages.c.event_id).where(messages.c.event_id.in_([row["event_id"] for row in fresh]))
    noted = set(connection.execute(known).scalars())  # what is there already must not be replaced by itself
    fresh = [row for row in fresh if row["event_id"] not in noted]
    unsent, last = _before(connection, {row["partner_id"] for row in fresh}, now - wait)
    replaced: dict[int, str] = {}
    for row in fresh:
        event = msgspec.json.decode(row["event"], type=TierChanged)
        place = (event.partner_id, row["contact_id"], event.quarter)
        due = max(now, last[place] + wait) if place in last else now
        earlier = unsent.pop(place, None)
        if earlier is None:
            row["next_try_at"] = due
            unsent[place] = _Told(None, row, event, due)
            continue
        due = min(earlier.due, now + wait)
        event = msgspec.structs.replace(
            event, from_tier=earlier.event.from_tier, rebate_before_minor=earlier.event.rebate_before_minor
        )
        _replace(earlier, _REPLACED if event.from_tier != event.to_tier else _NO_CHANGE, replaced)
        if event.from_tier == event.to_tier:
            row |= {"state": State.SUPERSEDED.value, "last_error": _NO_CHANGE}
            continue
        kind = Kind.TIER_UP if event.to_tier > event.from_tier else Kind.TIER_DOWN
        row |= {"kind": kind.value, "event": dump(event), "next_try_at": due}
        unsent[place] = _Told(None, row, event, due)
    for reason in (_REPLACED, _NO_CHANGE):
        numbers = [number for number, why in replaced.items() if why == reason]
        if numbers:
            change = {"state": State.SUPERSEDED, "last_error": reason}
            connection.execute(update(messages).where(messages.c.number.in_(numbers)).values(change))


def _replace(earlier: _Told, reason: str, replaced: dict[int, str]) -> None:
    if earlier.number is not None:
        replaced[earlier.number] = reason
    elif earlier.row is not None:
        earlier.row.update(state=State.SUPERSEDED.value, last_error=reason)


def _before(
    connection: Connection, partner_ids: Iterable[str], since: datetime
) -> tuple[dict[Place, _Told], dict[Place, datetime]]:
    """Each place's message that nobody has begun to send, and when the last one before went out, if not long ago."""
    free = and_(messages.c.state.in_(_UNSENT), messages.c.claimed_by.is_(None))
    under_way = messages.c.claimed_by.is_not(None)
    lately = and_(messages.c.state == State.SENT, messages.c.sent_at > since)
    found = connection.execute(
        select(messages)
        .where(messages.c.partner_id.in_(list(partner_ids)), messages.c.kind.in_(_TIERS))
        .where(or_(free, under_way, lately))
        .order_by(messages.c.number)
        .with_for_update()  # no sender may begin with what is about to be replaced
    )
    unsent: dict[Place, _Told] = {}
    last: dict[Place, datetime] = {}
    for row in found:
        event = msgspec.json.decode(row.event, type=TierChanged)
        place = (event.partner_id, row.contact_id, event.quarter)
        if row.state == State.SENT or row.claimed_by is not None:
            last[place] = max(row.sent_at or row.queued_at, last.get(place, row.queued_at))
        else:
            unsent[place] = _Told(row.number, None, event, row.next_try_at)
    return unsent, last
