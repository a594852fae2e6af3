"""The demo from beginning to end: a stack of its own, a scenario played on it, the result, time to look around."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from deploy.cli.options import reload
from deploy.cli.output import note
from deploy.demo import report
from deploy.demo.performance import Performance
from deploy.demo.quarter import OPENS
from deploy.demo.scenario import make
from deploy.embedded.stack import Stack
from deploy.runtime.errors import Exit, UsageError
from deploy.runtime.settings import Loaded

_OWN = ("kafka", "registry_url", "smtp_url", "portal_db_url", "notification_db_url", "payout_db_url")

_UNATTENDED = {"anomaly_factor": 0.0, "anomaly_last_days_percent": 0, "payout_automatic_euros": 10_000_000}
"""Nobody of the staff is there to look at what is unusual and let it go, or to approve a payment file."""


class Wishes(NamedTuple):
    """What the user asked for. Without ``data`` everything lies in a temporary folder."""

    data: Path | None
    seed: int
    partners: int
    seconds: float
    leave: bool


def play(loaded: Loaded, wishes: Wishes) -> Exit:
    """Play the demo, print its result, stay until Ctrl-C unless told to leave. DIFFERS if the check found differences.

    Raises StaffelError if the stack can't be started or gives up.
    """
    for name in _OWN:
        if loaded.sources[name] != "derived":
            raise UsageError(
                f"the demo makes things up and runs on parts of its own, but {loaded.sources[name]} names a real one",
                f"unset STAFFEL_{name.upper()}",
            )
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts its background jobs deaf to the first
        signal.signal(number, signal.default_int_handler)
    note(f"Making up a quarter of {wishes.partners} partners (seed {wishes.seed})")
    scenario = make(wishes.seed, wishes.partners)
    with _folder(wishes.data) as data:
        own = reload(loaded, data=data, clock=OPENS.isoformat(), clock_rate=1.0, **_UNATTENDED)
        with Stack(own, report=lambda line: note(f"  {line}")) as stack:
            stack.wait_ready()
            performance = Performance(stack, scenario)
            outcome = performance.run(wishes.seconds)
            print(report.result(outcome), flush=True)
            if not wishes.leave:
                print(f"\n{report.places(scenario, own.settings, wishes.data is None)}\n\nCtrl-C stops it.", flush=True)
                with suppress(KeyboardInterrupt):
                    performance.stay()
            note("stopping …")
            failure = stack.failure
    if failure is not None:
        raise failure
    return Exit.DIFFERS if outcome.verdict.differences else Exit.OK


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="staffel-demo-") as folder:
            yield Path(folder)
        return
    if wanted.exists() and any(wanted.iterdir()):
        raise UsageError(
            f"{wanted} is not empty, and the demo begins from nothing", "name a folder that does not exist"
        )
    yield wanted
