"""Runs seeds and says of a failure what it was, and how to see it again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tests.simulation.checks import check
from tests.simulation.world import World

TRACE_LINES = 120


class Failure(NamedTuple):
    """A seed that did not hold."""

    seed: int
    what: str
    trace: list[str]

    def __str__(self) -> str:
        last = "\n".join(self.trace[-TRACE_LINES:])
        again = f"python -m tests.simulation --seed {self.seed} --trace"
        return f"{last}\nseed {self.seed}: {self.what}\nagain, with the whole trace: {again}"


def run(seed: int, tracing: bool = False, until: Callable[[World], None] = check) -> Failure | None:
    """One run."""
    world = World(seed, tracing)
    try:
        world.run(until)
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed shows it again
        if not tracing:
            return run(seed, tracing=True, until=until) or Failure(seed, f"{error!r}, but not again", [])
        return Failure(seed, f"{type(error).__name__}: {error}", world.lines)
    return None


def search(
    seeds: Iterable[int], seconds: float = float("inf"), until: Callable[[World], None] = check
) -> tuple[int, Failure | None]:
    """Seed after seed until one fails or the time is over. Returns how many were run, and the failure."""
    deadline, number = time.monotonic() + seconds, 0
    for seed in seeds:
        if time.monotonic() > deadline:
            break
        failure = run(seed, until=until)
        number += 1
        if failure is not None:
            return number, failure
    return number, None
