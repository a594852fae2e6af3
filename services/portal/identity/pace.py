"""How often one may try: tries are counted in the database, so that several portals count together."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import Connection, Engine, delete, func, insert, select

from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings, secret
from services.portal.identity.tables import attempts

_KEPT_FOR = timedelta(days=1)


class Limit(NamedTuple):
    """At most so many tries of one kind by, or for, somebody within a time of at most a day."""

    kind: str
    subject: str
    tries: int
    within: timedelta


class Pace:
    """Counts by real time. Blocks: call it from a thread."""

    def __init__(self, engine: Engine, clock: Clock, settings: Settings) -> None:
        self._engine, self._clock = engine, clock
        self._key = secret(settings, "session_secret").encode()

    def spend(self, *limits: Limit) -> bool:
        """Count a try against each limit. Answers False, and counts nothing, if one of them is used up."""
        now = self._clock.now()
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # One after the other: of tries that come at once, no more pass than may.
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7204)")
            connection.execute(delete(attempts).where(attempts.c.at < now - _KEPT_FOR))
            for limit in limits:
                recent = (attempts.c.key_hash == self._hash(limit), attempts.c.at > now - limit.within)
                spent = connection.execute(select(func.count()).select_from(attempts).where(*recent)).scalar_one()
                if spent >= limit.tries:
                    return False
            connection.execute(insert(attempts), [{"key_hash": self._hash(limit), "at": now} for limit in limits])
        return True

    def forgive(self, connection: Connection, *limits: Limit) -> None:
        """Forget the tries: the last one was right."""
        hashes = [self._hash(limit) for limit in limits]
        connection.execute(delete(attempts).where(attempts.c.key_hash.in_(hashes)))

    def _hash(self, limit: Limit) -> str:
        text = f"pace:{limit.kind}:{limit.tries}:{limit.subject}"
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
