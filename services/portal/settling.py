"""Tells notification what became of contacts, in a thread beside the web server: notification may be away for long."""

from __future__ import annotations

import threading

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from deploy.runtime.errors import StaffelError
from services.kit.database import reading
from services.kit.office.client import Away, Client
from services.kit.office.protocol import Actor, Role
from services.portal import contacts

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.portal")
_EVERY_SECONDS = 2.0
_PORTAL = Actor(Role.OPERATOR, "portal")
"""It passes on what somebody did a while ago: the record says who."""


def settle(engine: Engine, notification: Client) -> int:
    """Tell all that it has not heard yet; answers how much that was. Raises Away."""
    with reading(engine).connect() as connection:
        rows = contacts.untold(connection)
    for row in rows:
        notification.ask(
            _PORTAL,
            "contacts.settle",
            object,
            partner_id=row.partner_id,
            contact_id=row.contact_id,
            standing=row.standing,
            language=row.language,
            weekly_mail=row.weekly_mail,
            gone=row.removed_at is not None,
            at=row.changed_at,
        )
        with engine.begin() as connection:
            contacts.was_told(connection, row)
    return len(rows)


class Settler:
    """Tells every few seconds, until it is stopped. While notification is away, it tries again."""

    def __init__(self, engine: Engine, notification: Client) -> None:
        self._engine, self._notification = engine, notification
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it; what was not told is told after the next start."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_SECONDS):
            try:
                settle(self._engine, self._notification)
            except Away:
                continue
            except (StaffelError, OperationalError) as error:
                _log.error("notification was not told about a contact", kind=type(error).__name__)
