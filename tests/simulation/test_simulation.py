"""The search itself: seeds that are always run, and a minute of fresh ones."""

from __future__ import annotations

import secrets

import pytest

from tests.simulation.search import run, search
from tests.simulation.world import World

ALWAYS = range(60)
SECONDS = 60


@pytest.mark.parametrize("seed", ALWAYS)
def test_what_was_found_once_stays_found(seed: int) -> None:
    failure = run(seed)
    assert failure is None, str(failure)


def test_a_minute_of_fresh_seeds_holds() -> None:
    first = secrets.randbelow(2**40)
    number, failure = search(range(first, first + 1_000_000), SECONDS)
    assert failure is None, str(failure)
    assert number > 1


def test_a_seed_decides_everything() -> None:
    traces = []
    for _ in range(2):
        world = World(7, tracing=True)
        world.run(lambda _: None)
        traces.append(world.lines)
    assert traces[0] == traces[1]
