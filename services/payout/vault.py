"""Encryption of bank details and payment files at rest: AES-256-GCM under keys derived from ``bank_key``.

Sealed bytes are the key's id, a nonce, and the encrypted content with its tag. The id says which key opens them and
tells nothing else: so a key can be replaced while everything stays readable.
"""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from deploy.runtime.errors import StaffelError, UsageError
from deploy.runtime.settings import Settings, secret
from services.kit.sealing import SealBroken, Sealer

KEY_ID_BYTES = 8


class Vault:
    """Seals bytes under the first of its keys, and opens what any of them sealed.

    ``label`` says what the bytes are: moved to another row they don't open there.
    """

    def __init__(self, *keys: str) -> None:
        self._sealers = {_key_id(key): Sealer(key, "staffel payout bank details v1") for key in keys}
        self.key_id = _key_id(keys[0])
        """Of the key that seals."""

    @property
    def key_ids(self) -> frozenset[bytes]:
        """Of all keys that open."""
        return frozenset(self._sealers)

    def seal(self, content: bytes, label: str) -> bytes:
        """Encrypt; each time to other bytes."""
        return self.key_id + self._sealers[self.key_id].seal(content, label)

    def open(self, sealed: bytes, label: str) -> bytes:
        """Decrypt. Raises StaffelError if no key fits or the bytes were changed."""
        try:
            return self._sealers[sealed[:KEY_ID_BYTES]].open(sealed[KEY_ID_BYTES:], label)
        except (KeyError, SealBroken):
            raise StaffelError(
                "bank details in the payout database can't be decrypted: another key, or they were changed",
                "set STAFFEL_BANK_KEY to the key they were entered with (kept in DATA/secrets/bank_key by default), "
                "or put that key behind the new one; ./staffel doctor counts what no key opens",
            ) from None


def open_vault(settings: Settings) -> Vault:
    """The vault under this stack's keys."""
    return Vault(*keys_in(secret(settings, "bank_key")))


def keys_in(text: str) -> tuple[str, ...]:
    """The keys in the setting's text, which commas or line breaks separate. Raises UsageError if there is none."""
    keys = tuple(filter(None, (key.strip() for key in re.split(r"[,\r\n]", text))))
    if not keys:
        raise UsageError("bank_key holds no key", "write it like NEW or, while keys are changed, NEW,OLD")
    return keys


def _key_id(key: str) -> bytes:
    return HKDF(SHA256(), KEY_ID_BYTES, None, b"staffel payout key id v1").derive(key.encode())
