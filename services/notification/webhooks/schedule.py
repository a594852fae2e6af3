"""What an answer means for a delivery: done, again later, or given up. Pure."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

WAITS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""How long to wait after each attempt that failed; after the last one the delivery has failed."""
JITTER = 0.2
"""By what part a wait may be longer, so that what failed together is not tried again together."""
PAUSES = tuple(timedelta(seconds=s) for s in (5, 15, 60, 300))
"""How long an endpoint is left alone after so many failures in a row, whatever else is due to it."""
KEPT = timedelta(days=90)
"""How long a delivery can be looked at and replayed, and waits for an endpoint that is disabled."""
GONE = 410
"""The status by which an endpoint says that it is no more."""
_WAIT_MAX = timedelta(hours=24)


class Outcome(StrEnum):
    """What becomes of a delivery after an attempt."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    FAILED = "failed"
    """Given up: all attempts failed."""
    GONE = "gone"
    """Given up: the endpoint says that it is no more, and wants to hear nothing again."""


class Verdict(NamedTuple):
    """What becomes of it, and how long it waits if it is tried again."""

    outcome: Outcome
    wait: timedelta = timedelta()


def judge(status: int | None, attempts: int, chance: float, retry_after: timedelta = timedelta()) -> Verdict:
    """Judge an answer's status (None: there was no answer) to the attempt that followed so many others.

    ``chance`` lies between 0 and 1. ``retry_after`` is what the endpoint asked for; a wait is never longer than a day.
    """
    if status is not None and 200 <= status < 300:
        return Verdict(Outcome.DELIVERED)
    if status == GONE:
        return Verdict(Outcome.GONE)
    if attempts >= len(WAITS):
        return Verdict(Outcome.FAILED)
    wait = WAITS[attempts] * (1 + JITTER * chance)
    return Verdict(Outcome.RETRIED, max(wait, min(retry_after, _WAIT_MAX)))


def pause(failures: int) -> timedelta:
    """How long to leave an endpoint alone that has failed so many times in a row."""
    return PAUSES[min(failures, len(PAUSES)) - 1] if failures else timedelta()
