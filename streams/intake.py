"""What a raw record is: a sale for this partition, one that belongs to another, or something to put aside."""

from __future__ import annotations

from typing import NamedTuple, cast

from aiokafka.structs import ConsumerRecord

from schemas.codec import Codec, Undecodable
from schemas.events import Partner, SaleReported, SaleReturned
from schemas.topics import PARTNERS, SALES
from schemas.values import PARTNER_ID, SALE_ID_LENGTH_MAX, partition_of


class Sale(NamedTuple):
    """A record that this partition applies."""

    event: SaleReported | SaleReturned


class Stray(NamedTuple):
    """A good record in the wrong partition: its key is not the partner's, or it was partitioned in another way."""

    partner_id: str


class DeadLetter(NamedTuple):
    """A record that can't be applied, ever. ``reason`` is a short code."""

    reason: str
    message: str


def read_sale(record: ConsumerRecord, codec: Codec, partition: int, partitions: int) -> Sale | Stray | DeadLetter:
    """Decide what a record of ``sales`` is."""
    if record.value is None:
        return DeadLetter("no-value", "a tombstone says nothing about a sale")
    try:
        event = cast(SaleReported | SaleReturned, codec.decode(SALES, record.value))
    except Undecodable as error:
        return DeadLetter(error.reason, str(error))
    ids = [event.sale_id] + ([event.return_id] if isinstance(event, SaleReturned) else [])
    if not PARTNER_ID.fullmatch(event.partner_id):
        return DeadLetter("bad-partner-id", "partner_id may hold letters, digits, dot, dash and underscore, 64 at most")
    if not all(0 < len(text) <= SALE_ID_LENGTH_MAX and text.isprintable() for text in ids):
        return DeadLetter("bad-id", f"an id must be printable and 1 to {SALE_ID_LENGTH_MAX} characters long")
    if partition_of(event.partner_id.encode(), partitions) != partition:
        return Stray(event.partner_id)
    return Sale(event)


class Registration(NamedTuple):
    """A record of ``partners``. ``partner`` is None when the registry has forgotten him."""

    partner_id: str
    partner: Partner | None


def read_partner(record: ConsumerRecord, codec: Codec) -> Registration | DeadLetter:
    """Decide what a record of ``partners`` is."""
    partner_id = (record.key or b"").decode("utf-8", "replace")
    if not PARTNER_ID.fullmatch(partner_id):
        return DeadLetter("bad-partner-id", "the key of a partner's record must be his id")
    if record.value is None:
        return Registration(partner_id, None)
    try:
        partner = cast(Partner, codec.decode(PARTNERS, record.value))
    except Undecodable as error:
        return DeadLetter(error.reason, str(error))
    if partner.partner_id != partner_id:
        return DeadLetter("key-differs", "key and value name different partners")
    return Registration(partner_id, partner)
