"""Encryption of bank details and payment files at rest: AES-256-GCM under a key derived from ``bank_key``."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import Settings, secret

_NONCE_BYTES = 12


class Vault:
    """Seals bytes and opens them again. ``label`` says what they are: bytes moved to another row don't open there."""

    def __init__(self, key: str) -> None:
        self._cipher = AESGCM(HKDF(SHA256(), 32, None, b"staffel payout bank details v1").derive(key.encode()))

    def seal(self, content: bytes, label: str) -> bytes:
        """Encrypt; each time to other bytes."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, label.encode())

    def open(self, sealed: bytes, label: str) -> bytes:
        """Decrypt. Raises StaffelError if the key is another one or the bytes were changed."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], label.encode())
        except InvalidTag:
            raise StaffelError(
                "bank details in the payout database can't be decrypted: another key, or they were changed",
                "set STAFFEL_BANK_KEY to the key they were entered with (kept in DATA/secrets/bank_key by default)",
            ) from None


def open_vault(settings: Settings) -> Vault:
    """The vault under this stack's key."""
    return Vault(secret(settings, "bank_key"))
