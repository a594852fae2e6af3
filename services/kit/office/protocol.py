"""What is said between the portal and an office: who acts, what is asked, and how both are sealed.

A call is one POST to ``/<office>/<operation>``. Its body is sealed under a key that both sides know: so it was made by
the portal, for this office and this operation, nobody has changed it, and nobody on the way reads an IBAN in it. Within
the seal stand the time and a number used once, which the office compares with what it has seen. The answer is sealed to
that number, so that it answers this call and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from deploy.runtime.settings import Settings, secret
from services.kit.sealing import Sealer

WINDOW_SECONDS = 60.0
"""How far a call's time may lie from the office's, and for how long numbers used once are remembered."""
BODY_BYTES_MAX = 48_000_000
"""Of a call or an answer: the largest of the bank's files, as text, and some more."""


class Role(StrEnum):
    """What somebody may do. The portal vouches for it, the office asks for it again."""

    PARTNER = "partner"
    """A partner, for himself alone."""
    CONFIRMED = "confirmed"
    """A partner who has shown a second factor just now."""
    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"


_PARTNERS = (Role.PARTNER, Role.CONFIRMED)
_STAFF = (Role.VIEWER, Role.OPERATOR, Role.APPROVER)
"""Each may do what those before it may."""


class Actor(msgspec.Struct, frozen=True):
    """Who acts. ``by`` is his name, which the office keeps with what it does; staff has no partner id."""

    role: Role
    by: str
    partner_id: str = ""


class Arguments(msgspec.Struct, forbid_unknown_fields=True):
    """What an operation is told, one class for each kind. On its own: nothing."""

    def __repr__(self) -> str:
        return type(self).__name__  # so that no traceback tells what was asked


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of an office's table: what it does, with which arguments, and the least role that may have it done.

    ``do`` is called with what the office works with, the actor, and the arguments; what it returns becomes JSON.
    """

    name: str
    arguments: type[Arguments]
    do: Callable[..., Any]
    staff: Role | None = None
    partner: Role | None = None

    def admits(self, role: Role) -> bool:
        """Whether somebody of this role may have it done."""
        for ranks, least in ((_PARTNERS, self.partner), (_STAFF, self.staff)):
            if role in ranks:
                return least is not None and ranks.index(role) >= ranks.index(least)
        return False


class Call(msgspec.Struct, frozen=True):
    """What is sealed on the way there. ``at`` is real time, in seconds since 1970."""

    at: float
    number: str
    actor: Actor
    arguments: msgspec.Raw


class Refusal(msgspec.Struct, frozen=True):
    """Why an operation was not done. The code is for programs; the message repeats no bank details."""

    code: str
    message: str


class Answer(msgspec.Struct, frozen=True):
    """What is sealed on the way back."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    refused: Refusal | None = None


class Seal:
    """Seals and opens what goes between the portal and one office."""

    def __init__(self, settings: Settings, office: str) -> None:
        self._sealer, self._office = Sealer(secret(settings, "office_secret"), "staffel office v1"), office

    def call(self, operation: str, content: bytes) -> bytes:
        """Seal a call."""
        return self._sealer.seal(content, f"{self._office}/{operation}/call")

    def open_call(self, operation: str, sealed: bytes) -> bytes:
        """Open it. Raises SealBroken."""
        return self._sealer.open(sealed, f"{self._office}/{operation}/call")

    def answer(self, operation: str, number: str, content: bytes) -> bytes:
        """Seal the answer to a call."""
        return self._sealer.seal(content, f"{self._office}/{operation}/answer/{number}")

    def open_answer(self, operation: str, number: str, sealed: bytes) -> bytes:
        """Open it. Raises SealBroken."""
        return self._sealer.open(sealed, f"{self._office}/{operation}/answer/{number}")
