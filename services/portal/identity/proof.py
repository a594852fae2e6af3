"""Showing a second factor: which somebody has, what he is asked, and whether his answer is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Row, delete, select

from services.portal.identity.codes import TOTP, Codes, Purpose
from services.portal.identity.pace import Limit
from services.portal.identity.passkeys import PASSKEY, Passkeys
from services.portal.identity.tables import factors, single_codes

TRIES = 5
PAUSE = timedelta(minutes=15)


class Outcome(StrEnum):
    """How showing a second factor went."""

    SHOWN = "shown"
    WRONG = "wrong"
    PAUSE = "pause"
    """Too many tries; nothing was looked at."""


class Question(NamedTuple):
    """What somebody is asked to show."""

    has_app: bool
    passkey: str
    """What the browser is asked, as JSON; empty if he has no passkey, or none can be used here."""
    asked: str
    """The same, signed for the form."""
    recovery: bool
    """Whether a recovery code will do, too."""


class Means(Protocol):
    """What checks second factors."""

    @property
    def codes(self) -> Codes: ...

    @property
    def passkeys(self) -> Passkeys: ...


def limit(owner: str) -> Limit:
    """How often somebody may answer."""
    return Limit("second factor", owner, TRIES, PAUSE)


def listed(connection: Connection, owner: str) -> Sequence[Row[Any]]:
    """Somebody's second factors, the oldest first."""
    mine = select(factors).where(factors.c.owner == owner)
    return connection.execute(mine.order_by(factors.c.created_at, factors.c.factor_id)).all()


def question(means: Means, connection: Connection, owner: str, session_id: str) -> Question:
    """What he is asked in this session."""
    have = {row.kind for row in listed(connection, owner)}
    passkey = asked = ""
    if PASSKEY in have and means.passkeys.work:
        passkey, asked = means.passkeys.ask(connection, owner, session_id)
    return Question(TOTP in have, passkey, asked, means.codes.left(connection, owner) > 0)


def check(means: Means, connection: Connection, owner: str, session_id: str, form: Mapping[str, str]) -> Outcome:
    """Whether the form shows one of his second factors: a passkey's answer, an app's code, or a recovery code."""
    if form.get("answer"):
        shown = means.passkeys.check(connection, owner, session_id, form.get("asked", ""), form["answer"])
    else:
        code = form.get("code", "")
        shown = means.codes.check(connection, owner, code) or means.codes.spend(
            connection, owner, Purpose.RECOVERY, code
        )
    return Outcome.SHOWN if shown else Outcome.WRONG


def remove(connection: Connection, owner: str, factor_id: str) -> str:
    """Forget one of somebody's second factors, with the last one his recovery codes too. Answers what kind it was."""
    one = (factors.c.owner == owner, factors.c.factor_id == factor_id)
    kind = connection.execute(select(factors.c.kind).where(*one)).scalar_one_or_none()
    if kind is None:
        return ""
    connection.execute(delete(factors).where(*one))
    if not listed(connection, owner):
        connection.execute(delete(single_codes).where(single_codes.c.owner == owner))
    return str(kind)
