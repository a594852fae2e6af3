"""The code with which a partner sets up his first second factor: made by the vendor, handed over other than by mail."""

from __future__ import annotations

from sqlalchemy import Connection

from services.portal.audit import note
from services.portal.auth import PARTNER
from services.portal.identity.codes import Codes, Purpose


def make_activation_code(connection: Connection, codes: Codes, partner_id: str, by: str) -> str:
    """A new code for a partner, which works once and for two weeks. One of before doesn't work any more."""
    (code,) = codes.make(connection, f"{PARTNER} {partner_id}", Purpose.ACTIVATION)
    note(connection, by, "activation-code-made", partner_id)
    return code
