"""Encryption of a column at rest: AES-256-GCM under a key derived from a secret, for each purpose another one."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


class SealBroken(ValueError):
    """Sealed under another key or for another row, or changed since."""


class Sealer:
    """Seals bytes and opens them again. ``label`` says what they are: bytes moved to another row don't open there."""

    def __init__(self, key: str, purpose: str) -> None:
        self._cipher = AESGCM(HKDF(SHA256(), 32, None, purpose.encode()).derive(key.encode()))

    def seal(self, content: bytes, label: str) -> bytes:
        """Encrypt; each time to other bytes."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, label.encode())

    def open(self, sealed: bytes, label: str) -> bytes:
        """Decrypt. Raises SealBroken."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], label.encode())
        except InvalidTag:
            raise SealBroken("another key, or the bytes were changed") from None
