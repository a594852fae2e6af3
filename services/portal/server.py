"""The web server: uvicorn, with live pages that end when it does."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from services.portal.live import Changes

_TURN_SECONDS = 0.0005
"""A thread that makes a page lets the others run after so long: they have a page at hand, and need much less than
Python's own 5 ms."""


class Server(uvicorn.Server):
    """Serves the portal. Handles SIGTERM and Ctrl-C itself and hands them on when it has ended."""

    def __init__(self, app: ASGIApp, changes: Changes) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,  # as everything of ours; and no access log, as addresses hold tokens
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._changes = changes

    def serve_on(self, listener: socket.socket, stopping: Callable[[], bool]) -> None:
        """Serve until a signal, or ``stop``, or at once if a signal came before."""
        sys.setswitchinterval(_TURN_SECONDS)
        self.should_exit = self.should_exit or stopping()
        self.run(sockets=[listener])

    def stop(self) -> None:
        """End soon. May be called from any thread."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the live pages first: they are answers that would never be complete."""
        self._changes.close()
        await super().shutdown(sockets)
