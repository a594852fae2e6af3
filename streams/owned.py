"""The partitions that this worker owns now. One object per partition and assignment; made at assignment only."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from faust.types import TP

from deploy.runtime.errors import Exit, NotReady, StaffelError
from schemas.codec import RegistryAway
from schemas.topics import Topic
from streams import metrics
from streams.held import HeldPartition
from streams.letters import TooManyDeadLetters
from streams.partition import Revoked
from streams.restore import SOURCES
from streams.surroundings import Surroundings

_log = logging.getLogger("streams.owned")
STOPPED_SECONDS = 60
"""How long a worker that dead letters have stopped stays, so that its metrics are seen and nobody else runs into them
at once."""


class Owned:
    """Takes partitions when they are assigned and gives them up when they are revoked."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._partitions: dict[int, HeldPartition] = {}
        self._changing = asyncio.Lock()
        self._revocations = 0
        self.assigned = False
        """Whether an assignment was completed since the last revocation."""

    def partition(self, number: int) -> HeldPartition:
        """The partition, if it is ours now. Raises Revoked."""
        try:
            return self._partitions[number]
        except KeyError:
            raise Revoked(f"partition {number} is not ours") from None

    def applied(self, tp: TP) -> int:
        """The offset up to which a source's partition is applied; 0 if it is not ours. Any thread may ask."""
        held = self._partitions.get(tp.partition)
        source = next(topic for topic in SOURCES if topic.full_name(self._around.settings.topic_prefix) == tp.topic)
        return held.next_offset(source) if held is not None else 0

    def all(self) -> list[HeldPartition]:
        """All partitions that are ours now."""
        return list(self._partitions.values())

    async def where_to_begin(self, assigned: Iterable[TP]) -> Mapping[TP, int]:
        """Take what is assigned and not ours yet, all at once, and answer where to begin reading each source.

        Faust may ask twice at once, and revoke meanwhile: one change at a time, or a partition is taken twice and
        fences itself, or is taken when it is somebody else's. An answer that a revocation has overtaken is empty.
        """
        revocations = self._revocations
        async with self.or_die(), self._changing:
            if revocations != self._revocations:
                return {}
            by_source = {topic.name: self._numbers(assigned, topic) for topic in SOURCES}
            numbers = by_source[SOURCES[0].name]
            if any(found != numbers for found in by_source.values()):
                raise StaffelError(
                    f"sales and partners were assigned unevenly: {by_source}", "both topics need as many partitions"
                )
            new = sorted(numbers - self._partitions.keys())
            for taken in await asyncio.gather(*(HeldPartition.take(number, self._around) for number in new)):
                self._partitions[taken.number] = taken
            self.assigned = True
            metrics.OWNED.set(len(self._partitions))
            _log.info("partitions restored: %s", sorted(self._partitions))
        prefix = self._around.settings.topic_prefix
        return {
            TP(topic.full_name(prefix), number): self._partitions[number].next_offset(topic)
            for topic in SOURCES
            for number in numbers
        }

    async def give_up(self, revoked: Iterable[TP]) -> None:
        """Close what is revoked: a running transaction is waited for, nothing begins any more."""
        self._revocations += 1
        self.assigned = False
        numbers = {tp.partition for tp in revoked}
        await self._close(numbers)
        async with self._changing:
            await self._close(numbers)  # those whose taking was under way
        metrics.OWNED.set(len(self._partitions))

    async def _close(self, numbers: Iterable[int]) -> None:
        leaving = [self._partitions.pop(number) for number in numbers if number in self._partitions]
        await asyncio.gather(*(partition.close() for partition in leaving))

    @asynccontextmanager
    async def or_die(self) -> AsyncIterator[None]:
        """What is not handled ends the process: Faust would restart the agent and skip the slice."""
        try:
            yield
        except asyncio.CancelledError:
            raise
        except Revoked as error:
            _log.info("%s; what was read is left to the new owner", error)
        except RegistryAway as error:
            # Nothing is known about the bytes: they are no dead letter, and nothing behind them may be applied first.
            self._end(NotReady(str(error), "is the registry running? see ./staffel status"))
        except TooManyDeadLetters as error:
            metrics.STOPPED_BY_DEAD_LETTERS.set(1)
            _log.critical("the worker stops and will end: %s", error.message)
            # Faust would wait for the batch that is not going to be applied.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end, error)
            await asyncio.sleep(STOPPED_SECONDS)
            self._end(error)
        except BaseException as error:  # noqa: BLE001
            self._end(error)

    def _end(self, error: BaseException) -> None:
        _log.critical("the worker ends: %r", error, exc_info=not isinstance(error, StaffelError))
        code = Exit.FAILED
        if isinstance(error, StaffelError):
            code = error.exit_code
            print(f"worker: {error.message}\nhint: {error.hint}", file=sys.stderr)
        self._around.machine.exit(code)

    def _numbers(self, assigned: Iterable[TP], topic: Topic) -> set[int]:
        name = topic.full_name(self._around.settings.topic_prefix)
        return {tp.partition for tp in assigned if tp.topic == name}
