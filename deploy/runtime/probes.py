"""``/metrics`` and ``/healthz`` of a process, on a port of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, make_wsgi_app

from deploy.runtime.errors import NotReady

Check = Callable[[], str | None]
"""Answers what is wrong, or None."""


class Probes:
    """Serves the metrics of this process, and its health: 200 if every check answers None, else 503.

    A process that has not said yet what is to be checked is still starting: 503.
    """

    def __init__(self, listen: str, port: int) -> None:
        self._checks: dict[str, Check] = {}
        try:
            self._server = make_server(listen, port, self._app, _Server, _Quiet)
        except OSError as error:
            raise NotReady(
                f"port {port} for metrics and health is taken ({error.strerror})", "choose another --port-base"
            ) from None
        self._metrics = make_wsgi_app(REGISTRY)
        Thread(target=self._server.serve_forever, name="probes", daemon=True).start()

    def check(self, name: str, check: Check) -> None:
        """Add a check to the health of this process."""
        self._checks[name] = check

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def _app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/metrics":
            metrics: Iterable[bytes] = self._metrics(environ, start_response)
            return metrics
        if path != "/healthz":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"only /metrics and /healthz live here\n"]
        found = {name: check() for name, check in list(self._checks.items())}
        healthy = bool(found) and not any(found.values())
        start_response(
            "200 OK" if healthy else "503 Service Unavailable",
            [("Content-Type", "application/json"), ("Cache-Control", "no-store")],
        )
        return [json.dumps({"ready": healthy, "checks": found}).encode()]


class _Server(WSGIServer):
    allow_reuse_address = True
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is no news."""
