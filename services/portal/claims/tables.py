"""The tables of claims. They are no read model: no topic holds what stands here, so nothing may make them anew."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import BigInteger, Column, Date, Index, Integer, String, Table, Text, UniqueConstraint

from services.kit.database import Instant
from services.portal.tables import metadata


class Status(StrEnum):
    """Where a claim is."""

    SENT = "sent"
    ASKED = "asked"
    """The vendor wants to know more."""
    ACCEPTED = "accepted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


OPEN = (Status.SENT, Status.ASKED)
"""Still to be decided."""
STANDING = (*OPEN, Status.ACCEPTED)
"""Keeps the same sale from being claimed again."""

# One sale a row. A sale may be claimed again once an attempt was refused or withdrawn.
claims = Table(
    "claims",
    metadata,
    Column("claim_id", String(20), primary_key=True),
    Column("partner_id", Text, nullable=False),
    Column("report_id", String(20), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("sale_id", Text, nullable=False),
    Column("product_id", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("sold_on", Date, nullable=False),
    Column("serial_numbers", Text, nullable=False),  # one a line
    Column("status", String(20), nullable=False),
    Column("reason", String(40)),  # of the latest that the vendor said
    Column("version", Integer, nullable=False),  # counts changes: who decides must have seen the latest
    Column("told", Integer, nullable=False),  # how many events were made of it
    Column("claimed_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    UniqueConstraint("partner_id", "sale_id", "attempt", name="claims_once"),
    Index("claims_by_partner", "partner_id", "claimed_at"),
    Index("claims_by_status", "status", "claimed_at"),
    Index("claims_by_sale", "sale_id"),
)

claim_serials = Table(
    "claim_serials",
    metadata,
    Column("claim_id", String(20), primary_key=True),
    Column("serial_number", Text, primary_key=True),
    Index("claim_serials_by_serial", "serial_number"),
)

# What was said about a claim, in order.
claim_steps = Table(
    "claim_steps",
    metadata,
    Column("claim_id", String(20), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("what", String(20), nullable=False),  # the status that it led to
    Column("by_vendor", Integer, nullable=False),
    Column("person", Text, nullable=False),
    Column("reason", String(40)),
    Column("text", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

# What a partner sent in at once: one form, or a file of many sales.
claim_reports = Table(
    "claim_reports",
    metadata,
    Column("report_id", String(20), primary_key=True),
    Column("partner_id", Text, nullable=False),
    Column("made", Integer, nullable=False),
    Column("known", Integer, nullable=False),  # sales that were known already, so that no claim was made
    Column("made_at", Instant, nullable=False),
    Index("claim_reports_by_partner", "partner_id", "made_at"),
)

# The files themselves are in the folder of uploads, named by their id.
claim_proofs = Table(
    "claim_proofs",
    metadata,
    Column("proof_id", String(40), primary_key=True),
    Column("belongs_to", String(20), nullable=False),  # a report, or a claim if it came with an answer
    Column("partner_id", Text, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("kind", String(4), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("sent_at", Instant, nullable=False),
    Index("claim_proofs_by_owner", "belongs_to"),
    Index("claim_proofs_by_partner", "partner_id", "sent_at"),
    Index("claim_proofs_by_content", "sha256"),
)

# Returns that staff entered to end a conflict. A serial number named here is open no more in that sale.
staff_returns = Table(
    "staff_returns",
    metadata,
    Column("return_id", String(40), primary_key=True),
    Column("partner_id", Text, nullable=False),
    Column("sale_id", Text, nullable=False),
    Column("serial_number", Text, nullable=False),  # empty: all that was left of the sale
    Column("quantity", BigInteger, nullable=False),
    Column("reason", String(40), nullable=False),
    Column("note", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("entered_at", Instant, nullable=False),
    Index("staff_returns_by_sale", "partner_id", "sale_id"),
)
