"""Tells staff by mail or chat, many alerts in one message. Each address is told on its own, until it takes it.

Apprise does the sending; it is imported only where ``staff_urls`` names an address.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Engine, Row, Select, exists, func, select

from deploy.runtime.clock import RealClock
from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Settings
from services.kit.database import reading, upsert
from services.notification import metrics
from services.notification.staff import FRESH
from services.notification.tables import staff_alerts, staff_tellings

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.notification")

GATHER = timedelta(seconds=10)
"""How long the first alert waits for others that come with it."""
DIGEST = timedelta(minutes=5)
"""The shortest time between two messages to an address: what comes meanwhile goes out together."""
RETRIES = tuple(timedelta(minutes=m) for m in (1, 5, 15, 30))
"""How long to leave an address alone after so many failures in a row."""
_LINES_MAX = 15
_SEPARATOR = re.compile(r"\s*,\s*(?=[a-z0-9]+://)")


class Address(NamedTuple):
    """Where staff is told. ``name`` is a hash of it, for the table: most addresses carry a password."""

    url: str
    name: str


class Digest(NamedTuple):
    """One message."""

    title: str
    body: str


def addresses_of(settings: Settings) -> tuple[Address, ...]:
    """Read the setting ``staff_urls``. Raises UsageError for an address that Apprise can't send to."""
    found = []
    for position, url in enumerate(_SEPARATOR.split(settings.staff_urls.strip()), 1):
        if url:
            if _apprise(url) is None:
                raise UsageError(
                    f"address {position} in staff_urls is none that Apprise knows",
                    "write it like mailtos://user:password@mail.example?to=team@vendor.example",
                )
            found.append(Address(url, hashlib.sha256(url.encode()).hexdigest()[:16]))
    return tuple(found)


class Teller:
    """Tells what is to be told. Call ``step`` in a loop of its own: a chat may take its time."""

    def __init__(self, engine: Engine, addresses: Sequence[Address]) -> None:
        self._engine, self._addresses = engine, addresses
        self._reading = reading(engine)
        self._real = RealClock()
        self._failures = dict.fromkeys(addresses, 0)
        self._not_before = dict.fromkeys(addresses, 0.0)

    def step(self) -> bool:
        """Give each address its message, if one is due. Answers whether any was sent."""
        told = [self._tell(address) for address in self._addresses]
        return any(told)

    def measure(self) -> None:
        """Set the gauge. Counts the table, so call it now and then."""
        now = self._real.now()
        with self._reading.connect() as connection:
            waiting = [
                connection.execute(select(func.count()).select_from(_untold(address, now).subquery())).scalar_one()
                for address in self._addresses
            ]
        metrics.STAFF_WAITING.set(max(waiting, default=0))

    def _tell(self, address: Address) -> bool:
        now = self._real.now()
        if time.monotonic() < self._not_before[address]:
            return False
        last_told = select(func.max(staff_tellings.c.told_at)).where(staff_tellings.c.address == address.name)
        with self._reading.connect() as connection:
            alerts = connection.execute(_untold(address, now).order_by(staff_alerts.c.number)).all()
            last = connection.execute(last_told).scalar() if alerts else None
        if not alerts or now - alerts[0].raised_at < GATHER or (last is not None and now - last < DIGEST):
            return False
        if not self._send(address, digest(alerts)):
            return False
        rows = [{"alert": alert.number, "address": address.name, "told_at": now} for alert in alerts]
        with self._engine.begin() as connection:
            connection.execute(upsert(staff_tellings, self._engine).on_conflict_do_nothing(), rows)
        return True

    def _send(self, address: Address, message: Digest) -> bool:
        channel = _apprise(address.url)
        if channel is not None and channel.notify(title=message.title, body=message.body, body_format="text"):
            self._failures[address] = 0
            return True
        wait = RETRIES[min(self._failures[address], len(RETRIES) - 1)]
        self._failures[address] += 1
        self._not_before[address] = time.monotonic() + wait.total_seconds()
        _log.warning("staff could not be told", address=address.name, failures=self._failures[address])
        return False


def digest(alerts: Sequence[Row[Any]]) -> Digest:
    """One message about all of these."""
    number = len(alerts)
    title = "Staffel: something needs a person" if number == 1 else f"Staffel: {number} things need a person"
    lines = [f"- {alert.text}" for alert in alerts[:_LINES_MAX]]
    if number > _LINES_MAX:
        lines.append(f"- and {number - _LINES_MAX} more; all of them: table staff_alerts")
    return Digest(title, "\n".join([*lines, "", "What to do: deploy/docs/operations.md, Alerts to staff"]))


def _untold(address: Address, now: datetime) -> Select[Any]:
    told = exists().where(staff_tellings.c.alert == staff_alerts.c.number, staff_tellings.c.address == address.name)
    return select(staff_alerts).where(staff_alerts.c.raised_at > now - FRESH, ~told)


def _apprise(url: str) -> Any:
    """A channel to this address, or None if it is no address."""
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would write addresses, and they are secrets
    channel = apprise.Apprise()
    return channel if channel.add(url) else None
