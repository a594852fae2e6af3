"""The bank: its answers are read, and what it says, or does not say, is shown."""

from __future__ import annotations

from typing import Any

from deploy.runtime.errors import StaffelError
from services.kit.office.protocol import Actor, Arguments, Operation, Role
from services.payout.answers import gaps, metrics, unmatched
from services.payout.answers.apply import take, told
from services.payout.answers.messages import Refused
from services.payout.answers.overview import silence, standings
from services.payout.database import snapshot
from services.payout.office.means import Means, text

_HIDDEN = ("key", "account", "cleared_at", "because")


class File(Arguments):
    """A file of the bank, and where it came from."""

    name: str
    content: bytes


class Cleared(Arguments):
    """What was looked into: the number of something unmatched, or the statement that shows a gap; what was found."""

    because: str
    number: int = 0
    statement: str = ""


def take_in(means: Means, _actor: Actor, said: File) -> dict[str, Any]:
    """Read an answer of the bank, as from the folder. The same bytes again change nothing."""
    means.demand_certainty()
    try:
        outcome = take(means.engine, means.vault, said.content, said.name[:200], means.now())
    except Refused as refused:
        raise StaffelError(str(refused), code="unreadable") from None
    metrics.count(outcome)
    return told(outcome)


def standing(means: Means, _actor: Actor, _said: Arguments) -> dict[str, Any]:
    """Each run that the bank was given, what it is silent about, what fits nothing, and gaps between statements."""
    now, zone = means.now(), means.programme.zone
    with snapshot(means.engine) as connection:
        open_ones = [dict(row._mapping) for row in unmatched.open_ones(connection)]
        return {
            "runs": [one._asdict() | {"payments": dict(one.payments)} for one in standings(connection, zone, now)],
            "silence": silence(connection, zone, now, means.settings.bank_silence_hours)._asdict(),
            "unmatched": [{name: value for name, value in row.items() if name not in _HIDDEN} for row in open_ones],
            "gaps": [gap._asdict() for gap in gaps.gaps(connection)],
        }


def clear(means: Means, _actor: Actor, said: Cleared) -> None:
    """Say that something unmatched, or a gap, was looked into. Moves no money."""
    because = text(said.because)
    if said.number:
        unmatched.clear(means.engine, said.number, because, means.now())
    else:
        gaps.clear(means.engine, said.statement, because, means.now())


OPERATIONS = (
    Operation("bank.take", File, take_in, staff=Role.OPERATOR),
    Operation("bank.standing", Arguments, standing, staff=Role.VIEWER),
    Operation("bank.clear", Cleared, clear, staff=Role.OPERATOR),
)
