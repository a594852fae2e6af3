"""The portal under load: how long its pages take, and what it costs to keep many open that update by themselves.

The web server is the real one in a process of its own; only the reading from Kafka is left out, and the read model is
filled directly. Readers and server share this machine.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from sqlalchemy import Engine

from deploy.bench.pages import BIG, Size, fill, serve
from deploy.bench.readers import Browser, OpenPage, Took, raise_open_files
from deploy.bench.selling import Seller
from deploy.runtime.clock import RealClock
from deploy.runtime.errors import NotReady
from deploy.runtime.programme import read_programme
from deploy.runtime.settings import Port, Settings, load
from schemas.values import Quarter
from services.kit.links import Invitation
from services.portal.auth import Cookies, Role, Sessions
from services.portal.queries import open_database
from streams.rules.terms import parse

_THINK_SECONDS = 1.0
"""How long staff looks at a page before the next one. The partner's readers ask for the next at once."""
_SALE_EVERY_SECONDS = 1.0
"""So often that partner sells something while his pages are read, which changes all of them."""
_WARM_UP_SECONDS = 4.0
_STAFF = 3
_WATCHED = 100
"""So many partners share the open streams."""
_OPENING = 50
"""So many streams are opened at a time."""
_IDLE_SECONDS = 30.0
_CHANGES = 50
_PATIENCE_SECONDS = 120.0
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


@dataclass(frozen=True, slots=True)
class Spread:
    """How something is spread, in milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class PageTimes:
    """How long a page took."""

    page: str
    asked: int
    server: Spread
    """From the request being read to the answer being ready."""
    browser: Spread
    """From asking to having all of it."""


@dataclass(frozen=True, slots=True)
class Streams:
    """Pages that are open and update by themselves."""

    open: int
    memory_mb: int
    """Of the server, with all of them open."""
    kb_each: float
    idle_percent: float
    """Of one processor, while nothing happens."""
    delay: Spread
    """From a sale being in the read model to the event being at each visitor's who has that partner's page open."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run came to."""

    size: Size
    readers: int
    load: float
    """The machine's load average before the run: other work shows in the figures."""
    pages_a_second: float
    """Of the partner's, all readers together."""
    together: PageTimes
    """All of the partner's pages."""
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
    seller: Seller

    def sessions(self, *invitations: Invitation, role: Role = Role.NONE) -> list[str]:
        with self.engine.begin() as connection:
            sessions = Sessions(self.engine, RealClock())
            return [sessions.open(connection, invitation, role=role) for invitation in invitations]

    def browser(self, session_id: str) -> Browser:
        return Browser(self.settings.port(Port.PORTAL), Cookies(self.settings).session, session_id)

    async def sell(self, partner_id: str) -> float:
        """Sell something. Answers when it was in the read model."""
        await asyncio.to_thread(self.seller.sell, partner_id)
        at = time.perf_counter()
        self.orders.send([partner_id])
        return at


def run(size: Size, readers: int, seconds: float, streams: int, port_base: int, say: Say) -> Figures:
    """Measure on this machine. Raises StaffelError if the server does not start or does not answer."""
    raise_open_files(streams)
    load_before = os.getloadavg()[0]
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="staffel-bench-") as folder:
        flags: dict[str, Any] = {"data": Path(folder), "port_base": port_base, "live_streams": streams + 100}
        settings = load(flags, {}).settings
        engine, programme = open_database(settings), read_programme(settings, parse)
        say(f"writing {size.sales:,} sales of one partner and {size.lines:,} of {size.partners:,} others …")
        quarter = fill(engine, programme, size)
        orders, theirs = spawn.Pipe()
        process = spawn.Process(target=serve, args=(flags, theirs))
        process.start()
        try:
            if not orders.poll(60):
                raise NotReady("the server did not start within a minute")
            seller = Seller(engine, programme, quarter)
            server = _Server(settings, engine, quarter, orders, psutil.Process(process.pid), seller)
            return asyncio.run(_measure(server, size, readers, seconds, streams, load_before, say))
        finally:
            orders.send(None)
            process.join()
            engine.dispose()


async def _measure(
    server: _Server, size: Size, readers: int, seconds: float, streams: int, load_before: float, say: Say
) -> Figures:
    facts = {"quarter": server.quarter, "day": server.quarter.first_day + timedelta(days=20)}
    pages = {name: path.format(**facts) for name, path in PARTNER_PAGES.items()}
    say(f"{readers} readers look at that partner's pages for {seconds:.0f} s, while he sells something every second …")
    own = server.sessions(*[Invitation("partner", BIG)] * readers)
    selling = asyncio.ensure_future(_keep_selling(server))
    partner_times = await _read(server, own, pages, seconds, think=0)
    selling.cancel()
    say("the vendor's staff looks at theirs …")
    staff = server.sessions(*[Invitation("staff", "")] * _STAFF, role=Role.VIEWER)
    staff_times = await _read(server, staff, STAFF_PAGES, seconds, _THINK_SECONDS)
    memory = server.process.memory_info().rss
    say(f"opening {streams:,} pages that update by themselves …")
    every = [took for times in partner_times.values() for took in times]
    return Figures(
        size=size,
        readers=readers,
        load=round(load_before, 1),
        pages_a_second=round(len(every) / seconds, 1),
        together=_page_times("all together", every),
        partner_pages=[_page_times(*times) for times in partner_times.items()],
        staff_pages=[_page_times(*times) for times in staff_times.items()],
        memory_mb=memory >> 20,
        streams=await _streams(server, streams, memory),
    )


async def _keep_selling(server: _Server) -> None:
    while True:
        await server.sell(BIG)
        await asyncio.sleep(_SALE_EVERY_SECONDS)


async def _read(
    server: _Server, sessions: list[str], pages: dict[str, str], seconds: float, think: float
) -> dict[str, list[Took]]:
    """Each reader goes round the pages, each from another one on. The first ones don't count."""
    times: dict[str, list[Took]] = {name: [] for name in pages}
    begin = time.monotonic() + _WARM_UP_SECONDS
    until = begin + seconds

    async def read(number: int, session_id: str) -> None:
        browser = server.browser(session_id)
        await asyncio.sleep(think * number / len(sessions))
        while time.monotonic() < until:
            name, path = list(pages.items())[number % len(pages)]
            took = await browser.get(path)
            if time.monotonic() > begin:
                times[name].append(took)
            await asyncio.sleep(think)
            number += 1
        browser.close()

    await asyncio.gather(*(read(number, session_id) for number, session_id in enumerate(sessions)))
    return times


async def _streams(server: _Server, number: int, memory_before: int) -> Streams:
    sessions = server.sessions(*(Invitation("partner", f"P{n}") for n in range(_WATCHED)))
    gate = asyncio.Semaphore(_OPENING)

    async def follow(which: int) -> OpenPage:
        async with gate:
            return await OpenPage.follow(server.browser(sessions[which]), "/events")

    opened = await asyncio.gather(*(follow(n % _WATCHED) for n in range(number)))
    busy = sum(server.process.cpu_times()[:2])
    reading = [asyncio.ensure_future(page.read()) for page in opened]
    await asyncio.sleep(_IDLE_SECONDS)
    idle = (sum(server.process.cpu_times()[:2]) - busy) / _IDLE_SECONDS
    memory = server.process.memory_info().rss
    delays: list[float] = []
    for n in range(_CHANGES):
        own = opened[n % _WATCHED :: _WATCHED]
        delays += await _change(server, f"P{n % _WATCHED}", own)
    for task in reading:
        task.cancel()
    for page in opened:
        page.close()
    each = (memory - memory_before) / 1024 / max(1, number)
    return Streams(number, memory >> 20, round(each, 1), round(100 * idle, 1), _spread(delays))


async def _change(server: _Server, partner_id: str, pages: list[OpenPage]) -> list[float]:
    """One more sale of a partner: how long until it was on each of the pages that show him."""
    for page in pages:
        page.updated.clear()
    sold = await server.sell(partner_id)
    await asyncio.wait_for(asyncio.gather(*(page.updated.wait() for page in pages)), _PATIENCE_SECONDS)
    return [page.updated_at - sold for page in pages]


def _page_times(name: str, times: list[Took]) -> PageTimes:
    server, browser = (_spread([took[which] for took in times]) for which in (0, 1))
    return PageTimes(name, len(times), server, browser)


def _spread(seconds: list[float]) -> Spread:
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1) if ordered else 0.0

    return Spread(at(0.5), at(0.95), at(0.99))
