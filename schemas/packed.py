"""A sale line as the stream keeps it in memory: its Avro bytes without those of its two ids, which it is kept under.

An Avro record is its fields one after the other, so what is published is head, ids and packed line in a row, and a line
that was published with our own schema is packed by cutting these off. A million lines as objects would not fit where a
million packed ones do, and a restart need not look into each.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from schemas.codec import schema_of
from schemas.compiled import Reader, Writer, reader, text, writer
from schemas.events import LineStatus, SaleLine

_IDS = 2
"""``partner_id`` and ``sale_id`` are the first fields of the schema."""


WEIGHT = ("status", "quarter", "units", "source_offset")
"""What a line weighs in its tally, and where it comes from."""


class _Functions(NamedTuple):
    pack: Writer
    unpack: Reader
    weigh: Reader


def pack(line: SaleLine) -> bytes:
    """The line, packed."""
    return _functions().pack(line)


def unpack(partner_id: str, sale_id: str, packed: bytes) -> SaleLine:
    """The line again."""
    line: SaleLine = _functions().unpack(packed, 0, partner_id, sale_id)[0]
    return line


def weigh(packed: bytes) -> tuple[LineStatus, str, int, int]:
    """The fields of ``WEIGHT``, for lines to be added up without looking into the rest of them."""
    found: tuple[LineStatus, str, int, int] = _functions().weigh(packed, 0)[0]
    return found


def publish(head: bytes, partner_id: str, sale_id: str, packed: bytes) -> bytes:
    """The line as a value of ``sale-lines``. ``head`` is the codec's."""
    return b"".join((head, text(partner_id), text(sale_id), packed))


def cut(head: bytes, partner_id: str, sale_id: str, value: bytes) -> bytes | None:
    """The packed line in a value of ``sale-lines``, or None if it was not written with our schema for these ids."""
    begin = b"".join((head, text(partner_id), text(sale_id)))
    return value[len(begin) :] if value.startswith(begin) else None


@cache
def _functions() -> _Functions:
    schema = schema_of(SaleLine)
    return _Functions(
        writer(schema, SaleLine, skip=_IDS),
        reader(schema, SaleLine, skip=_IDS),
        reader(schema, SaleLine, skip=_IDS, only=WEIGHT),
    )
