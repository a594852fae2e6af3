"""A listening socket, made before the server that serves on it: so that a taken port is a sentence, not a traceback."""

from __future__ import annotations

import socket

from deploy.runtime.errors import NotReady

_BACKLOG = 2048


def listening(host: str, port: int, purpose: str) -> socket.socket:
    """A socket that listens on this port. Raises NotReady if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # named, or asyncio lets Nagle wait 40 ms a page
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise NotReady(f"port {port} for {purpose} is taken ({error.strerror})", "choose another --port-base") from None
    listener.listen(_BACKLOG)
    return listener
