"""More runs of the simulation than the suite's known ones, for changes that need a coincidence to be noticed."""

from __future__ import annotations

import pytest

from tests.simulation.search import search

RUNS = 20


@pytest.mark.parametrize("first", range(1000, 1100, RUNS))
def test_seeds_hold(first: int) -> None:
    _, failure = search(range(first, first + RUNS))
    assert failure is None, str(failure)
