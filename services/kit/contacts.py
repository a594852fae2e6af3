"""The people whom a partner names beside the address of his registration: what the portal and notification share.

The portal decides who may come in, and knows an id, a role and a language. Name and address are notification's alone.
"""

from __future__ import annotations

import base64
import re
import secrets
from enum import StrEnum

CONTACTS_MAX = 20
"""So many may be named by one partner."""
_ID = re.compile(r"c-[a-z2-7]{13}")


class Standing(StrEnum):
    """What a contact may do."""

    OWNER = "owner"
    """Whatever the partner may."""
    ACCOUNTANT = "accountant"
    """Read figures, statements and payouts; change nothing."""


def new_contact_id() -> str:
    """An id that says nothing of whom it stands for."""
    return f"c-{base64.b32encode(secrets.token_bytes(8)).decode().rstrip('=').lower()}"


def is_contact_id(text: str) -> bool:
    """Whether a text can be the id of a contact."""
    return _ID.fullmatch(text) is not None
