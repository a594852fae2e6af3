"""The portal's tables: the read model, written by the projector alone, the sessions, and the record of who did what.

Texts that come from events have no length here: what a reporter may write is the stream's business, and a read model
that refuses a record stands still. ``source_offset`` is the offset of the record behind a row of latest state.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import JSON, BigInteger, Boolean, Column, Date, Index, Integer, MetaData, String, Table, Text, text

from services.kit.consumer import consumer_tables
from services.kit.database import Instant

MIGRATIONS = Path(__file__).parent / "migrations"

metadata = MetaData()
consumer_tables(metadata)

_NO_SALE = text("sold_on IS NULL")

partners = Table(
    "partners",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("registered_on", Date, nullable=False),
    Column("left_on", Date),
    Column("source_offset", BigInteger, nullable=False),
)

tallies = Table(
    "tallies",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("programme_id", Text, primary_key=True),
    Column("quarter", String(6), primary_key=True),
    Column("currency", String(3), nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("tier", BigInteger, nullable=False),
    Column("rebate_minor", BigInteger, nullable=False),
    Column("counted", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("returned", BigInteger, nullable=False),
    Column("phase", String(20), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("payable_minor", BigInteger, nullable=False),
    Column("as_of", Instant),
    Column("source_offset", BigInteger, nullable=False),
    Index("tallies_by_quarter", "programme_id", "quarter"),
)

sale_lines = Table(
    "sale_lines",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("sale_id", Text, primary_key=True),
    Column("quarter", String(6), nullable=False),  # of a return without its sale: that of the return's day
    Column("status", String(20), nullable=False),
    Column("reason", Text),
    Column("product_id", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("sold_on", Date),
    Column("listed_on", Date, nullable=False),  # where it stands in a list: the day of the sale, or of the return alone
    Column("serial_numbers", Text, nullable=False),  # one a line
    Column("returns", JSON, nullable=False),
    Column("conflicts", Integer, nullable=False),  # how many other reports of this sale do not stand
    Column("reported_at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("source_offset", BigInteger, nullable=False),
    Column("reported_by", Text, nullable=False, server_default=""),  # empty: not known
    Index("sale_lines_newest", "partner_id", "quarter", "listed_on", "sale_id", "units"),
    Index("sale_lines_of_status", "partner_id", "quarter", "status", "listed_on", "sale_id"),
    Index("sale_lines_without_sale", "partner_id", "quarter", sqlite_where=_NO_SALE, postgresql_where=_NO_SALE),
    Index("sale_lines_by_change", "partner_id", "source_offset"),
    Index("sale_lines_by_verdict", "quarter", "status", "reason"),
    Index("sale_lines_by_sale", "sale_id", "status", "partner_id"),
)

# The serial numbers of sales that count or may come to count: at most one such sale a serial is right.
open_serials = Table(
    "open_serials",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("sale_id", Text, primary_key=True),
    Column("serial_number", Text, primary_key=True),
    Index("open_serials_by_serial", "serial_number", "partner_id", "sale_id"),
)

tier_changes = Table(
    "tier_changes",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("programme_id", Text, primary_key=True),
    Column("quarter", String(6), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("from_tier", BigInteger, nullable=False),
    Column("to_tier", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("rebate_before_minor", BigInteger, nullable=False),
    Column("rebate_after_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Index("tier_changes_newest", "programme_id", "occurred_at"),
)

closes = Table(
    "closes",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("programme_id", Text, primary_key=True),
    Column("quarter", String(6), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("rebate_minor", BigInteger, nullable=False),
    Column("payable_minor", BigInteger, nullable=False),
    Column("payable_total_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("closed_at", Instant, nullable=False),
    Index("closes_by_quarter", "programme_id", "quarter", "kind"),
)

payouts = Table(
    "payouts",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("programme_id", Text, primary_key=True),
    Column("quarter", String(6), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("status", String(20), nullable=False),
    Column("reason", Text),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("end_to_end_id", Text),
    Column("execution_date", Date),
    Column("occurred_at", Instant, nullable=False),
)

# How often something was changed that the partner's pages show, counted with the change; see ``counted.py``.
page_versions = Table(
    "page_versions",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("chosen", BigInteger, nullable=False, server_default="0"),  # the same, of what somebody did on a page
)

# Real time, not the programme's. Whoever reads this table can't sign in with what he finds: ids are hashed.
sessions = Table(
    "sessions",
    metadata,
    Column("id_hash", String(64), primary_key=True),
    Column("audience", String(10), nullable=False),
    Column("partner_id", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("role", Integer, nullable=False),
    Column("viewing", Text, nullable=False),  # the partner whose pages a member of staff looks at
    Column("confirmed_at", Instant),  # when a second factor was shown
    Column("opened_at", Instant, nullable=False),
    Column("used_at", Instant, nullable=False),
    Index("sessions_by_age", "opened_at"),
)

# The people whom partners named, by real time: who may come in, and as what. Who they are is known to notification.
contacts = Table(
    "contacts",
    metadata,
    Column("contact_id", String(20), primary_key=True),
    Column("partner_id", Text, nullable=False),
    Column("standing", String(12), nullable=False),
    Column("language", String(8), nullable=False),
    Column("weekly_mail", Boolean, nullable=False),
    Column("removed_at", Instant),  # kept until notification has heard of it
    Column("changed_at", Instant, nullable=False),
    Column("told", Boolean, nullable=False),  # whether notification knows what the row says
    Index("contacts_of_partner", "partner_id"),
)

# What partners chose; who is not here gets every mail. Of the topic and of what is still to be told, the later.
preferences = Table(
    "preferences",
    metadata,
    Column("partner_id", Text, primary_key=True),
    Column("weekly_mail", Boolean, nullable=False),
    Column("language", String(8), nullable=False),  # empty: that of the registration
    Column("changed_at", Instant, nullable=False),
)

# Events to be sent, in this order.
outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("topic", String(40), nullable=False),
    Column("event", Text, nullable=False),  # as JSON
    Column("created_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Index("outbox_unsent", "sent_at", "id"),
)

# Who did what, by real time. The database keeps its rows from being changed or deleted.
audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", String(40), nullable=False),
    Column("about", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Index("audit_by_who", "who", "id"),
    Index("audit_by_what", "what", "id"),
    Index("audit_by_about", "about", "id"),
)
