"""A short run of chaos finds nothing wrong; and its proof sees what is wrong when something is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from deploy.chaos.faults import Fault, Faults
from deploy.chaos.findings import prove
from deploy.chaos.observer import Observer
from deploy.runtime.clock import Segment, advance, clock_file, write_segments
from deploy.runtime.settings import Settings
from schemas.codec import headers_for
from schemas.events import SaleReturned
from schemas.topics import (
    DEAD_LETTERS,
    QUARTER_CLOSES,
    SALE_LINES,
    SALES,
    TALLIES,
    TIER_CHANGES,
    WEEKLY_SUMMARIES,
    Topic,
)
from schemas.values import line_key, partition_of, tally_key
from tests.conftest import free_ports
from tests.streams.harness import NOW, ROOT, Wire, a_partner, a_sale, working
from tests.waiting import until


def test_half_a_minute_of_chaos_loses_nothing_and_does_nothing_twice() -> None:
    command = [sys.executable, "-P", "-m", "deploy.cli", "chaos", "--minutes", "0.6", "--seed", "7", "--json"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STAFFEL_")}
    done = subprocess.run(
        [*command, "--port-base", str(free_ports())],
        env=clean | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert (done.returncode, found["healthy"]) == (0, True)
    assert sum(found["faults"].values()) >= 5
    assert found["looked_at"]["reports recounted"] > 1000
    assert found["looked_at"]["strays"] > 10


def test_a_seed_draws_the_same_faults_and_a_round_has_every_kind(settings: Settings) -> None:
    nobody: Any = None
    first, again, other = (Faults(settings, nobody, nobody, seed) for seed in (1, 1, 2))
    rounds = [[faults.draw() for _ in range(16)] for faults in (first, again, other)]
    assert rounds[0] == rounds[1] != rounds[2]
    assert set(rounds[0]) == set(Fault)


def test_the_proof_names_whatever_was_written_otherwise_than_it_should_be(settings: Settings) -> None:
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    write_segments(clock_file(settings), (Segment(time.time() - 60, start.timestamp(), 1.0),))
    wire = Wire(settings)
    observer = Observer(settings)
    observer.start()
    wire.send(*(a_partner(f"P{n}") for n in range(3)), a_sale("A", "P1", 30), a_sale("B", "P2", 9))
    wire.send(SaleReturned("R1", "A", "P1", "TS-100", 10, date(2026, 11, 5), NOW))
    wire.raw(SALES, b"P1", b"poison")
    wire.raw(SALES, None, wire.codec.encode(SALES, a_sale("C", "P2", 5)), partition=1 - partition_of(b"P2", 2))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P0": 0, "P1": 20, "P2": 14} or wire.units() == {"P1": 20, "P2": 14})
        advance(settings, by=timedelta(days=75))
        until(lambda: len(wire.messages(QUARTER_CLOSES)) == 6, what="both closes")
        until(lambda: len(wire.messages(WEEKLY_SUMMARIES)) == 3, what="the summaries")
        until(lambda: not prove(settings, observer.history).wrong, what="rest")
    observer.stop()
    sound = prove(settings, observer.history)
    assert sound.looked_at["dead letters"] == sound.looked_at["strays"] == 1

    def told(topic: Topic, key: str, event: Any) -> tuple[str, ...]:
        """Write a record that the stream did not, and prove again."""
        headers = headers_for(event, source="/tests", time=NOW, subject=event.partner_id)
        where = partition_of(event.partner_id.encode(), 2)
        wire.raw(topic, key.encode(), wire.codec.encode(topic, event), headers, partition=where)
        wire.flush()
        return tuple(text for text in prove(settings, observer.history).wrong)

    change = wire.written(TIER_CHANGES)[0].event
    summary, close = wire.written(WEEKLY_SUMMARIES)[0].event, wire.written(QUARTER_CLOSES)[-1].event
    line, tally = wire.written(SALE_LINES)[0].event, wire.tallies()["P2", "2026Q4"]
    assert any("P1 2026Q4: tier changes are numbered" in text for text in told(TIER_CHANGES, "P1", change))
    assert any("2 instead of 1: weekly summary" in text for text in told(WEEKLY_SUMMARIES, "x", summary))
    assert any("closes are numbered" in text for text in told(QUARTER_CLOSES, "x", close))
    strange = msgspec.structs.replace(line, sale_id="nobody's")  # type: ignore[type-var]
    key = line_key("P1", "nobody's")
    assert any("1 instead of 0: line of P1/nobody's" in text for text in told(SALE_LINES, key, strange))
    wrong = msgspec.structs.replace(tally, units=tally.units + 1)
    key = tally_key(tally.programme_id, "P2", "2026Q4")
    assert any("P2 2026Q4: published 15 units" in text for text in told(TALLIES, key, wrong))
    letter = wire.messages(DEAD_LETTERS)[0]
    wire.raw(DEAD_LETTERS, b"P1", b"poison", letter.headers())
    wire.raw(SALES, b"P2", b"another poison")
    wire.flush()
    found = prove(settings, observer.history).wrong
    assert any("2 instead of 1: dead letter" in text for text in found)
    assert any("0 instead of 1: dead letter" in text for text in found)
    without = {p: [row for row in rows if row[0] != "calendar"] for p, rows in observer.history.items()}
    assert any("what was due on 2027-01-01 00:00 was not done" in text for text in prove(settings, without).wrong)
