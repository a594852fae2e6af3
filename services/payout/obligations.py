"""Obligations: booked from closes, moved from state to state, each move published through the outbox."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from schemas.events import CloseKind, PayoutStatus, PayoutStatusChanged, QuarterClosed
from schemas.topics import PAYOUTS
from services.kit.consumer import Batch
from services.kit.relay import post
from services.payout import ledger
from services.payout.chunks import chunks
from services.payout.states import OPEN, State
from services.payout.tables import checks, obligations, outbox

_PUBLISHED = {
    State.HELD: PayoutStatus.HELD,
    State.WAITING: PayoutStatus.WAITING,
    State.PAYABLE: PayoutStatus.PAYABLE,
    State.IN_PAYMENT: PayoutStatus.IN_PAYMENT,
    State.NETTED: PayoutStatus.NETTED,
    State.PAID: PayoutStatus.PAID,
    State.RETURNED: PayoutStatus.RETURNED,
}


class Move(NamedTuple):
    """An obligation's new state. ``obligation`` is its row as it was."""

    obligation: Row[Any]
    state: State
    reason: str | None = None
    run_id: str | None = None
    end_to_end_id: str | None = None
    execution_date: date | None = None


def record(batch: Batch) -> None:
    """Handle a batch of ``quarter-closes``: book what became payable. The money moves only after the recount."""
    found = {
        _id(event): (event, received.recorded_at)
        for received in reversed(batch.received)  # of two in one batch, the first stands
        if isinstance(event := received.event, QuarterClosed)
        and event.kind is not CloseKind.PROVISIONAL
        and event.payable_minor != 0
    }
    contradicted = {
        _id(event)
        for received in batch.received
        if isinstance(event := received.event, QuarterClosed)
        and _id(event) in found
        and _fingerprint(event) != _fingerprint(found[_id(event)][0])
    }
    for ids in chunks(list(found)):
        closes = {id_: found[id_][0] for id_ in ids}
        known = _known(batch.connection, ids)
        fresh = {id_: close for id_, close in closes.items() if id_ not in known}
        contradicted |= {id_ for id_, fingerprint in known.items() if fingerprint != _fingerprint(closes[id_])}
        if fresh:
            batch.connection.execute(insert(obligations), [_row(id_, close) for id_, close in fresh.items()])
            entries = [_journal(id_, close) for id_, close in fresh.items()]
            ledger.book(batch.connection, entries, max(found[id_][1] for id_ in fresh))
    for id_ in sorted(contradicted):
        batch.connection.execute(update(obligations).where(obligations.c.id == id_).values(contradicted=True))
    look_again(batch.connection, {close.partner_id for close, _ in found.values()})


def look_again(connection: Connection, partner_ids: Collection[str]) -> None:
    """Have the open obligations of these partners looked at again."""
    for ids in chunks(sorted(partner_ids)):
        affected = connection.execute(
            select(obligations.c.partner_id)
            .where(obligations.c.partner_id.in_(ids), obligations.c.state.in_(OPEN))
            .distinct()
        )
        rows = [{"partner_id": partner_id} for (partner_id,) in affected]
        if rows:
            connection.execute(insert(checks), rows)


def look_again_at_all(connection: Connection, reason: str | None = None) -> None:
    """Have every open obligation looked at again, or those held for this reason."""
    chosen = select(obligations.c.partner_id).where(obligations.c.state.in_(OPEN)).distinct()
    if reason is not None:
        chosen = chosen.where(obligations.c.reason == reason)
    connection.execute(insert(checks).from_select(["partner_id"], chosen))


def move(connection: Connection, moves: Sequence[Move], at: datetime) -> None:
    """Change states and write the events that tell of it, numbered for each obligation."""
    for some in chunks(moves):
        connection.execute(
            update(obligations)
            .where(obligations.c.id == bindparam("of"))
            .values(state=bindparam("to"), reason=bindparam("why"), sequence=bindparam("number"), since=at),
            [
                {"of": m.obligation.id, "to": m.state, "why": m.reason, "number": m.obligation.sequence + 1}
                for m in some
            ],
        )
        post(connection, outbox, PAYOUTS, [_event(m, at) for m in some], at)


def _event(moved: Move, at: datetime) -> PayoutStatusChanged:
    row = moved.obligation
    return PayoutStatusChanged(
        programme_id=row.programme_id,
        partner_id=row.partner_id,
        quarter=row.quarter,
        revision=row.revision,
        sequence=row.sequence + 1,
        status=_PUBLISHED[moved.state],
        reason=moved.reason,
        amount_minor=row.amount_minor,
        currency=row.currency,
        run_id=moved.run_id,
        end_to_end_id=moved.end_to_end_id,
        execution_date=moved.execution_date,
        occurred_at=at,
    )


def _known(connection: Connection, ids: Sequence[str]) -> Mapping[str, str]:
    rows = connection.execute(select(obligations.c.id, obligations.c.fingerprint).where(obligations.c.id.in_(ids)))
    return {row.id: row.fingerprint for row in rows}


def _id(close: QuarterClosed) -> str:
    return f"{close.programme_id}/{close.partner_id}/{close.quarter}/{close.revision}"


def _fingerprint(close: QuarterClosed) -> str:
    """Hash of the money in a close. Two closes of one revision must agree in it."""
    facts = (close.payable_minor, close.payable_total_minor, close.currency, close.terms_version)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _row(id_: str, close: QuarterClosed) -> dict[str, Any]:
    return {
        "id": id_,
        "programme_id": close.programme_id,
        "partner_id": close.partner_id,
        "quarter": close.quarter,
        "revision": close.revision,
        "units": close.units,
        "amount_minor": close.payable_minor,
        "total_minor": close.payable_total_minor,
        "currency": close.currency,
        "closed_at": close.closed_at,
        "fingerprint": _fingerprint(close),
        "contradicted": False,
        "state": State.RECORDED,
        "reason": None,
        "sequence": 0,
        "since": close.closed_at,
        "terms_version": close.terms_version,
    }


def _journal(id_: str, close: QuarterClosed) -> ledger.Journal:
    account = ledger.payable(close.partner_id)
    return ledger.transfer(f"obligation:{id_}", ledger.EXPENSE, account, close.payable_minor, close.currency)
