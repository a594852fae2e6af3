"""Payment runs: looked at, prepared, approved, released, given up. Four eyes on every payment file.

Who acts is the person who has signed in, and by that name the rules of ``release`` count persons.
"""

from __future__ import annotations

from typing import Any

from services.kit.office.protocol import Actor, Arguments, Operation, Role
from services.payout import files, metrics, release, runs, runs_view
from services.payout.database import snapshot
from services.payout.office.means import Means, person, text
from services.payout.runs import Payer
from services.payout.service import debtor, limits


class Run(Arguments):
    """Which run."""

    run: str


class Void(Run):
    """Which one to give up, and why."""

    reason: str


def listed(means: Means, _actor: Actor, _said: Arguments) -> dict[str, Any]:
    """Every run, the latest first, and what needs whose eyes."""
    rules = limits(means.settings)
    with snapshot(means.engine) as connection:
        return {"runs": runs_view.listed(connection), "limits": rules._asdict()}


def shown(means: Means, _actor: Actor, said: Run) -> dict[str, Any]:
    """A run with its approvals and its payments; accounts masked."""
    with snapshot(means.engine) as connection:
        return runs_view.described(connection, said.run, limits(means.settings))


def prepare(means: Means, actor: Actor, _said: Arguments) -> list[dict[str, Any]]:
    """Prepare runs of all that is payable now and in no run yet."""
    means.demand_certainty()
    settings, now = means.settings, means.now()
    payer = Payer(debtor(settings), settings.batch_booking)
    day = now.astimezone(means.programme.zone).date()
    made = runs.prepare(means.engine, means.vault, means.programme, payer, day, now, person(actor))
    return [one._asdict() for one in made]


def approve(means: Means, actor: Actor, said: Run) -> int:
    """Approve a run's file; answers how many more approvals it needs."""
    return release.approve(means.engine, said.run, person(actor), limits(means.settings), means.now())


def pay(means: Means, actor: Actor, said: Run) -> dict[str, Any]:
    """Release an approved run. The service writes its file at its next look."""
    means.demand_certainty()
    rules, now = limits(means.settings), means.now()
    made = release.release(means.engine, means.vault, means.programme, said.run, person(actor), rules, now)
    metrics.RUNS.inc()
    metrics.RUN_AMOUNT.set(made.total_minor / 100)
    metrics.ATTEMPTS.labels("released", "").inc(made.payments)
    means.hurry()
    return made._asdict()


def void(means: Means, actor: Actor, said: Void) -> None:
    """Give up a run that is not released."""
    runs.give_up(means.engine, said.run, text(said.reason), person(actor), means.now())


def file(means: Means, _actor: Actor, said: Run) -> dict[str, Any]:
    """A run's file, the same bytes each time. It holds names and accounts."""
    with snapshot(means.engine) as connection:
        kind = runs_view.kind_of(connection, said.run)
        return {"name": files.name_of(said.run, kind), "content": files.content_of(connection, means.vault, said.run)}


OPERATIONS = (
    Operation("runs.list", Arguments, listed, staff=Role.VIEWER),
    Operation("runs.show", Run, shown, staff=Role.VIEWER),
    Operation("runs.prepare", Arguments, prepare, staff=Role.OPERATOR),
    Operation("runs.approve", Run, approve, staff=Role.APPROVER),
    Operation("runs.release", Run, pay, staff=Role.APPROVER),
    Operation("runs.void", Void, void, staff=Role.OPERATOR),
    Operation("runs.file", Run, file, staff=Role.APPROVER),
)
