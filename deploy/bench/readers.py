"""Browsers of the portal's benchmark: as little of HTTP as it takes to ask for a page, or to follow one."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import NamedTuple

from deploy.runtime.errors import NotReady

_OWN_TIME = b"server-timing: app;dur="


class Took(NamedTuple):
    """How long a page took, in seconds."""

    server: float
    """From the request being read to the answer being ready, as the server says."""
    browser: float
    """From asking to having all of it."""


def raise_open_files(wanted: int) -> None:
    """Let this process, and those it starts, hold so many connections. Raises NotReady if the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise NotReady(
            f"the system lets a process open {hard} files", f"raise it to {needed}, or measure fewer streams"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))


class Browser:
    """One connection that is kept open, with a session."""

    def __init__(self, port: int, cookie: str, session_id: str) -> None:
        self._port, self._cookie = port, f"{cookie}={session_id}"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def get(self, path: str) -> Took:
        """Ask for a page and read all of it. Raises NotReady unless it is a page."""
        began = time.perf_counter()
        try:
            reader, head = await self._ask(path)
        except (ConnectionError, asyncio.IncompleteReadError):  # the server ends a connection that was quiet
            self._reader = None
            reader, head = await self._ask(path)
        lines = head.lower().split(b"\r\n")
        length, server_ms = (_said(lines, name) for name in (b"content-length: ", _OWN_TIME))
        if not head.startswith(b"HTTP/1.1 200") or length is None or server_ms is None:
            raise NotReady(f"{path} answers {head[:40]!r}")
        await reader.readexactly(int(length))
        return Took(server_ms / 1000, time.perf_counter() - began)

    async def follow(self, path: str) -> asyncio.StreamReader:
        """Follow a page: what comes is its stream, from the first event on."""
        reader, head = await self._ask(path)
        if not head.startswith(b"HTTP/1.1 200"):
            raise NotReady(f"{path} answers {head[:40]!r}")
        return reader

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    async def _ask(self, path: str) -> tuple[asyncio.StreamReader, bytes]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nCookie: {self._cookie}\r\n\r\n"
        self._writer.write(request.encode())
        return self._reader, await self._reader.readuntil(b"\r\n\r\n")


class OpenPage:
    """A page that is open and updates by itself: when was it last sent something?"""

    def __init__(self, browser: Browser, reader: asyncio.StreamReader) -> None:
        self._browser, self._reader = browser, reader
        self.updated = asyncio.Event()
        self.updated_at = 0.0

    @classmethod
    async def follow(cls, browser: Browser, path: str) -> OpenPage:
        """Open it, and wait for the first event."""
        reader = await browser.follow(path)
        await reader.readuntil(b"\n\n")
        return cls(browser, reader)

    async def read(self) -> None:
        """Take what comes, for as long as it is open."""
        while True:
            if b"data:" in await self._reader.readuntil(b"\n\n"):
                self.updated_at = time.perf_counter()
                self.updated.set()

    def close(self) -> None:
        self._browser.close()


def _said(lines: list[bytes], beginning: bytes) -> float | None:
    return next((float(line.removeprefix(beginning)) for line in lines if line.startswith(beginning)), None)
