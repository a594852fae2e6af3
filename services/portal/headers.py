"""The headers that every answer carries, whoever made it, errors included."""

from __future__ import annotations

import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.portal.metrics import REQUESTS, SECONDS

_ALWAYS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"
"""For what somebody else made. It is only ever saved; if a browser shows it all the same, it can do nothing."""
_HSTS = "max-age=31536000"


class Guarded:
    """Wraps the whole application: security headers, no storing of what is personal, metrics."""

    def __init__(self, app: ASGIApp, secure: bool) -> None:
        self._app = app
        self._headers = _ALWAYS | ({"Strict-Transport-Security": _HSTS} if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, static = time.monotonic(), scope["path"].startswith("/static/")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                if scope.get("staffel.sandboxed"):
                    headers["Content-Security-Policy"] = _SANDBOX
                # The route's name: few, and nothing personal, as a path may be.
                page = "static" if static else scope.get("staffel.page", "other")
                kept = (static or scope["path"].startswith("/brand/")) and message["status"] in (200, 304)
                headers["Cache-Control"] = "public, max-age=31536000, immutable" if kept else "no-store"
                REQUESTS.labels(page, str(message["status"])).inc()
                SECONDS.labels(page).observe(time.monotonic() - began)
            await send(message)

        await self._app(scope, receive, send_guarded)
