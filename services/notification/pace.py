"""When mails go out. Pure: whoever asks says what time it is."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

from deploy.runtime.errors import UsageError

RETRIES = tuple(timedelta(minutes=m) for m in (1, 5, 30, 120, 360, 1440))
"""How long to wait at least after each refusal that may pass; after the last one the message has failed."""
RECONNECT = timedelta(seconds=5)
"""How long to wait instead when a connection broke for the first time: most likely the server was restarted."""
JITTER = 0.25
"""By how much a wait may be longer, so that what was refused together does not come back together."""
_HOURS = re.compile(r"(\d{1,2})-(\d{1,2})")


class QuietHours(NamedTuple):
    """From the hour ``begin`` on until the hour ``end``, over midnight if that is the earlier one."""

    begin: int
    end: int

    def cover(self, local: datetime) -> bool:
        """Whether this moment is in them."""
        if self.begin < self.end:
            return self.begin <= local.hour < self.end
        return local.hour >= self.begin or local.hour < self.end

    def over(self, local: datetime) -> datetime:
        """The first moment from ``local`` on, in its own zone, that is outside them."""
        if not self.cover(local):
            return local
        end = local.replace(hour=self.end, minute=0, second=0, microsecond=0)
        return end if end > local else end + timedelta(days=1)


def parse_quiet_hours(text: str) -> QuietHours | None:
    """Read the setting ``quiet_hours``, like ``20-7``; empty means none. Raises UsageError."""
    if not text.strip():
        return None
    match = _HOURS.fullmatch(text.strip())
    begin, end = (int(hour) for hour in match.groups()) if match else (0, 0)
    if begin == end or max(begin, end) > 23:
        raise UsageError(f"quiet_hours can't be {text!r}", "write two different hours from 0 to 23, like 20-7")
    return QuietHours(begin, end)


def retry_after(event_id: str, attempts: int, *, lost: bool = False) -> timedelta | None:
    """How long a message waits that was refused for the ``attempts``-th time; None: it has been refused too often.

    The same message waits equally long each time that it is asked about. ``lost``: the connection broke over it.
    """
    if lost and attempts == 1:
        return RECONNECT
    if attempts > len(RETRIES):
        return None
    return RETRIES[attempts - 1] * (1 + JITTER * _fraction(f"{event_id}/{attempts}"))


def weekly_due(partner_id: str, local: datetime, spread_minutes: int, quiet: QuietHours | None) -> datetime:
    """When the weekly mail of a partner is due that became known at ``local``: each partner's at his own moment."""
    begin = quiet.over(local) if quiet else local
    due = begin + timedelta(minutes=spread_minutes) * _fraction(partner_id)
    return quiet.over(due) if quiet else due


class Allowance:
    """At most so many mails in any minute. ``per_minute`` 0 allows everything."""

    def __init__(self, per_minute: int) -> None:
        self._unlimited = per_minute <= 0
        self._burst = max(1, per_minute // 60)
        # What may come at once, and what is saved up in a minute, are together what a minute may hold.
        minute = per_minute - self._burst if self._burst > 1 else per_minute
        self._per_second = minute / 60
        self._saved = float(self._burst)
        self._at: float | None = None

    def take(self, wanted: int, now: float) -> int:
        """How many of the wanted mails may go out now. ``now`` is in seconds and never goes back."""
        if self._unlimited:
            return wanted
        passed = now - self._at if self._at is not None else 0.0
        self._at = now
        self._saved = min(float(self._burst), self._saved + passed * self._per_second)
        taken = min(wanted, int(self._saved))
        self._saved -= taken
        return taken

    def give_back(self, number: int) -> None:
        """What was taken and not used."""
        if not self._unlimited:
            self._saved = min(float(self._burst), self._saved + number)


def _fraction(text: str) -> float:
    """From 0 up to 1, always the same for the same text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) / 2**64
