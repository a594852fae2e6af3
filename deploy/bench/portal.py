"""The portal under load: how long its pages take, and what it costs to keep many open that update by themselves.

The web server is the real one in a process of its own; only the reading from Kafka is left out, and the read model is
filled directly. Readers and server share this machine.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from sqlalchemy import Engine, update

from deploy.bench.pages import BIG, Size, fill, serve
from deploy.bench.readers import Browser, raise_open_files
from deploy.runtime.clock import RealClock
from deploy.runtime.errors import NotReady
from deploy.runtime.programme import read_programme
from deploy.runtime.settings import Port, Settings, load
from schemas.values import Quarter
from services.kit.links import Invitation
from services.portal.auth import Cookies, Role, Sessions
from services.portal.queries import open_database
from services.portal.tables import tallies
from streams.rules.terms import parse

_THINK_SECONDS = 1.0
"""How long a reader looks at a page before the next one."""
_WARM_UP_SECONDS = 4.0
_STAFF = 3
_WATCHED = 100
"""So many partners share the open streams."""
_OPENING = 50
"""So many streams are opened at a time."""
_IDLE_SECONDS = 30.0
_CHANGES = 50
PARTNER_PAGES = {
    "standing": "/",
    "sales": "/sales",
    "sales, far back": "/sales?before={quarter}.{day}.B-5",
    "sales not counted": "/sales?status=rejected",
    "by whole number": "/sales?q=b-77",
    "by part of a number": "/sales?q=ig-99999",
    "one sale": "/sale?id=B-77",
    "quarters": "/quarters",
}
STAFF_PAGES = {
    "programme": "/programme",
    "partners": "/partners",
    "partners by name": "/partners?q=1234",
    "near a threshold": "/partners?near=1",
}
Say = Callable[[str], None]


class PageTimes(NamedTuple):
    """From asking for a page to having all of it, in milliseconds."""

    page: str
    asked: int
    p50_ms: float
    p99_ms: float


class Streams(NamedTuple):
    """Pages that are open and update by themselves."""

    open: int
    memory_mb: int
    """Of the server, with all of them open."""
    kb_each: float
    idle_percent: float
    """Of one processor, while nothing happens."""
    p50_ms: float
    """From a change being published to all of its event being at the visitor's."""
    p99_ms: float


class Figures(NamedTuple):
    """What a run came to."""

    size: Size
    readers: int
    partner_pages: list[PageTimes]
    staff_pages: list[PageTimes]
    memory_mb: int
    """Of the server, before the streams are opened."""
    streams: Streams


class _Server(NamedTuple):
    settings: Settings
    engine: Engine
    quarter: Quarter
    orders: Connection
    process: psutil.Process

    def sessions(self, *invitations: Invitation, role: Role = Role.NONE) -> list[str]:
        with self.engine.begin() as connection:
            sessions = Sessions(self.engine, RealClock())
            return [sessions.open(connection, invitation, role=role) for invitation in invitations]

    def browser(self, session_id: str) -> Browser:
        return Browser(self.settings.port(Port.PORTAL), Cookies(self.settings).session, session_id)


def run(size: Size, readers: int, seconds: float, streams: int, port_base: int, say: Say) -> Figures:
    """Measure on this machine. Raises StaffelError if the server does not start or does not answer."""
    raise_open_files(streams)
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="staffel-bench-") as folder:
        flags: dict[str, Any] = {"data": Path(folder), "port_base": port_base, "live_streams": streams + 100}
        settings = load(flags, {}).settings
        engine = open_database(settings)
        say(f"writing {size.sales:,} sales of one partner and {size.lines:,} of {size.partners:,} others …")
        quarter = fill(engine, read_programme(settings, parse), size)
        orders, theirs = spawn.Pipe()
        process = spawn.Process(target=serve, args=(flags, theirs))
        process.start()
        try:
            if not orders.poll(60):
                raise NotReady("the server did not start within a minute")
            server = _Server(settings, engine, quarter, orders, psutil.Process(process.pid))
            return asyncio.run(_measure(server, size, readers, seconds, streams, say))
        finally:
            orders.send(None)
            process.join()
            engine.dispose()


async def _measure(server: _Server, size: Size, readers: int, seconds: float, streams: int, say: Say) -> Figures:
    facts = {"quarter": server.quarter, "day": server.quarter.first_day + timedelta(days=20)}
    pages = {name: path.format(**facts) for name, path in PARTNER_PAGES.items()}
    say(f"{readers} readers look at that partner's pages for {seconds:.0f} s …")
    own = server.sessions(*[Invitation("partner", BIG)] * readers)
    partner_pages = await _read(server, own, pages, seconds)
    say("the vendor's staff looks at theirs …")
    staff = server.sessions(*[Invitation("staff", "")] * _STAFF, role=Role.VIEWER)
    staff_pages = await _read(server, staff, STAFF_PAGES, seconds)
    memory = server.process.memory_info().rss
    say(f"opening {streams:,} pages that update by themselves …")
    return Figures(size, readers, partner_pages, staff_pages, memory >> 20, await _streams(server, streams, memory))


async def _read(server: _Server, sessions: list[str], pages: dict[str, str], seconds: float) -> list[PageTimes]:
    """Each reader goes round the pages, each from another one on, and thinks in between. The first ones don't count."""
    times: dict[str, list[float]] = defaultdict(list)
    begin = time.monotonic() + _WARM_UP_SECONDS
    until = begin + seconds

    async def read(number: int, session_id: str) -> None:
        browser = server.browser(session_id)
        await asyncio.sleep(_THINK_SECONDS * number / len(sessions))
        while time.monotonic() < until:
            name, path = list(pages.items())[number % len(pages)]
            took = await browser.get(path)
            if time.monotonic() > begin:
                times[name].append(took)
            await asyncio.sleep(_THINK_SECONDS)
            number += 1
        browser.close()

    await asyncio.gather(*(read(number, session_id) for number, session_id in enumerate(sessions)))
    return [PageTimes(name, len(times[name]), _at(times[name], 0.5), _at(times[name], 0.99)) for name in pages]


async def _streams(server: _Server, number: int, memory_before: int) -> Streams:
    sessions = server.sessions(*(Invitation("partner", f"P{n}") for n in range(_WATCHED)))
    readers: dict[int, list[asyncio.StreamReader]] = defaultdict(list)
    browsers = []
    gate = asyncio.Semaphore(_OPENING)

    async def follow(which: int) -> None:
        async with gate:
            browser = server.browser(sessions[which])
            browsers.append(browser)
            reader = await browser.follow("/events")
            await reader.readuntil(b"\n\n")
            readers[which].append(reader)

    await asyncio.gather(*(follow(n % _WATCHED) for n in range(number)))
    busy = sum(server.process.cpu_times()[:2])
    reading = [asyncio.ensure_future(_drain(reader)) for own in readers.values() for reader in own]
    await asyncio.sleep(_IDLE_SECONDS)
    idle = (sum(server.process.cpu_times()[:2]) - busy) / _IDLE_SECONDS
    memory = server.process.memory_info().rss
    times = [await _change(server, n % _WATCHED, sessions[n % _WATCHED]) for n in range(_CHANGES)]
    for task in reading:
        task.cancel()
    for browser in browsers:
        browser.close()
    each = (memory - memory_before) / 1024 / max(1, number)
    return Streams(number, memory >> 20, round(each, 1), round(100 * idle, 1), _at(times, 0.5), _at(times, 0.99))


async def _change(server: _Server, which: int, session_id: str) -> float:
    """Another unit for one partner, seen by one more page of his beside the others."""
    browser = server.browser(session_id)
    reader = await browser.follow("/events")
    await reader.readuntil(b"\n\n")
    with server.engine.begin() as connection:
        own = tallies.c.partner_id == f"P{which}"
        connection.execute(update(tallies).where(own).values(units=tallies.c.units + 1, counted=tallies.c.counted + 1))
    await asyncio.sleep(0.5)  # it rests after what it sent first
    began = time.perf_counter()
    server.orders.send([f"P{which}"])
    while b"data:" not in await reader.readuntil(b"\n\n"):
        pass
    took = time.perf_counter() - began
    browser.close()
    return took


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(2**16):
        pass


def _at(seconds: list[float], share: float) -> float:
    """A quantile, in milliseconds."""
    ordered = sorted(seconds)
    return round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1) if ordered else 0.0
