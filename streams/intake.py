"""What a raw record is: a sale for this partition, one that belongs to another, or something to put aside."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, cast

from aiokafka.structs import ConsumerRecord

from schemas.codec import Codec, Undecodable
from schemas.events import Partner, SaleReported, SaleReturned
from schemas.topics import PARTNERS, SALES
from schemas.values import PARTNER_ID, QUANTITY_MAX, SALE_ID_LENGTH_MAX, partition_of


class Stray(NamedTuple):
    """A good record in the wrong partition: its key is not the partner's, or it was partitioned in another way."""

    partner_id: str


class DeadLetter(NamedTuple):
    """A record that can't be applied, ever. ``reason`` is a short code."""

    reason: str
    message: str


def read_sale(
    record: ConsumerRecord, codec: Codec, partition: int, partitions: int
) -> SaleReported | SaleReturned | Stray | DeadLetter:
    """Decide what a record of ``sales`` is: an event that this partition applies, or something else."""
    if record.value is None:
        return DeadLetter("no-value", "a tombstone says nothing about a sale")
    try:
        event = cast("SaleReported | SaleReturned", codec.decode(SALES, record.value))
    except Undecodable as error:
        return DeadLetter(error.reason, str(error))
    home = _home(event.partner_id, partitions)
    if home is None:
        return DeadLetter("bad-partner-id", "partner_id may hold letters, digits, dot, dash and underscore, 64 at most")
    if not _is_id(event.sale_id) or (isinstance(event, SaleReturned) and not _is_id(event.return_id)):
        return DeadLetter("bad-id", f"an id must be printable and 1 to {SALE_ID_LENGTH_MAX} characters long")
    if not -QUANTITY_MAX <= event.quantity <= QUANTITY_MAX:
        return DeadLetter("bad-quantity", "a quantity must fit into 32 bits")
    return event if home == partition else Stray(event.partner_id)


@lru_cache(maxsize=32_768)
def _home(partner_id: str, partitions: int) -> int | None:
    """The partition in which a partner's records belong; None if that is no partner's id."""
    return partition_of(partner_id.encode(), partitions) if PARTNER_ID.fullmatch(partner_id) else None


def _is_id(text: str) -> bool:
    return 0 < len(text) <= SALE_ID_LENGTH_MAX and text.isprintable()


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
