"""The small values that events are made of: quarters, weeks and keys. Pure, no clock."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

# A partner id becomes part of keys, file names and links, so it is kept to characters that mean nothing in any of them.
PARTNER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# A sale or return id is whatever the reporter's system says, as long as it is printable and of bounded length.
SALE_ID_LENGTH_MAX = 128
# An Avro int has 32 bits, but not every writer minds; and many such numbers would not fit into a tally together.
QUANTITY_MAX = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class Quarter:
    """A calendar quarter, written ``2026Q4``."""

    year: int
    number: int

    def __post_init__(self) -> None:
        if not (1 <= self.number <= 4 and 1 <= self.year <= 9998):
            raise ValueError(f"no such quarter: {self.year}Q{self.number}")

    @classmethod
    def of(cls, day: date) -> Quarter:
        """The quarter a calendar date lies in."""
        return _quarter(day.year, (day.month + 2) // 3)

    @classmethod
    def parse(cls, text: str) -> Quarter:
        """Read ``2026Q4``. Raises ValueError for anything else."""
        match = re.fullmatch(r"(\d{4})Q([1-4])", text)
        if not match:
            raise ValueError(f"{text!r} is not a quarter: write it like 2026Q4")
        return _quarter(int(match[1]), int(match[2]))

    @property
    def first_day(self) -> date:
        return date(self.year, 3 * self.number - 2, 1)

    @property
    def last_day(self) -> date:
        return self.next.first_day - timedelta(days=1)

    @property
    def next(self) -> Quarter:
        return Quarter(self.year + 1, 1) if self.number == 4 else Quarter(self.year, self.number + 1)

    def __str__(self) -> str:
        return f"{self.year:04d}Q{self.number}"


@cache
def _quarter(year: int, number: int) -> Quarter:
    # One object a quarter: every sale asks for one.
    return Quarter(year, number)


def iso_week(day: date) -> str:
    """The ISO week a date lies in, written ``2026-W47``."""
    year, week, _ = day.isocalendar()
    return f"{year:04d}-W{week:02d}"


def tally_key(programme_id: str, partner_id: str, quarter: str) -> str:
    """Key of a tally record."""
    return f"{programme_id}/{partner_id}/{quarter}"


def line_key(partner_id: str, sale_id: str) -> str:
    """Key of a sale line: a sale is identified by partner *and* sale id; a partner id holds no slash."""
    return f"{partner_id}/{sale_id}"


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's default partitioner (murmur2) gives a key.

    Source: org.apache.kafka.common.utils.Utils.murmur2; librdkafka calls it ``murmur2_random``.
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Kafka's 32 bit murmur2 hash, seed 0x9747b28c, as an unsigned number."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    h = (0x9747B28C ^ length) & mask
    for i in range(0, length - 3, 4):
        k = int.from_bytes(data[i : i + 4], "little")
        k = (k * m) & mask
        k ^= k >> 24
        k = (k * m) & mask
        h = ((h * m) & mask) ^ k
    rest = data[length & ~3 :]
    if rest:
        h ^= int.from_bytes(rest, "little")
        h = (h * m) & mask
    h ^= h >> 13
    h = (h * m) & mask
    return h ^ (h >> 15)
