"""What a record of a source is taken for, record by record, without a broker."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from msgspec.structs import replace

from schemas.codec import Codec
from schemas.fit import unfit
from schemas.topics import PARTNERS, SALES, SALES_BYTES_MAX
from schemas.values import partition_of
from streams.intake import DeadLetter, Registration, Stray, read_partner, read_sale, size_of
from tests.contracts.registry import PublishedSchemas
from tests.rules.facts import a_partner, a_return, a_sale

CODEC = Codec(PublishedSchemas(), "")
PARTITIONS = 8
HOME = partition_of(b"P1", PARTITIONS)


def record(value: bytes | None, key: bytes | None = b"P1", headers: Any = ()) -> ConsumerRecord:
    return ConsumerRecord("sales", HOME, 7, 0, 1, key, value, None, 0, 0, headers)


def a_record(event: Any) -> ConsumerRecord:
    return record(CODEC.encode(SALES, event))


def read(given: ConsumerRecord, partition: int = HOME) -> Any:
    return read_sale(given, CODEC, partition, PARTITIONS)


def code(found: Any) -> str:
    assert isinstance(found, DeadLetter)
    assert found.message
    return found.reason


@pytest.mark.parametrize("event", [a_sale(), a_return()])
def test_a_report_is_read_where_it_belongs_and_is_a_stray_elsewhere(event: Any) -> None:
    assert read(a_record(event)) == event
    assert read(a_record(event), (HOME + 1) % PARTITIONS) == Stray("P1")


def test_what_is_no_report_is_put_aside_with_a_code() -> None:
    assert code(read(record(None))) == "no-value"
    assert code(read(record(b"\x00\x00\x00\x03\xe7abc"))) == "unknown-schema"
    assert code(read(a_record(a_sale(partner="a/b")))) == "bad-partner-id"
    assert code(read(a_record(a_sale("")))) == "bad-id"


def test_importers_are_told_beforehand_what_would_be_put_aside() -> None:
    assert unfit(a_sale()) is None
    for event in (a_sale(partner="a/b"), a_sale("")):
        found = unfit(event)
        assert found is not None
        assert found[0] == code(read(a_record(event)))


def test_a_report_may_have_so_many_bytes_and_no_more() -> None:
    assert code(read(record(b"\x00" * (SALES_BYTES_MAX + 1)))) == "too-large"
    assert code(read(record(b"\x00" * SALES_BYTES_MAX))) != "too-large"


def test_a_stray_that_one_more_header_would_make_too_large_is_put_aside() -> None:
    value = CODEC.encode(SALES, a_sale())
    elsewhere = (HOME + 1) % PARTITIONS
    room = SALES_BYTES_MAX - 1024 - len(value) - len(b"P1") - len("näme".encode())
    assert read(record(value, headers=[("näme", b"x" * room)]), elsewhere) == Stray("P1")
    assert code(read(record(value, headers=[("näme", b"x" * (room + 1))]), elsewhere)) == "too-large"
    assert size_of(record(None, None, [("a", None)])) == 1


LONGEST = "x" * 128


@pytest.mark.parametrize(
    "good",
    [
        {"sale_id": LONGEST},
        {"quantity": 1_000_000},
        {"quantity": -1_000_000},
        {"sold_on": date(1900, 1, 1)},
        {"sold_on": date(2999, 12, 31)},
        {"reported_at": datetime(1900, 1, 1, tzinfo=UTC)},
        {"reported_at": datetime(2999, 12, 31, tzinfo=UTC)},
        {"product_id": LONGEST, "reported_by": LONGEST, "serial_numbers": (LONGEST,) * 3},
        {"product_id": ""},
        {"serial_numbers": tuple(map(str, range(10_000)))},
    ],
)
def test_a_report_at_the_edge_of_what_is_allowed_is_read(good: dict[str, Any]) -> None:
    sale = replace(a_sale(), **good)
    assert read(a_record(sale)) == sale


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"sale_id": LONGEST + "x"}, "bad-id"),
        ({"sale_id": "a\tb"}, "bad-id"),
        ({"quantity": 1_000_001}, "bad-quantity"),
        ({"quantity": -1_000_001}, "bad-quantity"),
        ({"sold_on": date(1899, 12, 31)}, "out-of-range"),
        ({"sold_on": date(3000, 1, 1)}, "out-of-range"),
        ({"reported_at": datetime(1899, 12, 31, tzinfo=UTC)}, "out-of-range"),
        ({"reported_at": datetime(3000, 1, 1, tzinfo=UTC)}, "out-of-range"),
        ({"product_id": LONGEST + "x"}, "bad-text"),
        ({"product_id": "a\tb"}, "bad-text"),
        ({"reported_by": LONGEST + "x"}, "bad-text"),
        ({"serial_numbers": ("good", LONGEST + "x")}, "bad-text"),
        ({"serial_numbers": tuple(map(str, range(10_001)))}, "out-of-range"),
    ],
)
def test_a_report_beyond_it_is_put_aside(bad: dict[str, Any], reason: str) -> None:
    assert code(read(a_record(replace(a_sale(), **bad)))) == reason


@pytest.mark.parametrize(
    ("bad", "reason"),
    [({"return_id": ""}, "bad-id"), ({"sale_id": ""}, "bad-id"), ({"returned_on": date(1, 1, 1)}, "out-of-range")],
)
def test_a_return_beyond_it_too(bad: dict[str, Any], reason: str) -> None:
    assert code(read(a_record(replace(a_return(), **bad)))) == reason


def test_a_registration_is_read_by_key_and_value() -> None:
    value = CODEC.encode(PARTNERS, a_partner("P1"))
    assert read_partner(record(value), CODEC) == Registration("P1", a_partner("P1"))
    assert read_partner(record(None), CODEC) == Registration("P1", None)
    assert code(read_partner(record(value, b"P2"), CODEC)) == "key-differs"
    assert code(read_partner(record(value, None), CODEC)) == "bad-partner-id"
    assert code(read_partner(record(value, b"\xffP1"), CODEC)) == "bad-partner-id"
    assert code(read_partner(record(b"no event"), CODEC)) == "not-avro"
