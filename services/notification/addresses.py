"""Mail addresses: told apart without being kept, shown without being given away; and where mail returns to.

All of it is keyed with the secret that signs links: a new secret forgets which addresses were bad, and nothing more.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Settings, secret
from services.notification.envelope import Unmailable, mailable

_TOKEN = re.compile(r"(\d{1,19})-([0-9a-f]{16})")


class Addresses:
    """What the service knows to do with addresses. Raises UsageError if ``bounce_address`` is none."""

    def __init__(self, settings: Settings) -> None:
        self._key = secret(settings, "link_secret").encode()
        self._bounce = _bounce_address(settings.bounce_address)

    def fingerprint(self, address: str) -> str:
        """The same for the same address, and good for nothing else."""
        return self._sign("address", address.strip().lower())[:32]

    def return_path(self, number: int, otherwise: str) -> str:
        """The envelope's sender of a message: a mailbox that knows which one came back, or ``otherwise``."""
        if not self._bounce:
            return otherwise
        local, domain = self._bounce.rsplit("@", 1)
        return f"{local}+{number}-{self._mark(number)}@{domain}"

    def message_of(self, return_path: str) -> int | None:
        """The number of the message that went out with this return path. None if it is not one of ours."""
        local, _, domain = return_path.strip().strip("<>").rpartition("@")
        own, _, token = local.rpartition("+")
        match = _TOKEN.fullmatch(token.lower())
        if not self._bounce or f"{own}@{domain}".lower() != self._bounce.lower() or match is None:
            return None
        number = int(match[1])
        return number if hmac.compare_digest(match[2], self._mark(number)) else None

    @property
    def tell_messages_apart(self) -> bool:
        """Whether mail returns to a mailbox of its own, so that a report without its mark is somebody's invention."""
        return bool(self._bounce)

    def _mark(self, number: int) -> str:
        return self._sign("return-path", str(number))[:16]

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), sha256).hexdigest()


def _bounce_address(text: str) -> str:
    try:
        return mailable(text) if text else ""
    except Unmailable:
        raise UsageError("bounce_address is no address", "write it like bounces@vendor.example") from None


def masked(address: str) -> str:
    """An address for the eyes of staff: enough to recognise, too little to write to, like ``p…@p….example``."""
    local, _, domain = address.rpartition("@")
    host, _, top = domain.rpartition(".")
    return f"{local[:1]}…@{host[:1]}….{top}" if local and top else "…" if address else ""
