"""One run: a stack of its own, traffic, faults, then rest and proof."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import NamedTuple

from deploy.chaos.calendar import Due
from deploy.chaos.crew import SLOTS, Crew
from deploy.chaos.faults import MEASURED, Done, Fault, Faults
from deploy.chaos.findings import prove
from deploy.chaos.observer import Observer
from deploy.chaos.traffic import Traffic
from deploy.embedded.stack import Stack
from deploy.runtime.errors import NotReady
from deploy.runtime.settings import Loaded, Settings, load
from schemas.topics import PARTNERS, SALES
from services.kit.log import records

_CLOCK = "2026-11-20T12:00:00Z"
_PATIENCE = 120.0
"""Seconds that the stream has to catch up once nothing is broken any more."""
Say = Callable[[str], None]


class Report(NamedTuple):
    """What was done and what it came to."""

    seed: int
    faults: Counter[str]
    sent: Counter[str]
    endings: Counter[str]
    """Ends of workers, by reason."""
    starts: int
    take_overs: dict[str, list[float]]
    """By kind of fault, seconds until all was up to date again, where no other fault came meanwhile."""
    looked_at: dict[str, int]
    wrong: tuple[str, ...]
    kept: Path | None
    """The data folder with all logs, if something is wrong."""


def run(seconds: float, seed: int, workers: int, port_base: int, say: Say, stop: Flag | None = None) -> Report:
    """Do it. ``stop`` ends the faults early. Raises StaffelError if the stack can't start."""
    folder = Path(tempfile.mkdtemp(prefix="staffel-chaos-"))
    logging.getLogger("staffel.kafka").setLevel(logging.CRITICAL)  # that the broker is away is no news here
    loaded = load({"data": folder, "port_base": port_base, "clock": _CLOCK}, {})
    keep = False
    try:
        with Stack(loaded, parts=("kafka", "registry"), services=()) as stack:
            say("starting a stack of its own …")
            stack.wait_ready()
            report = _Run(loaded, stack, seed, say).whole(seconds, workers, stop or Flag())
        keep = bool(report.wrong)
        return report._replace(kept=folder if keep else None)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


class _Run:
    def __init__(self, loaded: Loaded, stack: Stack, seed: int, say: Say) -> None:
        self._settings: Settings = loaded.settings
        self._seed = seed
        self._say = say
        self._crew = Crew(loaded, seed)
        self._observer = Observer(loaded.settings)
        self._traffic = Traffic(loaded.settings, seed)
        self._faults = Faults(loaded.settings, stack, self._crew, seed)
        self._done: Counter[str] = Counter()
        self._lasting: list[tuple[float, Done]] = []
        self._take_overs: dict[str, list[float]] = {fault.value: [] for fault in MEASURED}
        self._looked_at: dict[str, int] = {}
        self._begun = time.monotonic()

    def whole(self, seconds: float, workers: int, stop: Flag) -> Report:
        try:
            self._crew.start(workers)
            self._observer.start()
            self._traffic.start()
            self._wait(lambda: bool(self._observer.history), "the first sales")
            self._begun = time.monotonic()
            self._break_things(seconds, stop)
            wrong = self._rest_and_prove()
        finally:
            self._traffic.stop()
            self._crew.stop()
            self._observer.stop()
        return self._report(wrong)

    def _break_things(self, seconds: float, stop: Flag) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not stop.is_set():
            fault, at = self._faults.draw(), time.monotonic()
            alone = not self._lasting
            done = self._faults.do(fault)
            if done is None:
                continue
            self._done[fault.value] += 1
            self._tell(done.words)
            if done.end is not None:
                self._lasting.append((time.monotonic() + done.seconds, done))
            chance = self._faults.chance
            if done.take_over and alone and chance.random() < 0.5:
                self._time_take_over(fault, at, stop)
            else:
                pause = time.monotonic() + chance.uniform(0.5, 6)
                while time.monotonic() < min(pause, until) and not stop.wait(0.1):
                    self._end_what_is_over()
        for at, _ in sorted(self._lasting, key=lambda row: row[0]):
            time.sleep(max(0.0, at - time.monotonic()))
            self._end_what_is_over()

    def _time_take_over(self, fault: Fault, at: float, stop: Flag) -> None:
        """Let nothing else happen until all is up to date again."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not stop.wait(0.1):
            self._end_what_is_over()
            seconds = self._observer.taken_over(at)
            if seconds is not None:
                self._take_overs[fault.value].append(round(seconds, 1))
                self._tell(f"  up to date again after {seconds:.1f} s")
                return

    def _end_what_is_over(self) -> None:
        for row in [row for row in self._lasting if row[0] <= time.monotonic()]:
            self._lasting.remove(row)
            if row[1].end is not None:
                row[1].end()

    def _rest_and_prove(self) -> list[str]:
        self._tell("no more faults, no more sales; waiting until all is applied")
        self._traffic.stop()
        begun = time.monotonic()
        wrong = self._settle()
        self._tell(f"at rest after {time.monotonic() - begun:.1f} s; proving")
        wrong += prove(self._settings, self._observer.history).wrong
        # What a worker knows and Kafka does not would be missing now.
        for slot in self._crew.slots:
            self._crew.remove(slot)
        self._crew.add(SLOTS - 1)
        self._tell("all workers ended, a new one restores and proves; some more sales, then the same proof again")
        more = Traffic(self._settings, self._seed + 1_000_000)
        more.start()
        time.sleep(3)
        more.stop()
        wrong += self._settle()
        proof = prove(self._settings, self._observer.history)
        self._looked_at = proof.looked_at
        wrong += [text for text in proof.wrong if text not in wrong]
        if self._crew.unaccounted:
            wrong.append(f"a worker's own books did not add up: {self._crew.unaccounted:.0f} records unaccounted for")
        return wrong

    def _settle(self) -> list[str]:
        try:
            self._wait(self._at_rest, "all that was sent to be applied")
        except NotReady as error:
            return [error.message]
        return []

    def _at_rest(self) -> bool:
        """Whether no committed record lies behind the positions, and no moment of the calendar is due."""
        due = Due(self._settings)
        for partition in range(self._settings.partitions):
            history = self._observer.history.get(partition, [])
            latest = dict(history)
            if due.behind(history):
                return False
            for topic in (SALES, PARTNERS):
                start = {partition: latest.get(topic.name, -1) + 1}
                if next(iter(records(self._settings, topic, start)), None) is not None:
                    return False
        return True

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise NotReady(f"waited {_PATIENCE:.0f} s in vain for {what}")
            time.sleep(0.2)

    def _report(self, wrong: list[str]) -> Report:
        endings = Counter(ending.reason for ending in self._crew.endings)
        wrong += [f"worker {e.slot} ended: {e.reason}" for e in self._crew.endings if not e.sound]
        return Report(
            self._seed,
            self._done,
            self._traffic.sent,
            endings,
            self._crew.starts,
            self._take_overs,
            self._looked_at,
            tuple(wrong),
            None,
        )

    def _tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._begun:6.1f} s  {text}")
