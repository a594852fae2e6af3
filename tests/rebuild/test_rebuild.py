"""What was broken on purpose is found exactly, and mended; what is sound is left as it is."""

from __future__ import annotations

import signal
import subprocess
import sys

import msgspec
import pytest

from deploy.rebuild.compare import Corrections
from deploy.rebuild.reading import open_codec
from deploy.rebuild.swap import Owner
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import Loaded, Settings
from schemas.events import CloseKind, QuarterClosed, TierChanged, event_id
from schemas.topics import POSITIONS, QUARTER_CLOSES, SALE_LINES, TALLIES, TIER_CHANGES
from schemas.values import partition_of
from tests.cli.calling import call
from tests.rebuild.scene import START, Scene
from tests.streams.harness import ROOT, a_sale, environment, refusal, working
from tests.waiting import until


def test_a_sound_system_has_no_differences_and_nothing_is_written(loaded: Loaded) -> None:
    scene = Scene(loaded.settings)
    before = scene.ends()
    found = call(loaded, "rebuild", "--json")
    assert (found.code, found.object["differences"], found.object["moving"]) == (0, [], 0)
    assert found.object["compared"] > 20
    assert call(loaded, "rebuild", "--swap", "--json").object["written"] == 0
    assert scene.ends() == before


def test_a_running_stream_is_looked_at_and_never_swapped(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.rebuild.swap._GROUP_FORGETS_WITHIN", 1.0)
    scene = Scene(loaded.settings)
    with working(loaded.settings):
        assert scene.look() == []
        refused = call(loaded, "rebuild", "--swap")
        assert (refused.code, refused.out) == (1, "")
        assert "a worker is alive" in refused.err


def test_what_was_broken_is_found_exactly_and_mended(loaded: Loaded) -> None:
    scene = Scene(loaded.settings)
    sound, told = scene.state(), scene.told()
    tally, line = scene.tally("P1"), scene.line("P4", "S1")
    scene.put(tally, units=tally.units + 1)
    scene.put(line, units=line.units + 1)
    scene.put(scene.line("P4", "S2"), sale_id="S2-again")
    scene.remove_line("P5", "S0")
    assert "./staffel rebuild" in refusal(loaded.settings)
    broken = scene.ends()
    expected = [
        f"P1: 2026Q4 has units {tally.units + 1} instead of {tally.units}",
        "P4: sale S1 stands as counted, 14 units, reported was counted, 13 units",
        "P4: sale S2-again stands there and was never reported",
        "P5: sale S0 is missing: counted, 14 units",
    ]
    found = call(loaded, "rebuild")
    assert found.code == 5
    assert sorted(set(found.out.splitlines()) & set(expected)) == expected
    assert scene.look() == expected
    assert scene.ends() == broken
    assert scene.swap() == expected
    assert scene.state() == sound
    assert scene.look() == []
    assert scene.told() == told
    scene.wire.send(a_sale("new", "P1", 1))
    scene.wire.flush()
    with working(loaded.settings):
        until(lambda: scene.wire.tallies()["P1", "2026Q4"].units == tally.units + 1, what="the worker goes on")


def test_lost_state_is_made_anew_and_nothing_is_told_twice(loaded: Loaded) -> None:
    scene = Scene(loaded.settings)
    sound, told, payable = scene.state(), scene.told(), scene.payable()
    for lost in ((POSITIONS, TALLIES, SALE_LINES), (TALLIES,), (SALE_LINES,), (POSITIONS,)):
        scene.lose(*lost)
        assert "./staffel rebuild" in refusal(loaded.settings)
        assert scene.swap() != []
        assert scene.look() == []
        mended = scene.state()
        assert mended.keys() == sound.keys()
        for key, event in sound.items():
            assert _without_as_of(mended[key]) == _without_as_of(event)
    scene.wire.send(a_sale("new", "P1", 1))
    scene.wire.flush()
    with working(loaded.settings):
        until(lambda: scene.wire.tallies()["P1", "2026Q4"].units == 120, what="the worker goes on")
    assert scene.told() == told | {"quarter-closes": told["quarter-closes"] + 1}
    assert sum(scene.payable().values()) == sum(payable.values()) + 1500


def test_what_was_told_otherwise_is_told_anew(settings: Settings) -> None:
    scene = Scene(settings)
    sound = scene.tally("P4")
    # A stream that lost two sales without noticing would have told, and clawed back, all of this.
    sequence = sound.tier_sequence + 1
    wrong = msgspec.structs.replace(
        sound, units=13, counted=1, tier=10, rate_minor=500, rebate_minor=6500,
        tier_sequence=sequence, revision=2, payable_minor=6500,
    )  # fmt: skip
    change = TierChanged(
        "topseller", "P4", "2026Q4", sequence, 25, 10, 13, 500, sound.rebate_minor, 6500, "EUR",
        sound.phase, 25, 12, 18500, START,
    )  # fmt: skip
    close = QuarterClosed(
        "topseller", "P4", "2026Q4", CloseKind.ADJUSTMENT, 2, 13, 10, 500, 6500, 6500 - sound.payable_minor, 6500,
        "EUR", "2026-1", START,
    )  # fmt: skip
    scene.put(wrong)
    scene.remove_line("P4", "S1")
    scene.remove_line("P4", "S2")
    for topic, event in ((TIER_CHANGES, change), (QUARTER_CLOSES, close)):
        scene.wire.raw(topic, b"P4", scene.wire.codec.encode(topic, event), partition=partition_of(b"P4", 2))
    scene.wire.flush()
    assert len(scene.swap()) == 3
    assert scene.look() == []
    mended = scene.tally("P4")
    assert (mended.units, mended.tier, mended.payable_minor) == (39, 25, sound.rebate_minor)
    assert (mended.tier_sequence, mended.revision) == (sequence + 1, 3)
    assert scene.payable()["P4"] == sound.rebate_minor
    last = [told.event for told in scene.wire.written(TIER_CHANGES) if told.event_id == _id_of_change(sequence + 1)]
    assert [(event.from_tier, event.to_tier) for event in last if isinstance(event, TierChanged)] == [(10, 25)]


def test_what_a_killed_swap_left_is_never_seen_and_a_worker_that_comes_to_life_wins(settings: Settings) -> None:
    scene = Scene(settings)
    sound = scene.state()
    scene.remove_line("P5", "S0")
    partition = partition_of(b"P5", 2)
    with Owner(settings, open_codec(settings), open_clock(settings), partition) as owner:
        # As kill -9 leaves it: a record of an open transaction, and nobody who would end it.
        owner._producer.begin_transaction()
        name = TALLIES.full_name(settings.topic_prefix)
        owner._producer.produce(name, None, b"topseller/P5/2026Q4", partition=partition)
        owner._producer.flush(30)
        assert len(scene.swap()) == 1
    assert scene.state() == sound

    ends = scene.ends()
    owner = Owner(settings, open_codec(settings), open_clock(settings), partition)
    with owner, working(settings), pytest.raises(StaffelError, match="a worker took partition"):
        owner.write(Corrections(lines={"P5/S0": None}))
    assert scene.ends() == ends


def test_a_command_that_is_killed_amid_its_work_is_run_again(settings: Settings) -> None:
    scene = Scene(settings)
    sound = scene.state()
    scene.lose(POSITIONS, TALLIES, SALE_LINES)
    command = [sys.executable, "-P", "-m", "deploy.cli", "rebuild", "--swap"]
    with subprocess.Popen(command, env=environment(settings), cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"partition 0")
        process.send_signal(signal.SIGKILL)
    scene.swap()
    assert scene.state().keys() == sound.keys()
    assert scene.look() == []


def _id_of_change(sequence: int) -> str:
    return event_id("tier", "topseller", "P4", "2026Q4", sequence)


def _without_as_of(event: object) -> dict[str, object]:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}  # type: ignore[attr-defined]
    fields.pop("as_of", None)
    return fields
