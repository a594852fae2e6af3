"""Holds: what stops payments, and what people decide about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deploy.runtime.errors import StaffelError
from schemas.values import PARTNER_ID
from services.kit.office.protocol import Actor, Arguments, Operation, Role
from services.payout import holds, holds_view
from services.payout.database import snapshot
from services.payout.office.means import Means, person, text


class Hold(Arguments):
    """Which obligation."""

    obligation: str


class Lift(Hold):
    """Which one to let go, and what was looked at."""

    note: str


class Block(Arguments):
    """Whom, and why."""

    partner_id: str
    reason: str = ""


def listed(means: Means, _actor: Actor, _said: Arguments) -> list[dict[str, Any]]:
    """All that is held or waits, the longest one first."""
    with snapshot(means.engine) as connection:
        return holds_view.listed(connection)


def described(means: Means, _actor: Actor, said: Hold) -> dict[str, Any]:
    """All that bears on one."""
    with snapshot(means.engine) as connection:
        return holds_view.described(connection, said.obligation)


def lift(means: Means, actor: Actor, said: Lift) -> str:
    """Let an unusual one go; answers the code that it was held for."""
    note, name = text(said.note), person(actor)
    with means.engine.begin() as connection:
        return holds.lift(connection, said.obligation, note, name, means.now())


def block(means: Means, actor: Actor, said: Block) -> bool:
    """Pay a partner nothing. Answers False if he was blocked before."""
    return _decide(means, actor, said, holds.block, text(said.reason))


def unblock(means: Means, actor: Actor, said: Block) -> bool:
    """Let him be paid again. Answers False if he was not blocked."""
    return _decide(means, actor, said, holds.unblock, text(said.reason, needed=False))


OPERATIONS = (
    Operation("holds.list", Arguments, listed, staff=Role.VIEWER),
    Operation("holds.describe", Hold, described, staff=Role.VIEWER),
    Operation("holds.lift", Lift, lift, staff=Role.OPERATOR),
    Operation("holds.block", Block, block, staff=Role.OPERATOR),
    Operation("holds.unblock", Block, unblock, staff=Role.OPERATOR),
)


def _decide(means: Means, actor: Actor, said: Block, decide: Callable[..., bool], reason: str) -> bool:
    if not PARTNER_ID.fullmatch(said.partner_id):
        raise StaffelError("this is not a partner's id", code="bad-partner-id")
    with means.engine.begin() as connection:
        return decide(connection, said.partner_id, reason, person(actor), means.now())
