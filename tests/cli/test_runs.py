"""``runs``: from the draft to the file, by the commands that people type."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from deploy.runtime.clock import Segment, clock_file, write_segments
from deploy.runtime.settings import Loaded, Settings
from tests.cli.calling import call, succeed
from tests.conftest import settings_on
from tests.payout.office import FINAL, Office


@pytest.fixture
def paying(kafka_stack: Settings, tmp_path: Path) -> tuple[Loaded, Office]:
    """A stack whose payout has a payable rebate, on the Friday on which it is paid."""
    loaded = settings_on(kafka_stack, tmp_path, bank_key="a key for tests")
    real = time.time()
    write_segments(clock_file(loaded.settings), (Segment(real - 5, FINAL.timestamp(), 1.0),))
    office = Office(loaded.settings.data, loaded.settings.payout_db_url)
    office.details("P1")
    office.sells("P1", 50)
    office.closes("P1", 75_000)
    office.recount()
    return loaded, office


def test_a_run_is_prepared_approved_by_another_and_released(paying: tuple[Loaded, Office], tmp_path: Path) -> None:
    loaded, office = paying
    assert "no run yet" in call(loaded, "runs", "list").out
    [made] = succeed(loaded, "runs", "prepare", "--by", "A. Clerk")["runs"]
    run = made["msg_id"]
    assert (made["payments"], made["total_minor"]) == (1, 75_000)

    refused = call(loaded, "runs", "approve", run, "--by", "A. Clerk")
    assert (refused.code, "has prepared" in refused.err) == (1, True)
    refused = call(loaded, "runs", "release", run, "--by", "B. Head")
    assert (refused.code, "must be approved" in refused.err) == (1, True)
    assert "runs release" in call(loaded, "runs", "approve", run, "--by", "B. Head").out
    shown = call(loaded, "runs", "show", run).out
    assert "approved  by B. Head" in shown
    assert "check of the payee's name" in shown
    released = call(loaded, "runs", "release", run, "--by", "B. Head")
    assert (released.code, "1 payments, 750.00 EUR" in released.out) == (0, True), released
    [row] = succeed(loaded, "runs", "list")["runs"]
    assert (row["state"], row["prepared_by"]) == ("released", "A. Clerk")

    out = tmp_path / "again.xml"
    assert call(loaded, "runs", "file", run, "--out", str(out)).code == 0
    assert b'<InstdAmt Ccy="EUR">750.00' in out.read_bytes()
    assert out.stat().st_mode & 0o077 == 0
    too_late = call(loaded, "runs", "void", run, "--reason", "no", "--by", "A. Clerk")
    assert (too_late.code, "is released" in too_late.err) == (1, True)
    office.engine.dispose()


def test_who_acts_must_say_so_and_nobody_is_the_system(paying: tuple[Loaded, Office]) -> None:
    loaded, office = paying
    for name, words in (("", "under your name"), ("Automatic", "stands for payout itself")):
        found = call(loaded, "runs", "prepare", "--by", name)
        assert (found.code, words in found.err) == (2, True), found
    assert call(loaded, "runs", "show", "RB-1").code == 1
    office.engine.dispose()
