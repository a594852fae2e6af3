"""The agents of ``sales`` and ``partners``: take what has queued up, give it to the partition in one batch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from schemas.topics import Topic
from streams.owned import Owned
from streams.transport import Slice

_BATCH_RECORDS = 20_000


def record_agent(owned: Owned, source: Topic) -> Callable[[Any], Awaitable[None]]:
    """An agent for a source topic. Run one for each partition (``isolated_partitions``)."""

    async def apply(stream: Any) -> None:
        async for first in stream.events():
            events = [first, *_waiting(stream, first)]
            async with owned.or_die():
                await owned.partition(first.message.partition).apply(source, [event.value for event in events])
            for event in events[1:]:
                event.ack()

    return apply


def _waiting(stream: Any, first: Any) -> list[Any]:
    """What has queued up for the partition meanwhile: without this each small slice would cost its own transaction."""
    queue = stream.channel.queue
    events: list[Any] = []
    piece: Slice = first.value
    records = len(piece.records)
    while records < _BATCH_RECORDS and not queue.empty():
        event = queue.get_nowait()
        records += len(event.value.records)
        events.append(event)
    return events
