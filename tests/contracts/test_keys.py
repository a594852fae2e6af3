"""A key lands where Java's clients put it: a partner's sales meet in one partition, whoever reports them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.values import line_key, murmur2, partition_of, tally_key

# Kafka's own test vectors (org.apache.kafka.common.utils.UtilsTest), as signed numbers.
VECTORS = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize(("key", "hashed"), VECTORS.items())
def test_murmur2_is_that_of_kafkas_java_client(key: str, hashed: int) -> None:
    assert murmur2(key.encode()) == hashed % 2**32


@pytest.mark.parametrize(("key", "partition"), [("21", 340), ("foobar", 166), ("abc", 107)])
def test_the_partition_is_the_hash_without_its_sign(key: str, partition: int) -> None:
    """As ``Utils.toPositive`` of Kafka's Java client takes it away."""
    assert partition_of(key.encode(), 1000) == partition


@given(st.binary(max_size=40), st.integers(1, 64))
def test_every_key_has_a_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


def test_state_keys_can_be_taken_apart_again() -> None:
    # Neither a programme id nor a partner id may hold a slash; a sale id may.
    assert tally_key("topseller", "P-001", "2026Q4").split("/") == ["topseller", "P-001", "2026Q4"]
    assert line_key("P-001", "a/b").split("/", 1) == ["P-001", "a/b"]
