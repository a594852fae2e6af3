"""The web server: uvicorn, with live pages that end when it does."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from deploy.runtime.errors import NotReady
from deploy.runtime.settings import Port, Settings
from services.portal.live import Changes

_BACKLOG = 2048


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
        self.should_exit = self.should_exit or stopping()
        self.run(sockets=[listener])

    def stop(self) -> None:
        """End soon. May be called from any thread."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the live pages first: they are answers that would never be complete."""
        self._changes.close()
        await super().shutdown(sockets)


def listening(settings: Settings) -> socket.socket:
    """The portal's socket, listening. Raises NotReady if the port is taken."""
    port = settings.port(Port.PORTAL)
    family = socket.AF_INET6 if ":" in settings.listen else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.listen, port))
    except OSError as error:
        listener.close()
        raise NotReady(f"port {port} for the pages is taken ({error.strerror})", "choose another --port-base") from None
    listener.listen(_BACKLOG)
    return listener
