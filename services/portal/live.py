"""Live pages: who changed a partner's rows wakes the streams that show him; each sends what looks different now."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeVar

from starlette.concurrency import run_in_threadpool

from services.portal.metrics import LIVE

EVERYBODY = ""
"""What a stream watches that shows all partners. No partner's id is empty."""
_RENDERERS = 4
"""So many streams are rendered at a time: a close that changes everybody's page must not keep pages from being made."""


class Fragments(NamedTuple):
    """The live parts of a page as HTML, by name, and a sentence that says the main thing to who can't see it."""

    regions: dict[str, str]
    say: str
    passing: dict[str, str]
    """Parts that change with time alone; they go along when sent, but are no reason to send."""

    @property
    def version(self) -> str:
        """The same for the same content."""
        return hashlib.blake2b("\0".join(self.regions.values()).encode(), digest_size=8).hexdigest()

    @property
    def size(self) -> int:
        """Bytes that it takes, about: two a character, as where there is a euro sign."""
        return 2 * sum(map(len, self.regions.values()))


Found = TypeVar("Found")
Render = Callable[[Hashable], Awaitable[Fragments | None]]
"""Makes the fragments of this state; None when the visitor may not see them any more."""
Still = Callable[[], Hashable | None]
"""The state: another one where time or a change makes another page; None when the visitor may not see it any more."""


class Changes:
    """Passes changes on from the thread that writes them to the streams that show them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching: dict[str, set[asyncio.Event]] = {}
        self._rendering = asyncio.Semaphore(_RENDERERS)
        self.streams = 0
        """How many are open."""
        self.closed = False

    def open(self) -> None:
        """Begin to pass changes on to the event loop that runs."""
        self._loop = asyncio.get_running_loop()

    def publish(self, partner_ids: Iterable[str]) -> None:
        """Wake the streams of these partners. Called from any thread, after the rows are committed."""
        if self._loop is not None and not self.closed:
            with suppress(RuntimeError):  # the loop ended meanwhile, and nobody watches
                self._loop.call_soon_threadsafe(self._wake, set(partner_ids))

    def close(self) -> None:
        """End all streams. Called in the event loop."""
        self.closed = True
        for events in self._watching.values():
            for event in events:
                event.set()

    @contextmanager
    def watch(self, partner_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when a partner's rows have changed."""
        event = asyncio.Event()
        self._watching.setdefault(partner_id, set()).add(event)
        LIVE.inc()
        self.streams += 1
        try:
            yield event
        finally:
            LIVE.dec()
            self.streams -= 1
            self._watching[partner_id].discard(event)
            if not self._watching[partner_id]:
                del self._watching[partner_id]

    async def apart(self, work: Callable[[], Found]) -> Found:
        """Do something for a stream in a thread, beside few others."""
        async with self._rendering:
            return await run_in_threadpool(work)

    def _wake(self, partner_ids: set[str]) -> None:
        for partner_id in (*partner_ids, EVERYBODY):
            for event in self._watching.get(partner_id, ()):
                event.set()


async def stream(
    changes: Changes, partner_id: str, render: Render, still: Still, seen: str, look_every: float, rest: float
) -> AsyncIterator[str]:
    """Server-sent events: the regions that differ from what was sent before; a comment where nothing does.

    ``seen`` is the version that the visitor has. Renders when woken, and asks ``still`` every so many seconds whether
    something else has changed the page, which costs little where nothing happens; then rests for some seconds, so that
    a burst of sales becomes a few updates.
    """
    sent: dict[str, str] = {}
    known: Hashable | None = None
    with changes.watch(partner_id) as changed:
        changed.set()
        while not changes.closed:
            woken = changed.is_set()
            changed.clear()
            before, known = known, await changes.apart(still)
            if known is not None and known == before and not woken:
                yield ": still here\n\n"
                await _wait(changed, look_every)
                continue
            found = await render(known) if known is not None else None
            if found is None:
                yield "event: ended\ndata:\n\n"
                return
            if found.version == seen:
                sent |= found.regions
            now = found.passing | found.regions
            different = {name: html for name, html in now.items() if sent.get(name) != html}
            if different:
                say = found.say if found.version != seen else ""
                yield f"id: {found.version}\ndata: {json.dumps({'regions': different, 'say': say})}\n\n"
                sent |= different
                seen = found.version
            else:
                yield ": still here\n\n"
            await _wait(changed, look_every)
            await asyncio.sleep(0 if changes.closed else rest)


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(changed.wait(), seconds)
