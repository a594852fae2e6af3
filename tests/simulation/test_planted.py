"""Each planted hole is found, by a seed at which the stream itself holds."""

from __future__ import annotations

import pytest

from tests.simulation.planted import PLANTS, Plant
from tests.simulation.search import run, search

SEEDS = range(400)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_the_search_finds_what_is_planted(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        plant(patch)
        _, failure = search(SEEDS)
    assert failure is not None, f"not found in {len(SEEDS)} runs"
    assert run(failure.seed) is None
