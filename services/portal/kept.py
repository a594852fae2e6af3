"""Pages that were made before and are the same still: made once for all who ask, kept within bounds.

What may be asked for here, and why nobody is shown what is another's or old: deploy/decisions/0024-kept-pages.md.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from starlette.concurrency import run_in_threadpool

_MAKERS, _MAKERS_APART = 4, 2
"""So many are made at a time, and so many that nobody waits for: more threads would only take the processor from each
other."""
OFTEN = 10
"""What was asked for so many times without a pause is asked for a lot."""
Made = TypeVar("Made")


@dataclass(slots=True)
class _Copy(Generic[Made]):
    state: Hashable
    made: Made
    right_at: float
    """When it was last known to be of the latest state."""
    asked_at: float
    asked: int = 1
    """How many times without a pause."""


class _Making(NamedTuple, Generic[Made]):
    state: Hashable
    future: asyncio.Future[Made]


class Kept(Generic[Made]):
    """What was made, by what it is, with the state of the facts that it was made of. Used in the event loop alone.

    What is asked for a lot may be ``behind`` by so many seconds: while it is made anew, all are given what was right
    until just now, and nobody waits.
    """

    def __init__(
        self,
        room: int,
        size: Callable[[Made], int],
        behind: float = 0.0,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._room, self._size, self._behind, self._seconds = room, size, behind, seconds
        self._kept: OrderedDict[Hashable, _Copy[Made]] = OrderedDict()  # the least lately used first
        self._making: dict[Hashable, _Making[Made]] = {}
        self._makers, self._apart = asyncio.Semaphore(_MAKERS), asyncio.Semaphore(_MAKERS_APART)
        self.used = 0
        """Size of all that is kept."""

    async def get(self, what: Hashable, state: Hashable, make: Callable[[], Made]) -> Made:
        """It, as of this state. If it was made of another or not at all, ``make`` makes it, in a thread.

        The state must have been read before ``make`` reads the facts: then they are as new as it, or newer.
        """
        now, copy = self._seconds(), self._kept.get(what)
        if copy is not None:
            self._note_asked(what, copy, now)
            if copy.state == state:
                copy.right_at = now
                return copy.made
        will_do = copy if copy is not None and self._will_do(copy, now) else None
        making = self._making.get(what)
        if making is None or (making.state != state and will_do is None):
            makers = self._makers if will_do is None else self._apart
            making = _Making(state, asyncio.ensure_future(self._make(what, state, make, now, makers)))
            self._making[what] = making
        if will_do is not None:
            return will_do.made
        return await asyncio.shield(making.future)  # others wait for it, even if this one goes

    def _note_asked(self, what: Hashable, copy: _Copy[Made], now: float) -> None:
        self._kept.move_to_end(what)
        copy.asked = copy.asked + 1 if now - copy.asked_at < self._behind else 1
        copy.asked_at = now

    def _will_do(self, copy: _Copy[Made], now: float) -> bool:
        return copy.asked >= OFTEN and now - copy.right_at < self._behind

    async def _make(
        self, what: Hashable, state: Hashable, make: Callable[[], Made], asked_at: float, makers: asyncio.Semaphore
    ) -> Made:
        try:
            async with makers:
                made = await run_in_threadpool(make)
        finally:
            if what in self._making and self._making[what].state == state:
                del self._making[what]
        self._keep(what, _Copy(state, made, asked_at, asked_at))
        return made

    def _keep(self, what: Hashable, copy: _Copy[Made]) -> None:
        before = self._kept.pop(what, None)
        if before is not None:
            self.used -= self._size(before.made)
            copy.asked, copy.asked_at = before.asked, before.asked_at
        self._kept[what] = copy
        self.used += self._size(copy.made)
        while self.used > self._room:
            _, oldest = self._kept.popitem(last=False)
            self.used -= self._size(oldest.made)
