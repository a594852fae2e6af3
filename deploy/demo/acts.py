"""How fast the shown clock runs in each part of the demo, and where it waits until everybody has caught up.

The clock never stops: while it waits it runs at the speed of real time. So what was sent before a close is applied
before it on a slow machine too, which then just takes longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from deploy.demo.quarter import CURTAIN, ENDED, FINAL, FORGOTTEN_REPORT, LATE_RETURN
from deploy.runtime.clock import Segment, TestClock, clock_file, read_segments, write_segments
from deploy.runtime.settings import Settings


class Act(NamedTuple):
    """A part of the demo: lasts until the clock shows this instant, and takes this share of the whole time."""

    title: str
    until: datetime
    share: float
    paid: bool = False
    """Whether what can be paid must be with the bank before the next act begins."""


ACTS = (
    Act(
        "the quarter: sales come in, tiers move, every Monday each partner gets a mail",
        ENDED - timedelta(hours=1),
        0.58,
    ),
    Act("the quarter has ended: provisional closes, late reports", FINAL - timedelta(days=1), 0.16),
    Act(
        "the final close, and the first payment file, which the bank takes",
        FORGOTTEN_REPORT - timedelta(hours=1),
        0.1,
        paid=True,
    ),
    Act(
        "the bank pays; a distributor finds a week that he never sent",
        LATE_RETURN - timedelta(hours=1),
        0.08,
        paid=True,
    ),
    Act("a payment comes back from the bank, and a unit that was paid for", CURTAIN, 0.08),
)


class Tempo:
    """The test clock's speed."""

    def __init__(self, settings: Settings) -> None:
        self._file = clock_file(settings)
        self._clock = TestClock(self._file)

    def now(self) -> datetime:
        """What the clock shows."""
        return self._clock.now()

    def run_to(self, instant: datetime, seconds: float) -> None:
        """From now on the clock runs so fast that it shows the instant after so many seconds."""
        self._run(max(1.0, (instant - self.now()).total_seconds() / seconds))

    def idle(self) -> None:
        """From now on the clock runs like any other."""
        self._run(1.0)

    def _run(self, rate: float) -> None:
        shown = self.now().timestamp()
        write_segments(self._file, (*read_segments(self._file), Segment(time.time(), shown, rate)))


def perform(tempo: Tempo, seconds: float, step: Callable[[str], None], settle: Callable[[Act], None]) -> None:
    """Run the clock through all acts, calling ``step`` with the act's title all the time and ``settle`` after each."""
    for act in ACTS:
        tempo.run_to(act.until, seconds * act.share)
        while tempo.now() < act.until:
            step(act.title)
        tempo.idle()
        settle(act)
