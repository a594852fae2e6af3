"""Crashes, pauses and moving partitions: every sale counts once, every event is written once."""

from __future__ import annotations

import random
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from deploy.runtime.clock import Segment, advance, clock_file, write_segments
from deploy.runtime.settings import Settings
from schemas.events import QuarterClosed, TierChanged, WeeklySummary, id_of
from schemas.topics import QUARTER_CLOSES, TIER_CHANGES, WEEKLY_SUMMARIES
from tests.streams.harness import Wire, Worker, a_partner, a_sale, forget_the_dead, working
from tests.waiting import until

PARTNERS = [f"P{n}" for n in range(40)]


def tier(units: int) -> int:
    return max(threshold for threshold in (0, 10, 25, 50) if threshold <= units)


def check(wire: Wire, expected: Counter[str]) -> None:
    """Tallies as recounted; each crossing told exactly once, in an unbroken sequence."""
    assert wire.units() == expected
    told: dict[str, list[TierChanged]] = {}
    for record in wire.written(TIER_CHANGES):
        assert isinstance(record.event, TierChanged)
        assert record.event_id == id_of(record.event)
        told.setdefault(record.event.partner_id, []).append(record.event)
    for partner_id, units in expected.items():
        changes = told.get(partner_id, [])
        assert [c.sequence for c in changes] == list(range(1, len(changes) + 1))
        assert (changes[-1].to_tier if changes else 0) == tier(units)
        assert all(before.to_tier == after.from_tier for before, after in pairwise(changes))


def send(wire: Wire, chance: random.Random, number: int, expected: Counter[str], name: str) -> None:
    """Sales of which every tenth is sent twice."""
    for n in range(number):
        partner_id = chance.choice(PARTNERS)
        units = chance.choice([1, 1, 2])
        expected[partner_id] += units
        wire.send(*[a_sale(f"{name}{n}", partner_id, units)] * (2 if n % 10 == 0 else 1))
    wire.flush()


def test_workers_killed_and_paused_amid_the_flow_lose_nothing_and_repeat_nothing(settings: Settings) -> None:
    wire, chance, expected = Wire(settings), random.Random(7), Counter[str]()
    wire.send(*map(a_partner, PARTNERS))
    first, second = Worker(settings, 0), Worker(settings, 1)
    workers = [first, second]
    try:
        first.ready()
        second.ready()
        send(wire, chance, 600, expected, "a")
        first.kill(signal.SIGKILL)
        send(wire, chance, 600, expected, "b")
        workers.append(third := Worker(settings, 2))
        third.ready()
        until(lambda: wire.units() == expected, 60, "all counted after the kill")

        # Paused beyond its session, a worker's partitions move; when it wakes it is fenced, or finds them revoked.
        second.process.send_signal(signal.SIGSTOP)
        send(wire, chance, 600, expected, "c")
        until(lambda: wire.units() == expected, 60, "all counted while one sleeps")
        second.process.send_signal(signal.SIGCONT)
        send(wire, chance, 600, expected, "d")
        until(lambda: wire.units() == expected, 60, "all counted after it woke")
        check(wire, expected)
    finally:
        for worker in workers:
            worker.stop()


def test_calendar_moments_happen_once_each_whoever_is_killed_when(settings: Settings) -> None:
    real = datetime.now(UTC).timestamp()  # noqa: TID251 - the test's own clock begins at real time
    start = datetime(2026, 12, 20, 12, tzinfo=UTC)
    write_segments(clock_file(settings), (Segment(real - 5, start.timestamp(), 1.0),))
    wire = Wire(settings)
    wire.send(*map(a_partner, PARTNERS))
    wire.send(*(a_sale("A", partner_id, 50) for partner_id in PARTNERS))
    wire.flush()
    with working(settings) as worker:
        until(lambda: len(wire.units()) == len(PARTNERS), what="all counted")
        advance(settings, by=timedelta(days=14))
        until(lambda: len(wire.messages(QUARTER_CLOSES)) >= 5, what="closes begin")
        worker.kill(signal.SIGKILL)
    forget_the_dead(settings)
    with working(settings):
        advance(settings, to=datetime(2027, 2, 2, 12, tzinfo=UTC))
        until(lambda: len(wire.messages(QUARTER_CLOSES)) >= len(PARTNERS) + 5, what="final closes begin")
    with working(settings):
        until(lambda: len(wire.messages(QUARTER_CLOSES)) == 2 * len(PARTNERS), what="all closes")
        advance(settings, by=timedelta(days=7))
        until(lambda: any(e.event.week == "2027-W06" for e in wire.written(WEEKLY_SUMMARIES)), what="another week")  # type: ignore[attr-defined]
    closes = [record.event for record in wire.written(QUARTER_CLOSES)]
    by_kind = Counter((e.kind.value, e.payable_minor) for e in closes if isinstance(e, QuarterClosed))
    assert by_kind == {("provisional", 0): len(PARTNERS), ("final", 75000): len(PARTNERS)}
    weeks = [record.event for record in wire.written(WEEKLY_SUMMARIES)]
    once = Counter((e.partner_id, e.week) for e in weeks if isinstance(e, WeeklySummary))
    assert set(once.values()) == {1}
    for record in (*wire.written(QUARTER_CLOSES), *wire.written(WEEKLY_SUMMARIES)):
        assert record.event_id == id_of(record.event)
