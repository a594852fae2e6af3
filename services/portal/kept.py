"""Pages that were made before and are the same still: made once for all who ask, kept within bounds.

What may be asked for here, and why nobody is shown what is another's or old: deploy/decisions/0024-kept-pages.md.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

_MAKERS = 4
"""So many are made at a time: more threads would only take the processor from each other."""
Made = TypeVar("Made")


class Kept(Generic[Made]):
    """What was made, by what it is, with the state of the facts that it was made of. Used in the event loop alone."""

    def __init__(self, room: int, size: Callable[[Made], int]) -> None:
        self._room, self._size = room, size
        self._kept: OrderedDict[Hashable, tuple[Hashable, Made]] = OrderedDict()  # the least lately used first
        self._making: dict[Hashable, asyncio.Future[Made]] = {}
        self._makers = asyncio.Semaphore(_MAKERS)
        self.used = 0
        """Size of all that is kept."""

    async def get(self, what: Hashable, state: Hashable, make: Callable[[], Made]) -> Made:
        """It, as of this state. If it was made of another or not at all, ``make`` makes it, in a thread.

        The state must have been read before ``make`` reads the facts: then they are as new as it, or newer.
        """
        before = self._kept.get(what)
        if before is not None and before[0] == state:
            self._kept.move_to_end(what)
            return before[1]
        making = self._making.get((what, state))
        if making is None:
            making = asyncio.ensure_future(self._make(what, state, make))
            self._making[what, state] = making
        return await asyncio.shield(making)  # others wait for it, even if this one goes

    async def _make(self, what: Hashable, state: Hashable, make: Callable[[], Made]) -> Made:
        try:
            async with self._makers:
                made = await run_in_threadpool(make)
        finally:
            del self._making[what, state]
        self._keep(what, state, made)
        return made

    def _keep(self, what: Hashable, state: Hashable, made: Made) -> None:
        if what in self._kept:
            self.used -= self._size(self._kept.pop(what)[1])
        self._kept[what] = state, made
        self.used += self._size(made)
        while self.used > self._room:
            _, (_, oldest) = self._kept.popitem(last=False)
            self.used -= self._size(oldest)
