"""Holes that the stream does not have, put back one at a time: a search that does not find each is worth nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import IsolationLevel, KafkaException

from schemas.topics import SALES
from streams import intake, partition, restore
from streams.held import HeldPartition
from streams.owned import Owned
from streams.partition import Partition
from streams.restore import SOURCES
from streams.rules.fold import Account, Draft
from tests.simulation import worker
from tests.simulation.worker import Worker

Plant = Callable[[pytest.MonkeyPatch], None]


def an_exception_is_swallowed_in_the_agent(patch: pytest.MonkeyPatch) -> None:
    """Faust would restart the agent with the next slice."""

    @contextlib.asynccontextmanager
    async def go_on(_: Owned) -> AsyncIterator[None]:
        with contextlib.suppress(Exception):
            yield

    patch.setattr(Owned, "or_die", go_on)


def reading_begins_at_the_groups_offset(patch: pytest.MonkeyPatch) -> None:
    ask = Owned.where_to_begin

    async def where_to_begin(self: Owned, assigned: Any) -> Mapping[Any, int]:
        world = self._around.machine._worker.world  # type: ignore[attr-defined]
        places = await ask(self, assigned)
        return {tp: world.group_offsets.get((world.source_of[tp.topic], tp.partition), at) for tp, at in places.items()}

    patch.setattr(Owned, "where_to_begin", where_to_begin)


def the_position_is_not_held_against_the_log(patch: pytest.MonkeyPatch) -> None:
    prove = restore._prove
    patch.setattr(restore, "_prove", lambda restored, _logs, number: prove(restored, {}, number))


def uncommitted_records_are_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(worker, "READS_COMMITTED", False)


def state_hidden_by_an_open_transaction_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    latest = restore._latest
    patch.setattr(restore, "_latest", lambda admin, places, _: latest(admin, places, IsolationLevel.READ_COMMITTED))


def a_producer_that_saw_an_error_is_used_on(patch: pytest.MonkeyPatch) -> None:
    commit = Partition._commit

    def twice(self: Partition, draft: Draft, positions: Any, others: Sequence[Any]) -> None:
        try:
            commit(self, draft, positions, others)
        except KafkaException as error:
            if error.args[0].fatal():
                raise
            with contextlib.suppress(KafkaException):
                self._producer.abort_transaction()
            self._producer._begun = False
            commit(self, draft, positions, others)

    patch.setattr(Partition, "_commit", twice)


def a_sale_reported_again_counts_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Account, "line", lambda *_: None)


def a_record_in_the_wrong_partition_is_counted_there(patch: pytest.MonkeyPatch) -> None:
    def read_sale(record: Any, codec: Any, number: int, partitions: int) -> Any:
        found = intake.read_sale(record, codec, number, partitions)
        return codec.decode(SALES, record.value) if isinstance(found, intake.Stray) else found

    patch.setattr(partition, "read_sale", read_sale)


def a_wrong_clock_is_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Partition, "_clock_is_right", lambda _: True)


def a_partition_is_taken_that_was_revoked_or_is_being_taken(patch: pytest.MonkeyPatch) -> None:
    async def where_to_begin(self: Owned, assigned: Any) -> Mapping[Any, int]:
        numbers = self._numbers(assigned, SALES)
        async with self.or_die():
            new = sorted(numbers - self._partitions.keys())
            for taken in await asyncio.gather(*(HeldPartition.take(number, self._around) for number in new)):
                self._partitions[taken.number] = taken
        by_name = {source.full_name(self._around.settings.topic_prefix): source for source in SOURCES}
        return {
            tp: self._partitions[tp.partition].next_offset(by_name[tp.topic])
            for tp in assigned
            if tp.partition in self._partitions
        }

    patch.setattr(Owned, "where_to_begin", where_to_begin)


def partitions_are_taken_while_they_are_being_dealt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Worker, "reassigning", property(lambda _: False, lambda *_: None), raising=False)


PLANTS: list[Plant] = [
    an_exception_is_swallowed_in_the_agent,
    reading_begins_at_the_groups_offset,
    the_position_is_not_held_against_the_log,
    uncommitted_records_are_read,
    state_hidden_by_an_open_transaction_is_not_waited_for,
    a_producer_that_saw_an_error_is_used_on,
    a_sale_reported_again_counts_again,
    a_record_in_the_wrong_partition_is_counted_there,
    a_wrong_clock_is_believed,
    a_partition_is_taken_that_was_revoked_or_is_being_taken,
    partitions_are_taken_while_they_are_being_dealt,
]
