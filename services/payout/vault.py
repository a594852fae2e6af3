"""Encryption of bank details and payment files at rest: AES-256-GCM under keys derived from ``bank_key``.

Sealed bytes are the key's id, a nonce, and the encrypted content with its tag. The id says which key opens them and
tells nothing else: so a key can be replaced while everything stays readable.
"""

from __future__ import annotations

import os
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from deploy.runtime.errors import StaffelError, UsageError
from deploy.runtime.settings import Settings, secret

KEY_ID_BYTES = 8
_NONCE_BYTES = 12


class Vault:
    """Seals bytes under the first of its keys, and opens what any of them sealed.

    ``label`` says what the bytes are: moved to another row they don't open there.
    """

    def __init__(self, *keys: str) -> None:
        self._ciphers = {_key_id(key): AESGCM(_derive(key, b"staffel payout bank details v1", 32)) for key in keys}
        self.key_id = _key_id(keys[0])
        """Of the key that seals."""

    @property
    def key_ids(self) -> frozenset[bytes]:
        """Of all keys that open."""
        return frozenset(self._ciphers)

    def seal(self, content: bytes, label: str) -> bytes:
        """Encrypt; each time to other bytes."""
        nonce = os.urandom(_NONCE_BYTES)
        return self.key_id + nonce + self._ciphers[self.key_id].encrypt(nonce, content, label.encode())

    def open(self, sealed: bytes, label: str) -> bytes:
        """Decrypt. Raises StaffelError if no key fits or the bytes were changed."""
        key_id, nonce, content = _parts(sealed)
        try:
            return self._ciphers[key_id].decrypt(nonce, content, label.encode())
        except (KeyError, InvalidTag):
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


def _parts(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    start = KEY_ID_BYTES + _NONCE_BYTES
    return sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES:start], sealed[start:]


def _key_id(key: str) -> bytes:
    return _derive(key, b"staffel payout key id v1", KEY_ID_BYTES)


def _derive(key: str, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, None, purpose).derive(key.encode())
