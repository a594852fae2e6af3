"""How often a token may ask: so many questions a minute, kept in this process."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

_ASKERS_MAX = 10_000


class Pace:
    """A bucket for each asker that refills evenly. ``per_minute`` of zero lets everything pass."""

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self._per_minute, self._monotonic = per_minute, monotonic
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait(self, asker: str) -> int:
        """Seconds to wait before asking again; zero if the question may be answered, which then counts."""
        if not self._per_minute:
            return 0
        rate, now = self._per_minute / 60, self._monotonic()
        with self._lock:
            if len(self._buckets) > _ASKERS_MAX:
                self._buckets = {k: v for k, v in self._buckets.items() if now - v[1] < 60}
            left, at = self._buckets.get(asker, (float(self._per_minute), now))
            left = min(float(self._per_minute), left + (now - at) * rate)
            if left < 1:
                self._buckets[asker] = (left, now)
                return math.ceil((1 - left) / rate)
            self._buckets[asker] = (left - 1, now)
            return 0
