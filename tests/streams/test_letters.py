"""Dead letters: what they say, how they are cut, and when there are too many of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord

from deploy.runtime.errors import Exit
from deploy.runtime.settings import load
from streams.intake import DeadLetter, size_of
from streams.letters import KEPT_BYTES, Excess, TooManyDeadLetters, as_letter

LETTER = DeadLetter("bad-avro", "says why")
EXCESS = Excess(2.5, 41)
ROOM = 2 * 1_048_576 - 16_384
"""Bytes of the largest record that is put aside whole."""


def record(key: bytes | None, value: bytes | None, headers: Any = ()) -> ConsumerRecord:
    return ConsumerRecord("t.sales", 3, 41, 1_700_000_000_123, 1, key, value, None, 0, 0, headers)


def test_a_letter_is_the_record_and_says_where_it_came_from_and_why() -> None:
    key, value, headers = as_letter(record(b"k", b"v", [("theirs", b"1"), ("none", None)]), LETTER, EXCESS)
    assert (key, value) == (b"k", b"v")
    assert headers == [
        ("theirs", b"1"),
        ("none", None),
        ("dlq.topic", b"t.sales"),
        ("dlq.partition", b"3"),
        ("dlq.offset", b"41"),
        ("dlq.timestamp", b"1700000000123"),
        ("dlq.reason", b"bad-avro"),
        ("dlq.message", b"says why"),
        ("dlq.excess", b"2.50@41"),
    ]
    assert Excess.of(headers) == EXCESS


def test_a_record_is_put_aside_whole_as_long_as_it_fits() -> None:
    whole = record(b"k", b"v" * (ROOM - 1))
    assert size_of(whole) == ROOM
    _, value, headers = as_letter(whole, LETTER, EXCESS)
    assert value == whole.value
    assert "dlq.cut" not in dict(headers)


def test_a_larger_one_is_cut_and_says_what_it_was() -> None:
    large = b"v" * ROOM
    key, value, headers = as_letter(record(b"k" * 70_000, large, [("a", b"b")]), LETTER, EXCESS)
    said = dict(headers)
    assert (key, value) == (b"k" * 65_536, b"v" * 65_536)
    assert (said["dlq.cut"], said["dlq.size"]) == (b"true", str(ROOM).encode())
    assert said["dlq.sha256"] == hashlib.sha256(large).hexdigest().encode()
    assert said["a"] == b"b"


@pytest.mark.parametrize(("size", "kept"), [(KEPT_BYTES - 1, True), (KEPT_BYTES, False)])
def test_headers_that_are_too_large_are_left_out_of_what_is_cut(size: int, kept: bool) -> None:
    key, value, headers = as_letter(record(None, b"v" * ROOM, [("a", b"b" * size)]), LETTER, EXCESS)
    assert key is None
    assert ("a" in dict(headers)) is kept
    key, value, headers = as_letter(record(None, None, [("a", b"b" * ROOM)]), LETTER, EXCESS)
    assert (key, value, dict(headers)["dlq.size"]) == (None, None, b"0")


def test_a_letter_before_any_of_sales_says_that_there_is_no_excess_yet() -> None:
    _, _, headers = as_letter(record(b"k", b"v"), LETTER, Excess())
    assert dict(headers)["dlq.excess"] == b"0.00@-1"
    assert Excess.of(headers) == Excess()


def test_each_letter_adds_one_and_each_record_takes_its_share() -> None:
    excess = Excess().after_letter(0, 5)
    assert excess == Excess(1.0, 0)
    assert excess.after_letter(10, 5) == Excess(1.5, 10)  # ten records, worth half a letter
    assert excess.after_letter(1000, 5) == Excess(1.0, 1000), "good times are not saved up"
    assert excess.after_letter(1, 0) == Excess(2.0, 1)


def settings(percent: int, limit: int) -> Any:
    return load({"data": Path(), "dead_letters_percent_max": percent, "dead_letters_excess_max": limit}, {}).settings


def test_more_than_the_limit_stops_the_stream_unless_it_is_told_not_to() -> None:
    assert Excess(20.0, 9).within(settings(5, 20), "sales partition 1") == Excess(20.0, 9)
    with pytest.raises(TooManyDeadLetters, match=r"sales partition 1: 20 more .* 5 percent .* offset 9") as refused:
        Excess(20.5, 9).within(settings(5, 20), "sales partition 1")
    assert (refused.value.exit_code, refused.value.code) == (Exit.REFUSED, "dead-letters")
    assert Excess(20.5, 9).within(settings(0, 20), "") == Excess(20.5, 9)


@pytest.mark.parametrize("headers", [None, [], [("dlq.excess", b"")], [("dlq.excess", None)], [("other", b"1@2")]])
def test_a_letter_of_old_says_nothing_of_an_excess(headers: Any) -> None:
    assert Excess.of(headers) is None
