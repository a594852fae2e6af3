"""The frame of a service process: settings, clock, logs, probes, and a loop that ends on SIGTERM."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import NamedTuple

import structlog

from deploy.runtime import logs
from deploy.runtime.clock import Clock, open_clock
from deploy.runtime.errors import StaffelError
from deploy.runtime.probes import Probes
from deploy.runtime.settings import Port, Settings, load
from schemas.codec import Codec, ConfluentRegistry


class Process(NamedTuple):
    """What a service's ``main`` works with."""

    settings: Settings
    clock: Clock
    codec: Codec
    probes: Probes
    log: structlog.stdlib.BoundLogger
    stopping: Callable[[], bool]


def run(name: str, port: Port, body: Callable[[Process], None]) -> None:
    """Run a service until SIGTERM or Ctrl-C. A StaffelError ends the process with its exit code and no traceback."""
    try:
        settings = load().settings
        log = logs.configure(settings, name)
        stopped: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _frame: stopped.append(received))
        probes = Probes(settings.listen, settings.port(port))
        codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)
        log.info("started", port=settings.port(port))
        try:
            body(Process(settings, open_clock(settings), codec, probes, log, lambda: bool(stopped)))
        finally:
            probes.close()
        log.info("stopped")
    except StaffelError as error:
        print(f"{name}: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""), file=sys.stderr)
        sys.exit(error.exit_code)
