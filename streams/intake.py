"""What a raw record is: a sale for this partition, one that belongs to another, or something to put aside."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, Protocol, cast

from aiokafka.structs import ConsumerRecord

from schemas.codec import Codec, Undecodable
from schemas.events import Partner, SaleReported, SaleReturned
from schemas.fit import UNFIT_PARTNER, unfit_content
from schemas.topics import PARTNERS, SALES, SALES_BYTES_MAX
from schemas.values import PARTNER_ID, partition_of


class Stray(NamedTuple):
    """A good record in the wrong partition: its key is not the partner's, or it was partitioned in another way."""

    partner_id: str


class DeadLetter(NamedTuple):
    """A record that can't be applied, ever. ``reason`` is a short code."""

    reason: str
    message: str


_ROOM_FOR_ONE_HEADER = 1024


def read_sale(
    record: ConsumerRecord, codec: Codec, partition: int, partitions: int
) -> SaleReported | SaleReturned | Stray | DeadLetter:
    """Decide what a record of ``sales`` is: an event that this partition applies, or something else."""
    if record.value is None:
        return DeadLetter("no-value", "a tombstone says nothing about a sale")
    if len(record.value) > SALES_BYTES_MAX:
        # The broker's limit is on what was compressed; the sale's line must fit into its topic.
        return DeadLetter("too-large", f"a report may have {SALES_BYTES_MAX} bytes, this one has {len(record.value)}")
    try:
        event = cast("SaleReported | SaleReturned", codec.decode(SALES, record.value))
    except Undecodable as error:
        return DeadLetter(error.reason, str(error))
    home = _home(event.partner_id, partitions)
    if home is None:
        return DeadLetter(*UNFIT_PARTNER)
    wrong = unfit_content(event)
    if wrong is not None:
        return DeadLetter(*wrong)
    if home == partition:
        return event
    if size_of(record) > SALES_BYTES_MAX - _ROOM_FOR_ONE_HEADER:
        return DeadLetter("too-large", "in the wrong partition, and with one more header too large for the right one")
    return Stray(event.partner_id)


@lru_cache(maxsize=32_768)
def _home(partner_id: str, partitions: int) -> int | None:
    """The partition in which a partner's records belong; None if that is no partner's id."""
    return partition_of(partner_id.encode(), partitions) if PARTNER_ID.fullmatch(partner_id) else None


class Registration(NamedTuple):
    """A record of ``partners``. ``partner`` is None when the registry has forgotten him."""

    partner_id: str
    partner: Partner | None


class KeyAndValue(Protocol):
    """What of a record says who is registered."""

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...


def read_partner(record: KeyAndValue, codec: Codec) -> Registration | DeadLetter:
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


def size_of(record: ConsumerRecord) -> int:
    """Bytes of a record's key, value and headers."""
    return len(record.key or b"") + len(record.value or b"") + size_of_headers(record.headers)


def size_of_headers(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """Bytes of names and values."""
    return sum(len(name.encode()) + len(value or b"") for name, value in headers)
