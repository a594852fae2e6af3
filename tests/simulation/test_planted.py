"""Each planted hole is found, by a seed at which the stream itself holds."""

from __future__ import annotations

import pytest

from streams.rules.state import Faults, State
from tests.simulation.checks import check_standings
from tests.simulation.planted import PLANTS, Plant
from tests.simulation.search import run, search
from tests.simulation.world import World

SEEDS = range(400)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_the_search_finds_what_is_planted(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        plant(patch)
        _, failure = search(SEEDS)
    assert failure is not None, f"not found in {len(SEEDS)} runs"
    assert run(failure.seed) is None


def test_a_batch_torn_by_a_late_end_of_a_transaction_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What librdkafka cannot rule out: its own retry of an end arrives when the next transaction is open."""
    monkeypatch.setattr(World, "late_ends", True)
    _, failure = search(range(150), until=check_standings)
    assert failure is None, str(failure)
    monkeypatch.setattr(State, "check", lambda *_: Faults([], 0))
    _, failure = search(range(150), until=check_standings)
    assert failure is not None, "a state that is not proved goes on from a torn batch"
