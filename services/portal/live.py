"""Live pages: who changed a partner's rows wakes the streams that show him; each sends what looks different now."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from services.portal.metrics import LIVE

EVERYBODY = ""
"""What a stream watches that shows all partners. No partner's id is empty."""
STREAMS_MAX = 2000


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


Render = Callable[[], Fragments | None]
"""Makes the fragments afresh; None when the visitor may not see them any more."""


class Changes:
    """Passes changes on from the thread that writes them to the streams that show them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching: dict[str, set[asyncio.Event]] = {}
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

    @property
    def full(self) -> bool:
        """True if there is no room for another stream."""
        return sum(len(events) for events in self._watching.values()) >= STREAMS_MAX

    @contextmanager
    def watch(self, partner_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when a partner's rows have changed."""
        event = asyncio.Event()
        self._watching.setdefault(partner_id, set()).add(event)
        LIVE.inc()
        try:
            yield event
        finally:
            LIVE.dec()
            self._watching[partner_id].discard(event)
            if not self._watching[partner_id]:
                del self._watching[partner_id]

    def _wake(self, partner_ids: set[str]) -> None:
        for partner_id in (*partner_ids, EVERYBODY):
            for event in self._watching.get(partner_id, ()):
                event.set()


async def stream(
    changes: Changes, partner_id: str, render: Render, seen: str, look_every: float, rest: float
) -> AsyncIterator[str]:
    """Server-sent events: the regions that differ from what was sent before; a comment where nothing does.

    ``seen`` is the version that the visitor has. Looks when woken, and every so many seconds for what time changes;
    then rests for some seconds, so that a burst of sales becomes a few updates.
    """
    sent: dict[str, str] = {}
    with changes.watch(partner_id) as changed:
        while not changes.closed:
            changed.clear()
            found = await run_in_threadpool(render)
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
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), look_every)
            await asyncio.sleep(0 if changes.closed else rest)
