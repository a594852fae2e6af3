"""How much waits for staff behind the pages of its head.

Claims are counted when they are asked for, from an index. What takes longer is counted in a thread beside the web
server, while somebody of the staff is here, and shown as it was counted last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from deploy.runtime.errors import StaffelError
from services.kit.database import reading
from services.kit.office.client import Client
from services.kit.office.protocol import Actor, Role
from services.portal.auth import STAFF, Visitor
from services.portal.claims.lists import number_sent
from services.portal.lists.conflicts import Kind, number_of

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.portal")
_PORTAL = Actor(Role.VIEWER, "portal")
_LEAST_SECONDS, _WORTH = 5.0, 20
"""It counts again after so long, or after so many times what counting took."""
_HERE_SECONDS = 120.0
"""Somebody of the staff is here who has seen a page within this time."""


class Badges:
    """Keeps the numbers. Blocks: call it from a thread."""

    def __init__(self, engine: Engine, payout: Client, seconds: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._payout, self._seconds = engine, payout, seconds
        self._counted: dict[str, int] = {}
        self._asked_at = float("-inf")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def of(self, visitor: Visitor) -> Mapping[str, int]:
        """By the address of a page, how much waits there; pages without a number have none."""
        if visitor.audience != STAFF:
            return {}
        self._asked_at = self._seconds()
        with reading(self._engine).connect() as connection:
            return self._counted | {"/claims/desk": number_sent(connection)}

    def count(self) -> None:
        """Count what takes longer. While payout is away, nobody says how much is held."""
        with reading(self._engine).connect() as connection:
            found = {"/conflicts": sum(number_of(connection, kind) for kind in Kind)}
        with suppress(StaffelError):
            found["/holds"] = len(self._payout.ask(_PORTAL, "holds.list", list[Any]))
        self._counted = found

    def start(self) -> None:
        """Count in a thread, until it is stopped."""
        self._thread = threading.Thread(target=self._run, name="badges", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End that."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        rest = _LEAST_SECONDS
        while not self._stopping.wait(rest):
            rest = _LEAST_SECONDS
            began = self._seconds()
            if began - self._asked_at > _HERE_SECONDS:
                continue
            try:
                self.count()
            except SQLAlchemyError as error:
                _log.warning("what waits for staff was not counted", kind=type(error).__name__)
            rest = max(_LEAST_SECONDS, _WORTH * (self._seconds() - began))
