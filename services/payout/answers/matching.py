"""Which of our payments the bank speaks of. What fits none exactly is found and set aside, never guessed at.

An account may serve other business too. A line that names nothing of ours (neither an end-to-end id nor a run of our
form) is none of our business, and is only counted; unless it is money that came back from nobody knows what.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from services.payout.answers.codes import DUPLICATE
from services.payout.answers.messages import Answer, Line, Statement, StatusReport, Verdict
from services.payout.answers.pain002 import REJECTED
from services.payout.answers.rules import ACCEPTING, UNDECIDED, Fact, Unmatched
from services.payout.chunks import chunks
from services.payout.states import PaymentState
from services.payout.tables import payments

END_TO_END_ID = re.compile(r"\d{6}-[A-Z2-7]{9}")
RUN_ID = re.compile(r"RB-\d{8}-[A-Z0-9-]{1,20}")
_WITH_THE_BANK = (PaymentState.RELEASED, PaymentState.ACCEPTED, PaymentState.SETTLED, PaymentState.RETURNED)


class Place(NamedTuple):
    """A line of a statement."""

    statement: Statement
    line: Line


class Said(NamedTuple):
    """A fact about one of our payments. ``place`` says where a movement stands; a report has none."""

    end_to_end_id: str
    fact: Fact
    reason: str | None = None
    place: Place | None = None


class Finding(NamedTuple):
    """What somebody must look at."""

    reason: Unmatched
    end_to_end_id: str = ""
    msg_id: str = ""
    place: Place | None = None
    code: str | None = None
    """The status or the reason that the bank gave."""


class Match(NamedTuple):
    """What a file says of our payments, and what of it is for somebody to look at."""

    said: Sequence[Said]
    findings: Sequence[Finding]
    foreign: int
    """Lines that are none of our business."""


def match(connection: Connection, answer: Answer) -> Match:
    """Hold a file against runs and payments. Changes nothing."""
    found: list[Said | Finding | None] = []
    for report in answer.reports:
        found += _of_report(connection, report)
    for statement in answer.statements:
        found += of_lines(connection, [Place(statement, line) for line in statement.lines])
    return Match(
        [one for one in found if isinstance(one, Said)],
        [one for one in found if isinstance(one, Finding)],
        found.count(None),
    )


def of_lines(connection: Connection, places: Sequence[Place]) -> Iterator[Said | Finding | None]:
    """What lines say; None for one that is none of our business."""
    known = _payments(connection, {place.line.end_to_end_id for place in places})
    for place in places:
        line = place.line
        if line.end_to_end_id in known:
            yield _of_payment(known[line.end_to_end_id], place)
        elif END_TO_END_ID.fullmatch(line.end_to_end_id):
            yield Finding(Unmatched.UNKNOWN_PAYMENT, line.end_to_end_id, place=place)
        elif line.batch_id:
            yield from _of_batch(connection, place)
        elif line.returned and not line.end_to_end_id:
            yield Finding(Unmatched.UNKNOWN_RETURN, place=place, code=line.reason)
        else:
            yield None


def _of_payment(payment: Row[Any], place: Place) -> Said | Finding:
    line, id_ = place.line, payment.end_to_end_id
    wrong = None
    if line.problem:
        wrong = Unmatched(line.problem)
    elif line.currency != payment.currency:
        wrong = Unmatched.CURRENCY_DIFFERS
    elif line.amount_minor != payment.amount_minor:
        wrong = Unmatched.AMOUNT_DIFFERS
    elif not line.debit and not line.returned:
        wrong = Unmatched.CREDIT_UNEXPLAINED
    elif payment.state in (PaymentState.PREPARED, PaymentState.VOID):
        wrong = Unmatched.NOT_RELEASED
    if wrong:
        return Finding(wrong, id_, payment.msg_id, place, line.reason)
    return Said(id_, Fact.DEBITED if line.debit else Fact.RETURNED, line.reason, place)


def _of_batch(connection: Connection, place: Place) -> Iterator[Said | Finding | None]:
    """One movement for a whole run: it must be the sum of all that the bank has not refused."""
    line = place.line
    rows = connection.execute(select(payments).where(payments.c.msg_id == line.batch_id)).all()
    if not rows:
        yield Finding(Unmatched.UNKNOWN_PAYMENT, "", line.batch_id, place) if RUN_ID.fullmatch(line.batch_id) else None
        return
    made = [row for row in rows if row.state in _WITH_THE_BANK]
    wrong = None
    if line.problem:
        wrong = Unmatched(line.problem)
    elif not line.debit:
        wrong = Unmatched.UNKNOWN_RETURN if line.returned else Unmatched.CREDIT_UNEXPLAINED
    elif not made and any(row.state != PaymentState.REJECTED for row in rows):
        wrong = Unmatched.NOT_RELEASED
    elif {row.currency for row in made} != {line.currency} or sum(
        row.amount_minor for row in made
    ) != line.amount_minor:
        wrong = Unmatched.BATCH_DIFFERS
    if wrong:
        yield Finding(wrong, "", line.batch_id, place, line.reason)
        return
    for row in made:
        yield Said(row.end_to_end_id, Fact.DEBITED, None, place)


def _of_report(connection: Connection, report: StatusReport) -> Iterator[Said | Finding]:
    run = report.original_id
    rows = connection.execute(select(payments.c.end_to_end_id).where(payments.c.msg_id == run)).scalars()
    verdicts: dict[str, Verdict] = dict.fromkeys(rows, Verdict(""))
    if not verdicts:
        shown = run if RUN_ID.fullmatch(run) else ""
        yield Finding(Unmatched.UNKNOWN_PAYMENT, "", shown, code=report.verdict.reason)
        return
    whole = [report.verdict, *(batch.verdict for batch in report.batches if batch.batch_id == run)]
    for verdict in whole:
        if verdict.reason in DUPLICATE:
            yield Finding(Unmatched.DUPLICATE, "", run, code=verdict.reason)
        elif verdict.status not in UNDECIDED:
            verdicts = dict.fromkeys(verdicts, verdict)
    for id_, verdict in _single(report):
        if id_ not in verdicts:
            shown = id_ if END_TO_END_ID.fullmatch(id_) else ""
            yield Finding(Unmatched.UNKNOWN_PAYMENT, shown, run, code=verdict.reason)
        elif verdict.reason in DUPLICATE:
            yield Finding(Unmatched.DUPLICATE, id_, run, code=verdict.reason)
            verdicts[id_] = Verdict("")
        elif verdict.status not in UNDECIDED:
            verdicts[id_] = verdict
    unknown: Counter[str] = Counter()
    for id_, verdict in verdicts.items():
        if verdict.status == REJECTED:
            yield Said(id_, Fact.REJECTED, verdict.reason)
        elif verdict.status in ACCEPTING:
            yield Said(id_, Fact.ACCEPTED)
        elif verdict.status not in UNDECIDED:
            unknown[verdict.status] += 1
    for status in unknown:
        yield Finding(Unmatched.UNKNOWN_STATUS, "", run, code=status)


def _single(report: StatusReport) -> Iterator[tuple[str, Verdict]]:
    for batch in report.batches:
        for transaction in batch.transactions:
            yield transaction.end_to_end_id, transaction.verdict


def _payments(connection: Connection, ids: Iterable[str]) -> Mapping[str, Row[Any]]:
    found: dict[str, Row[Any]] = {}
    for some in chunks(sorted(id_ for id_ in ids if id_)):
        rows = connection.execute(select(payments).where(payments.c.end_to_end_id.in_(some)))
        found |= {row.end_to_end_id: row for row in rows}
    return found
