"""One-time codes of an app (TOTP, RFC 6238) and codes on paper that work once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import timedelta
from enum import StrEnum

import pyotp
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings, secret
from services.kit.sealing import Sealer
from services.portal.identity.tables import factors, single_codes

TOTP = "totp"
RECOVERY_CODES = 10
ACTIVATION_LIVES = timedelta(days=14)
_STEP_SECONDS = 30
_LATE_STEPS = 1
"""So many steps may the clock of a telephone be off, either way."""
_CODE_BYTES = 10


class Purpose(StrEnum):
    """What a code on paper is for."""

    ACTIVATION = "activation"
    """Handed over by the vendor, so that a partner may set up his first second factor."""
    RECOVERY = "recovery"
    """Kept by its owner for the day on which he has lost his second factor."""


class Codes:
    """Sets codes up and checks them, in the caller's transaction and by real time."""

    def __init__(self, clock: Clock, settings: Settings, issuer: str) -> None:
        self._clock, self._issuer = clock, issuer
        self._sealer = Sealer(secret(settings, "factor_key"), "staffel portal second factors v1")

    def offer(self, session_id: str, fresh: str = "") -> tuple[str, str]:
        """A new secret, or ``fresh`` once more, and sealed for the form that brings it back within this session."""
        fresh = fresh or pyotp.random_base32()
        return fresh, base64.urlsafe_b64encode(self._sealer.seal(fresh.encode(), f"offer {session_id}")).decode()

    def offered(self, session_id: str, sealed: str) -> str:
        """The secret that was offered. Raises SealBroken or ValueError for what was not."""
        return self._sealer.open(base64.urlsafe_b64decode(sealed.encode()), f"offer {session_id}").decode()

    def address(self, owner: str, secret_text: str) -> str:
        """What the QR code says: the secret, and what the app is to call it."""
        return pyotp.TOTP(secret_text).provisioning_uri(name=owner, issuer_name=self._issuer)

    def take(self, connection: Connection, owner: str, secret_text: str, code: str, label: str) -> bool:
        """Set an app up, if this code shows that it has the secret."""
        counter = self._counter(secret_text, code, 0)
        if counter is None:
            return False
        factor_id = secrets.token_urlsafe(16)
        connection.execute(
            insert(factors).values(
                factor_id=factor_id,
                owner=owner,
                kind=TOTP,
                label=label,
                sealed=self._sealer.seal(secret_text.encode(), factor_id),
                last_counter=counter,
                created_at=self._clock.now(),
            )
        )
        return True

    def check(self, connection: Connection, owner: str, code: str) -> bool:
        """Whether an app of his shows this code, which no one has used yet."""
        mine = select(factors).where(factors.c.owner == owner, factors.c.kind == TOTP)
        for row in connection.execute(mine).all():
            counter = self._counter(self._sealer.open(row.sealed, row.factor_id).decode(), code, row.last_counter)
            if counter is None:
                continue
            # Of two that bring the same code at once, one comes first.
            unused = (factors.c.factor_id == row.factor_id, factors.c.last_counter < counter)
            used = update(factors).where(*unused).values(last_counter=counter, used_at=self._clock.now())
            if connection.execute(used).rowcount:
                return True
        return False

    def make(self, connection: Connection, owner: str, purpose: Purpose) -> list[str]:
        """New codes on paper, shown now and never again. Those of before are worth nothing any more."""
        of_owner = (single_codes.c.owner == owner, single_codes.c.purpose == purpose)
        connection.execute(delete(single_codes).where(*of_owner))
        number, lives = (1, ACTIVATION_LIVES) if purpose is Purpose.ACTIVATION else (RECOVERY_CODES, None)
        expires_at = self._clock.now() + lives if lives else None
        made = [_new_code() for _ in range(number)]
        rows = [
            {"code_hash": _hash(owner, code), "owner": owner, "purpose": purpose, "expires_at": expires_at}
            for code in made
        ]
        connection.execute(insert(single_codes), rows)
        return made

    def spend(self, connection: Connection, owner: str, purpose: Purpose, code: str) -> bool:
        """Whether this is such a code. If it is, it was its last time."""
        alive = or_(single_codes.c.expires_at.is_(None), single_codes.c.expires_at > self._clock.now())
        this = (single_codes.c.code_hash == _hash(owner, code), single_codes.c.purpose == purpose)
        return connection.execute(delete(single_codes).where(*this, alive)).rowcount == 1

    def left(self, connection: Connection, owner: str) -> int:
        """How many recovery codes somebody still has."""
        mine = (single_codes.c.owner == owner, single_codes.c.purpose == Purpose.RECOVERY)
        return connection.execute(select(func.count()).select_from(single_codes).where(*mine)).scalar_one()

    def _counter(self, secret_text: str, code: str, after: int) -> int | None:
        """Which step of time the code belongs to, if it is right and its step comes after the one given."""
        given, generator = "".join(code.split()), pyotp.TOTP(secret_text)
        now = int(self._clock.now().timestamp()) // _STEP_SECONDS
        for counter in range(now - _LATE_STEPS, now + _LATE_STEPS + 1):
            if hmac.compare_digest(generator.generate_otp(counter).encode(), given.encode()) and counter > after:
                return counter
        return None


def _new_code() -> str:
    letters = base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode()
    return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))


def _hash(owner: str, code: str) -> str:
    # People read an O where the alphabet has only letters and the digits 2 to 7.
    plain = "".join(code.split()).replace("-", "").upper().replace("0", "O").replace("1", "I")
    return hashlib.sha256(f"{owner}:{plain}".encode()).hexdigest()
