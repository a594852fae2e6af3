"""The tables of who somebody is. Passwords and codes are kept as hashes, secrets sealed.

An ``owner`` is somebody as ``services.portal.audit.actor`` calls him: ``partner P-1001`` or ``staff anna``.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, Text

from services.kit.database import Instant
from services.portal.tables import metadata

staff = Table(
    "staff",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("password_hash", Text, nullable=False),  # argon2id, with its parameters and salt
    Column("role", Integer, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("signed_in_at", Instant),
)

# People whom the vendor's identity provider vouches for, by its own name for them, which never changes.
staff_subjects = Table(
    "staff_subjects",
    metadata,
    Column("issuer", String(200), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("name", String(60), nullable=False, unique=True),
    Column("disabled", Boolean, nullable=False),
)

factors = Table(
    "factors",
    metadata,
    Column("factor_id", String(32), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("label", String(40), nullable=False),  # what its owner calls it
    Column("sealed", LargeBinary),  # of one-time codes: their secret
    Column("last_counter", BigInteger),  # of one-time codes: the latest one used; it and those before don't work again
    Column("credential_id", LargeBinary, unique=True),  # of a passkey
    Column("public_key", LargeBinary),  # of a passkey
    Column("sign_count", BigInteger),  # of a passkey: how often it says it was used
    Column("created_at", Instant, nullable=False),
    Column("used_at", Instant),
    Index("factors_by_owner", "owner"),
)

# Each works once. 80 bits and more: nobody finds one by trying, so a plain hash will do.
single_codes = Table(
    "single_codes",
    metadata,
    Column("code_hash", String(64), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("purpose", String(10), nullable=False),  # activation or recovery
    Column("expires_at", Instant),
    Index("single_codes_by_owner", "owner", "purpose"),
)

# One row for each try that counts against a limit. Names and addresses are in it as keyed hashes only.
attempts = Table(
    "attempts",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("key_hash", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    Index("attempts_by_key", "key_hash", "at"),
    Index("attempts_by_age", "at"),
)
