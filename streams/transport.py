"""A Faust transport that hands an agent one slice of a partition at a time instead of one record.

Faust's machinery per event then runs once per slice; the agent stays an agent. Where reading starts is not the group's
committed offset but what ``seek`` answers: the position in the partition's own restored state. The offsets that Faust
commits serve lag tools only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, cast

import faust
from aiokafka.errors import NoOffsetForPartitionError
from aiokafka.structs import ConsumerRecord
from faust.events import Event
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.lenient import read_leniently

_FETCH_WAIT_MILLISECONDS = 50
_RECORDS_AHEAD = 20_000
"""So many records of a partition may wait for its agent: a batch. Else a worker that is behind would read all that it
has to catch up with into memory; Faust's own limit counts slices, be they of one record or of thousands."""
_FULL_SECONDS = 0.01
_FETCH_SECONDS = 0.1
"""After that long without a record it is looked again which partitions want to be read: one whose agent was behind is
left out until it has caught up."""


class Slice(NamedTuple):
    """Records of one partition that were fetched together, and the fetch positions before and after them.

    ``end`` may lie beyond the last record: what is between are markers of transactions and records of aborted ones.
    """

    begin: int
    end: int
    records: list[ConsumerRecord]
    log_end: int
    """Where the partition ended when they were fetched."""


class SliceSchema(faust.Schema[Any, Any]):
    """Hands the slice over as it is; decoding is the agent's business, so that one bad record spoils no other."""

    def compile(self, app: Any, **_: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Event:
            return Event(app, message.key, message.value, message.headers, message)

        return decode


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Reads committed records only, and notes the fetch position before and after each fetch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.handed: dict[TP, int] = {}
        """For each partition of which we have said where to begin, the offset behind what was handed out."""
        self.revocations = 0

    @property
    def reassigning(self) -> bool:
        """Whether what we had is revoked and what we get is not yet known."""
        return bool(self._ensure_consumer()._subscription.reassignment_in_progress)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        # Faust may go on reading before it has heard from us where: nothing more is handed out until we have said it.
        self.revocations += 1
        self.handed.clear()
        await super().on_partitions_revoked(revoked)

    async def begin_at(self, tp: TP, offset: int, revocations: int) -> None:
        """Read on from an offset: where the next slice begins. Nothing happens if a revocation has overtaken it."""
        await self.call_thread(self._begin_at, tp, offset, revocations)

    async def _begin_at(self, tp: TP, offset: int, revocations: int) -> None:
        # One step to the thread that fetches: between the two a slice would claim to begin where it does not.
        if revocations == self.revocations:
            self._ensure_consumer().seek(tp, offset)
            self.handed[tp] = offset

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust asks for committed records only in its own exactly-once mode; without this, aborted sales would count.
        consumer._isolation_level = "read_committed"
        consumer._auto_offset_reset = "none"
        # A fetch asks for the partitions that have nothing waiting here when it is sent; the others wait until it ends.
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MILLISECONDS
        return consumer

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> dict[TP, Any]:
        begun = {tp for tp in active_partitions or () if tp in self.handed and self._waiting(tp) < _RECORDS_AHEAD}
        if not begun:
            await asyncio.sleep(_FULL_SECONDS)
            return {}
        try:
            fetched = await super()._fetch_records(consumer, begun, timeout, max_records)
        except NoOffsetForPartitionError:
            # The fetcher looked for a committed offset before we had said where to begin. Once; now it is told.
            return {}
        except UnicodeDecodeError:
            # The name of a header is no UTF-8. What was taken out of this fetch with it, of any partition, is gone.
            read_leniently()
            for tp, offset in self.handed.items():
                consumer.seek(tp, offset)
            return {}
        slices: dict[TP, Any] = {}
        for partition, records in fetched.items():
            tp = TP(partition.topic, partition.partition)
            if records and tp in self.handed:  # not revoked while we waited
                # No await since the fetch, so the position is still the one behind these records.
                state = consumer._subscription.subscription.assignment.state_value(partition)
                slices[tp] = Slice(self.handed[tp], state.position, records, max(state.highwater or 0, state.position))
                self.handed[tp] = state.position
        return slices

    def _waiting(self, tp: TP) -> int:
        """How many records of a partition were handed out and are not applied yet."""
        return self.handed[tp] - int(cast(Any, self.consumer.app).applied(tp))


class Consumer(driver.Consumer):
    """Yields slices, and begins reading where the app says."""

    _thread: ConsumerThread

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        fetched, active = await self._wait_next_records(min(timeout, _FETCH_SECONDS))
        slices = cast("dict[TP, Slice] | None", fetched)
        if slices is None or self.should_stop:
            return
        if not self.flow_active:
            await self.perform_seek()
            return
        generation = self.app.consumer_generation_id
        for tp, piece in slices.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return  # a rebalance: every partition is sought anew before anything is read again
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                raise RuntimeError(f"records of {tp} were fetched that this worker should not read")
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            message = self._to_message(tp, piece.records[-1])
            message.value, message.key = cast(Any, piece), None
            self._read_offset[tp] = message.offset  # to Faust the slice is its last record
            yield tp, message

    def _new_offset(self, tp: TP) -> int | None:
        """What Faust commits to the group: our position.

        It would work that out from what was acknowledged and what was skipped, with a number in a list for each record.
        """
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return int(cast(Any, self.app).applied(tp)) or None

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Faust asks here where to begin, amid a change too; the app answers, not the group's offset."""
        revocations = self._thread.revocations
        if self._thread.reassigning:
            return {}  # what is still called our assignment is being dealt to somebody
        places: Mapping[TP, int] = await cast(Any, self.app).where_to_begin(self.assignment())
        for tp, offset in places.items():
            await self._thread.begin_at(tp, offset, revocations)
        return places


class Transport(driver.Transport):
    """The aiokafka transport with the consumer above."""

    Consumer = Consumer
