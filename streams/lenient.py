"""Reads records whose headers have names that are no UTF-8, as senders in other languages may write them.

The compiled reader of aiokafka raises in the middle of a fetch for such a name, and can't pass over it. This one, in
plain Python, is several times as slow, and used from the first such record on until the worker ends.
"""

from __future__ import annotations

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


def read_leniently() -> None:
    """From now on, what is no UTF-8 in a header's name is read as the sign for "unknown character"."""
    fetcher.MemoryRecords = _Records


class _Records(_MemoryRecordsPy):  # type: ignore[misc]  # aiokafka is not typed for us
    def next_batch(self, *args: Any) -> Any:
        raw = self._next_slice
        batch = super().next_batch(*args)
        return _Batch(raw) if raw is not None and raw[self.MAGIC_OFFSET] >= 2 else batch


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, _Bytes):
            self._buffer = _Bytes(self._buffer)


class _Bytes(bytearray):
    """Bytes, slices of which decode whatever they hold."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _Bytes(found) if isinstance(key, slice) else found

    def decode(self, *_: Any, **__: Any) -> str:
        return super().decode("utf-8", "replace")
