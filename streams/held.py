"""A partition as the worker holds it: the partition, and the one lane on which everything happens to it in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from schemas.topics import Topic
from streams.partition import Partition, Revoked
from streams.surroundings import Lane, Surroundings
from streams.transport import Slice

T = TypeVar("T")


class HeldPartition:
    """One assignment of a partition. The lane is its lock; once closed, nothing begins on it any more."""

    def __init__(self, number: int, lane: Lane) -> None:
        self.number = number
        self._lane = lane
        self._alive = True
        self._partition: Partition

    @classmethod
    async def take(cls, number: int, around: Surroundings) -> HeldPartition:
        """Fence the former owner, restore the state, prove it. Raises StaffelError if it is not sound."""
        held = cls(number, around.machine.lane(f"partition-{number}"))
        try:
            held._partition = await held._run(partial(Partition.take, number, around))
        except BaseException:
            await held._lane.finish()  # cancelled: what runs on would fence whoever takes the partition next
            raise
        return held

    def next_offset(self, source: Topic) -> int:
        """Where reading of a source goes on."""
        return self._partition.next_offset(source)

    async def apply(self, source: Topic, slices: Sequence[Slice]) -> None:
        """Apply consecutive slices of a source in one transaction. Raises Revoked after ``close``."""
        await self._run(partial(self._partition.apply, source, slices))

    async def apply_calendar(self) -> None:
        """Apply each moment that has become due, in a transaction each. Raises Revoked after ``close``."""
        await self._run(self._partition.apply_calendar)

    async def close(self) -> None:
        """Give the partition up: a running transaction is waited for, nothing begins any more."""
        self._alive = False
        await self._lane.finish()
        self._partition.close()

    async def _run(self, work: Callable[[], T]) -> T:
        self._still_ours()
        return await self._lane.run(partial(self._if_still_ours, work))

    def _if_still_ours(self, work: Callable[[], T]) -> T:
        self._still_ours()  # it may have been given up while the work waited for its turn
        try:
            return work()
        except BaseException:
            # What became of a transaction is not known: nothing that waits behind it may build on what is in memory.
            self._alive = False
            raise

    def _still_ours(self) -> None:
        if not self._alive:
            raise Revoked(f"partition {self.number} is not ours any more")
