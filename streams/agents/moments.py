"""The timer: lets every partition of this worker see whether a moment of the calendar has come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from streams.owned import Owned
from streams.partition import Revoked


def moments_timer(owned: Owned) -> Callable[[], Awaitable[None]]:
    """A timer's body."""

    async def tick() -> None:
        async with owned.or_die():
            partitions = owned.all()
            outcomes = await asyncio.gather(*(p.apply_calendar() for p in partitions), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException) and not isinstance(outcome, Revoked):
                    raise outcome

    return tick
