"""One file of the bank, applied in one transaction: all that follows from it, or nothing."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, insert, select

from services.kit.database import upsert
from services.payout.answers import effects
from services.payout.answers.effects import Told
from services.payout.answers.matching import Finding, Match, Place, Said, match
from services.payout.answers.messages import Answer
from services.payout.answers.reading import read
from services.payout.answers.rules import Effect, Mention, Unmatched, effect, which
from services.payout.answers.unmatched import close, explained_batches, note, refused_and_debited
from services.payout.chunks import chunks
from services.payout.states import PaymentState
from services.payout.tables import bank_files, bank_mentions, bank_statements, payments
from services.payout.vault import Vault

_BECOMES = {
    Effect.ACCEPT: PaymentState.ACCEPTED,
    Effect.REJECT: PaymentState.REJECTED,
    Effect.SETTLE: PaymentState.SETTLED,
    Effect.SETTLE_REJECTED: PaymentState.SETTLED,
    Effect.RETURN: PaymentState.RETURNED,
    Effect.RETURN_REJECTED: PaymentState.RETURNED,
}


class Outcome(NamedTuple):
    """What a file brought."""

    kind: str
    message_id: str
    repeated: bool
    """It was read before: nothing was done."""
    payments: Counter[tuple[PaymentState, str | None]]
    """How many payments came into which state, and for which reason of the bank."""
    unmatched: int
    """What somebody must look at, and did not know of before."""
    foreign: int
    """Lines of other business on the same account."""


def take(engine: Engine, vault: Vault, content: bytes, name: str, at: datetime, dry_run: bool = False) -> Outcome:
    """Apply a file from the bank. The same bytes again do nothing. Raises Refused if it can't be read.

    ``name`` is where it came from, for whoever looks at it later.
    """
    answer = read(content)
    sha256 = hashlib.sha256(content).hexdigest()
    with engine.connect() as connection, connection.begin() as transaction:
        fresh = connection.execute(
            upsert(bank_files, engine)
            .values(
                sha256=sha256,
                name=name.encode("utf-8", "replace").decode(),  # as a file system may have it, it may be no text
                kind=answer.kind,
                message_id=answer.message_id,
                sealed=vault.seal(content, f"bank/{sha256}"),
                read_at=at,
            )
            .on_conflict_do_nothing()
            .returning(bank_files.c.sha256)
        ).first()
        if fresh is None:
            return Outcome(answer.kind, answer.message_id, True, Counter(), 0, 0)
        outcome = _Application(connection, answer, sha256, at).run()
        if dry_run:
            transaction.rollback()
    return outcome


def told(outcome: Outcome) -> dict[str, Any]:
    """An outcome for a log or for machines. Names no partner."""
    became: Counter[str] = Counter()
    for (state, _), number in outcome.payments.items():
        became[state] += number
    return {
        "kind": outcome.kind,
        "message": outcome.message_id,
        "repeated": outcome.repeated,
        "payments": dict(became),
        "unmatched": outcome.unmatched,
        "foreign": outcome.foreign,
    }


class _Application:
    """A file while it is applied."""

    def __init__(self, connection: Connection, answer: Answer, sha256: str, at: datetime) -> None:
        self._connection, self._answer, self._sha256, self._at = connection, answer, sha256, at
        self._became: Counter[tuple[PaymentState, str | None]] = Counter()
        self._runs: set[str] = set()
        self._findings: list[Finding] = []

    def run(self) -> Outcome:
        found = match(self._connection, self._answer)
        self._apply(found)
        if self._answer.reports:  # what the bank refused is not in the sum of a batch
            self._apply(explained_batches(self._connection, self._answer, self._at))
        if any(state in (PaymentState.REJECTED, PaymentState.RETURNED) for state, _ in self._became):
            self._settle_after_all()
        for msg_id in sorted(self._runs):
            effects.update_run(self._connection, msg_id)
        self._keep_statements()
        unmatched = note(self._connection, self._answer, self._findings, self._sha256, self._at)
        answer = self._answer
        return Outcome(answer.kind, answer.message_id, False, self._became, unmatched, found.foreign)

    def _apply(self, found: Match) -> None:
        self._findings += found.findings
        for said in _rounds(found.said):
            for some in chunks(said):
                self._apply_round(some)

    def _apply_round(self, said: Sequence[Said]) -> None:
        """Apply facts, at most one of each payment."""
        rows = self._connection.execute(
            select(payments)
            .where(payments.c.end_to_end_id.in_([one.end_to_end_id for one in said]))
            .order_by(payments.c.partner_id)
            .with_for_update()
        ).all()
        by_id = {one.end_to_end_id: one for one in said}
        fresh = self._new(by_id)
        told: defaultdict[Effect, list[Told]] = defaultdict(list)
        for row in rows:
            said_of = by_id[row.end_to_end_id]
            if row.end_to_end_id not in fresh:
                continue
            what, to_look_at = effect(PaymentState(row.state), said_of.fact)
            if to_look_at:
                self._findings.append(Finding(to_look_at, row.end_to_end_id, row.msg_id, said_of.place, said_of.reason))
            if what is not Effect.NOTHING:
                told[what].append(Told(row, said_of.reason, _day(said_of.place)))
        for one in self._settle_rejected(told.pop(Effect.SETTLE_REJECTED, [])):
            place = by_id[one.id].place
            self._findings.append(Finding(Unmatched.DEBITED_AFTER_RETRY, one.id, one.payment.msg_id, place))
        for what, some in told.items():
            self._do(what, some)

    def _do(self, what: Effect, told: Sequence[Told]) -> None:
        match what:
            case Effect.ACCEPT:
                effects.accept(self._connection, told)
            case Effect.REJECT:
                effects.reject(self._connection, told, self._at)
            case Effect.SETTLE:
                effects.settle(self._connection, told, self._at)
            case Effect.SETTLE_REJECTED:
                effects.settle_rejected(self._connection, told, self._at)
            case Effect.DATE:
                effects.date_debit(self._connection, told)
            case Effect.RETURN:
                effects.give_back(self._connection, told, self._at)
            case Effect.RETURN_REJECTED:
                effects.give_back_rejected(self._connection, told, self._at)
        if what in _BECOMES:
            self._became.update((_BECOMES[what], one.reason) for one in told)
            self._runs |= {one.payment.msg_id for one in told}

    def _settle_rejected(self, told: Sequence[Told]) -> Sequence[Told]:
        """Settle these, one after the other: two may cover the same. Answers those of which it can't be."""
        again = []
        for one in told:
            if effects.paid_again(self._connection, one.id):
                again.append(one)
            else:
                self._do(Effect.SETTLE_REJECTED, [one])
        return again

    def _settle_after_all(self) -> None:
        """A payment was debited after it had been refused and made again, and the second one has failed now.

        The first one paid, then; or a third would be made.
        """
        rows = refused_and_debited(self._connection)
        told = [Told(row, None, row.valued_on or row.booked_on) for row in rows]
        still = {one.id for one in self._settle_rejected(told)}
        for row in rows:
            if row.end_to_end_id not in still:
                close(self._connection, row.id, "the payment that was made instead has failed", self._at)

    def _new(self, said: dict[str, Said]) -> set[str]:
        """Payments of which something new is said. Keeps where each movement was mentioned."""
        mentioned = {id_: one.place for id_, one in said.items() if one.place}
        known: defaultdict[tuple[str, bool], list[Mention]] = defaultdict(list)
        if mentioned:
            rows = self._connection.execute(select(bank_mentions).where(bank_mentions.c.end_to_end_id.in_(mentioned)))
            for row in rows:
                known[row.end_to_end_id, row.debit].append(_mention_of_row(row))
        fresh, new_rows = set(said) - set(mentioned), []
        for id_, place in mentioned.items():
            before = known[id_, place.line.debit]
            mention = _mention(place)
            if any(one[:4] == mention[:4] for one in before):
                continue
            times = which(before, mention)
            new_rows.append(mention._replace(times=times)._asdict() | {"end_to_end_id": id_, "debit": place.line.debit})
            if times > 1 and times > max((one.times for one in before), default=0):
                self._findings.append(Finding(Unmatched.TWICE, id_, place=place, code=place.line.reason))
            elif not before:
                fresh.add(id_)
        if new_rows:
            self._connection.execute(insert(bank_mentions), new_rows)
        return fresh

    def _keep_statements(self) -> None:
        """Keep what a gap between statements is seen by. A statement told anew counts as last told."""
        for statement in self._answer.statements:
            if statement.kind != "camt.053":
                continue
            new = {
                "sequence": statement.sequence,
                "day": statement.day,
                "opening_minor": statement.opening_minor,
                "closing_minor": statement.closing_minor,
                "net_minor": statement.net_minor,
                "currency": statement.currency,
                "read_at": self._at,
            }
            self._connection.execute(
                upsert(bank_statements, self._connection.engine)
                .values(account=statement.account, statement_id=statement.statement_id, **new)
                .on_conflict_do_update(index_elements=["account", "statement_id"], set_=new)
            )


def _rounds(said: Sequence[Said]) -> Iterator[list[Said]]:
    """The facts in their order, in portions with at most one of each payment."""
    rounds: list[list[Said]] = []
    seen: Counter[str] = Counter()
    for one in said:
        number = seen[one.end_to_end_id]
        seen[one.end_to_end_id] += 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(one)
    return iter(rounds)


def _day(place: Place | None) -> Any:
    if place is None:
        return None
    return place.line.valued_on or place.line.booked_on or place.statement.day


def _mention(place: Place) -> Mention:
    statement, line = place
    return Mention(
        statement.kind, statement.account, statement.statement_id, line.position, line.reference, line.booked_on
    )


def _mention_of_row(row: Row[Any]) -> Mention:
    return Mention(row.kind, row.account, row.statement_id, row.position, row.reference, row.booked_on, row.times)
