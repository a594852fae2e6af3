"""What the operations of the office work with, and what they ask of those who act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from deploy.runtime.clock import Clock
from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import Settings
from services.kit.office.protocol import Actor
from services.payout.release import RESERVED
from services.payout.vault import Vault
from streams.rules.terms import Programme

_TEXT_MAX = 500


@dataclass(frozen=True, slots=True)
class Means:
    """What the process holds open."""

    settings: Settings
    engine: Engine
    vault: Vault
    programme: Programme
    clock: Clock
    doubt: Callable[[], str | None] = lambda: None
    """Why this database may not be the right one: then nothing is released, and no answer of the bank is read."""
    hurry: Callable[[], None] = lambda: None
    """Has the service look around soon: write a released run's file, say."""

    def now(self) -> datetime:
        """This instant, in programme time."""
        return self.clock.now()

    def demand_certainty(self) -> None:
        """Raise StaffelError if this database may not be the right one."""
        doubt = self.doubt()
        if doubt:
            raise StaffelError(doubt, code="in-doubt")


def person(actor: Actor) -> str:
    """The name of the person who acts. Raises StaffelError if it is nobody's, or stands for payout itself."""
    name = " ".join(actor.by.split())
    if not name or name.lower() in RESERVED:
        raise StaffelError("whoever does this must have a name of his own", code="no-name")
    return name


def text(said: str, *, needed: bool = True) -> str:
    """A sentence that is kept with what is done. Raises StaffelError if it is empty, too long or not printable."""
    words = " ".join(said.split())
    if (needed and not words) or len(words) > _TEXT_MAX or not words.isprintable():
        raise StaffelError(f"the text must be 1 to {_TEXT_MAX} printable characters", code="bad-text")
    return words
