"""The lenient reader of records reads what the ordinary one reads, and names of headers that are no UTF-8 besides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from streams.lenient import read_leniently

HEADERS = [("ce_id", b"1"), ("größe", None), ("", b"\xff")]
CODECS = range(5)
"""None, gzip, snappy, lz4, zstd."""
each_codec = pytest.mark.parametrize("codec", CODECS)


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(fetcher, "MemoryRecords", fetcher.MemoryRecords)  # taken back at the end
    read_leniently()
    return fetcher.MemoryRecords


def batch(codec: int, name: str = "name") -> bytes:
    builder = DefaultRecordBatchBuilder(
        2, codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1_000_000
    )
    builder.append(0, timestamp=5, key=b"P1", value=b"v" * 500, headers=[*HEADERS, (name, b"w" * 500)])
    builder.append(1, timestamp=6, key=None, value=None, headers=[])
    return bytes(builder.build())


def told(records: Any) -> Iterator[tuple[Any, ...]]:
    while records.has_next():
        for record in records.next_batch():
            yield record.offset, record.timestamp, record.key, record.value, list(getattr(record, "headers", []))


@each_codec
def test_what_the_ordinary_reader_reads_is_read_alike(codec: int, lenient: Any) -> None:
    data = batch(codec) + batch(0) + batch(codec)
    found = list(told(lenient(data)))
    assert found == list(told(MemoryRecords(data)))
    assert len(found) == 6


def test_batches_of_old_are_read_alike(lenient: Any) -> None:
    builder = LegacyRecordBatchBuilder(1, 0, 1_000_000)
    builder.append(0, timestamp=5, key=b"P1", value=b"v")
    data = bytes(builder.build())
    assert list(told(lenient(data))) == list(told(MemoryRecords(data))) == [(0, 5, b"P1", b"v", [])]


def test_what_was_cut_off_is_left_for_the_next_fetch(lenient: Any) -> None:
    assert list(told(lenient(batch(0)[:-1]))) == []
    assert lenient(b"").next_batch() is None


@pytest.mark.parametrize("name", [b"\xff\xfe", b"\xe9t", b"a\xc3"])
def test_a_name_that_is_no_utf_8_is_read_with_signs_for_what_is_unknown(name: bytes, lenient: Any) -> None:
    data = batch(0, "@@").replace(b"@@", name)
    with pytest.raises(UnicodeDecodeError):
        list(told(MemoryRecords(data)))
    first, second = told(lenient(data))
    assert first[4][:3] == HEADERS
    assert first[4][3][0] == name.decode("utf-8", "replace")
    assert second[0] == 1
