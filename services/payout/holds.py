"""What stops money that is owed, who may let it go, and what people decided about it.

``verdict`` judges one obligation by what is known of its partner; ``recount`` has judged the quarter before. The words
that a partner reads for each code are the portal's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, insert, select

from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import Settings
from schemas.values import Quarter
from services.kit.database import upsert
from services.payout import anomalies, bank_details, lines
from services.payout.anomalies import Rules, Seen
from services.payout.bank_details import Account
from services.payout.chunks import chunks
from services.payout.obligations import look_again
from services.payout.states import State
from services.payout.tables import checks, hold_lifts, obligations, partner_blocks
from streams.rules.terms import Programme

NO_BANK_DETAILS = "no-bank-details"
BANK_DETAILS_NEW = "bank-details-new"
BANK_DETAILS_INVALID = "bank-details-invalid"
PARTNER_BLOCKED = "partner-blocked"
Verdict = tuple[State, str | None]


class Ends(StrEnum):
    """Who or what ends a hold."""

    ITSELF = "by itself"
    DETAILS = "bank-details import"
    UNBLOCK = "holds unblock"
    LIFT = "holds lift"
    REPAIR = "when the fault is mended"


class Hold(NamedTuple):
    """Why money is stopped, for those who work with it, and what ends it."""

    why: str
    ends: Ends


HOLDS = {
    NO_BANK_DETAILS: Hold("the partner gave no bank details", Ends.DETAILS),
    BANK_DETAILS_INVALID: Hold("a bank sent money back from his account: he must give another", Ends.DETAILS),
    BANK_DETAILS_NEW: Hold("his bank details were changed only just", Ends.ITSELF),
    PARTNER_BLOCKED: Hold("somebody has blocked all payments to him", Ends.UNBLOCK),
    anomalies.UNUSUAL_UNITS: Hold("he sold far more than in an average quarter", Ends.LIFT),
    anomalies.LAST_DAYS: Hold("only the quarter's last two days lifted him to his tier", Ends.LIFT),
    "closed-too-early": Hold("the stream closed the quarter before its time by our clock", Ends.ITSELF),
    "recount-differs": Hold("the sale lines add up to another rebate than the stream closed", Ends.REPAIR),
    "close-missing": Hold("a close before this one has not arrived", Ends.REPAIR),
    "contradicting-closes": Hold("the same revision was closed twice with different money", Ends.REPAIR),
    "not-euro": Hold("the close is not in euros", Ends.REPAIR),
    "unknown-programme": Hold("the close is of another programme than ours", Ends.REPAIR),
}


class Known(NamedTuple):
    """What is known of some partners, besides their closes."""

    accounts: Mapping[str, Account]
    blocked: AbstractSet[str]
    seen: Mapping[tuple[str, str], Seen]
    """By partner and quarter."""
    lifted: AbstractSet[tuple[str, str, str]]
    """Obligation, code and facts of each hold that somebody lifted."""


def rules(settings: Settings) -> Rules:
    """What counts as unusual here."""
    return Rules(settings.anomaly_factor, settings.anomaly_last_days_percent)


def look_up(connection: Connection, rows: Sequence[Row[Any]], units: Mapping[tuple[str, str], int]) -> Known:
    """What is known of the partners of these obligations. ``units`` are all their quarters' units, counted anew."""
    partner_ids = sorted({row.partner_id for row in rows})
    return Known(
        bank_details.accounts(connection, partner_ids),
        blocked(connection, partner_ids),
        _seen(connection, {(row.partner_id, row.quarter) for row in rows}, units),
        _lifted(connection, [row.id for row in rows]),
    )


def verdict(programme: Programme, limits: Rules, known: Known, row: Row[Any], today: date) -> Verdict:
    """Whether an obligation above zero may be paid, as far as its partner and what he sold are concerned."""
    if row.partner_id in known.blocked:
        return State.HELD, PARTNER_BLOCKED
    account = known.accounts.get(row.partner_id)
    if account is None:
        return State.WAITING, NO_BANK_DETAILS
    if account.invalid:
        return State.WAITING, BANK_DETAILS_INVALID
    seen = known.seen[row.partner_id, row.quarter]
    for code in anomalies.found(limits, programme.terms_for(Quarter.parse(row.quarter)), seen):
        if (row.id, code, seen.facts) not in known.lifted:
            return State.HELD, code
    if today < account.usable_on:
        return State.HELD, BANK_DETAILS_NEW
    return State.PAYABLE, None


def may_receive(connection: Connection, partner_ids: Sequence[str], today: date) -> set[str]:
    """Which of these partners money may go to now. Whoever pays asks again, in the transaction that pays."""
    stopped = blocked(connection, partner_ids)
    return {
        partner_id
        for partner_id, account in bank_details.accounts(connection, partner_ids).items()
        if partner_id not in stopped and not account.invalid and account.usable_on <= today
    }


def look_again_at_due(connection: Connection, today: date) -> None:
    """Have the obligations looked at again whose bank details are new no longer."""
    waiting = select(obligations.c.partner_id).where(
        obligations.c.state == State.HELD, obligations.c.reason == BANK_DETAILS_NEW
    )
    partner_ids = list(connection.execute(waiting.distinct()).scalars())
    for ids in chunks(partner_ids):
        due = [id_ for id_, account in bank_details.accounts(connection, ids).items() if account.usable_on <= today]
        if due:
            connection.execute(insert(checks), [{"partner_id": partner_id} for partner_id in due])


def blocked(connection: Connection, partner_ids: Sequence[str]) -> set[str]:
    """Which of these partners are blocked."""
    latest = (
        select(func.max(partner_blocks.c.id))
        .where(partner_blocks.c.partner_id.in_(partner_ids))
        .group_by(partner_blocks.c.partner_id)
    )
    chosen = select(partner_blocks.c.partner_id).where(partner_blocks.c.id.in_(latest), partner_blocks.c.blocked)
    return set(connection.execute(chosen).scalars())


def block(connection: Connection, partner_id: str, reason: str, by: str, at: datetime) -> bool:
    """Pay a partner nothing until somebody unblocks him. Answers False if he was blocked before."""
    return _decide(connection, partner_id, True, reason, by, at)


def unblock(connection: Connection, partner_id: str, reason: str, by: str, at: datetime) -> bool:
    """Let a blocked partner be paid again. Answers False if he was not blocked."""
    return _decide(connection, partner_id, False, reason, by, at)


def lift(connection: Connection, obligation_id: str, note: str, by: str, at: datetime) -> str:
    """Let an obligation go that is held as unusual; answers the code it was held for.

    It counts while what was seen stays the same. Raises StaffelError if there is nothing to be lifted.
    """
    row = connection.execute(select(obligations).where(obligations.c.id == obligation_id).with_for_update()).first()
    if row is None:
        raise StaffelError(
            f"there is no obligation {obligation_id!r}", "see ./staffel holds list", code="unknown-obligation"
        )
    if row.state != State.HELD or row.reason not in anomalies.CODES:
        ends = HOLDS[row.reason].ends if row.reason in HOLDS else ""
        raise StaffelError(
            f"{obligation_id} is {row.state}" + (f" ({row.reason})" if row.reason else "") + ": nothing to be lifted",
            f"this one ends: {ends}" if ends else "",
            code="not-liftable",
        )
    facts = seen_of(connection, row).facts
    connection.execute(
        upsert(hold_lifts, connection.engine)
        .values(obligation_id=obligation_id, reason=row.reason, facts=facts, note=note, lifted_by=by, at=at)
        .on_conflict_do_nothing()
    )
    look_again(connection, [row.partner_id])
    return str(row.reason)


def seen_of(connection: Connection, row: Row[Any]) -> Seen:
    """What the rules for the unusual see of an obligation's quarter."""
    place = row.partner_id, row.quarter
    return _seen(connection, {place}, lines.units(connection, [row.partner_id]))[place]


def _decide(connection: Connection, partner_id: str, to_be: bool, reason: str, by: str, at: datetime) -> bool:
    if (partner_id in blocked(connection, [partner_id])) is to_be:
        return False
    connection.execute(
        insert(partner_blocks).values(partner_id=partner_id, blocked=to_be, reason=reason, decided_by=by, at=at)
    )
    look_again(connection, [partner_id])
    return True


def _seen(
    connection: Connection, places: Iterable[tuple[str, str]], units: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], Seen]:
    sold: dict[str, list[tuple[str, int]]] = {}
    for (partner_id, quarter), number in sorted(units.items()):
        if number > 0:
            sold.setdefault(partner_id, []).append((quarter, number))
    by_quarter: dict[str, list[str]] = {}
    for partner_id, quarter in sorted(places):
        by_quarter.setdefault(quarter, []).append(partner_id)
    found = {}
    for quarter, partner_ids in by_quarter.items():
        first = anomalies.first_of_last_days(Quarter.parse(quarter))
        last_days = lines.units_since(connection, partner_ids, quarter, first)
        for partner_id in partner_ids:
            earlier = tuple(number for when, number in sold.get(partner_id, ()) if when < quarter)
            found[partner_id, quarter] = Seen(
                units.get((partner_id, quarter), 0), last_days.get(partner_id, 0), earlier
            )
    return found


def _lifted(connection: Connection, obligation_ids: Sequence[str]) -> set[tuple[str, str, str]]:
    found: set[tuple[str, str, str]] = set()
    for ids in chunks(obligation_ids):
        rows = connection.execute(select(hold_lifts).where(hold_lifts.c.obligation_id.in_(ids)))
        found |= {(row.obligation_id, row.reason, row.facts) for row in rows}
    return found
