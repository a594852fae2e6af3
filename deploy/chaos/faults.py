"""What goes wrong on purpose. Which, when and to whom is drawn from the seed; each fault says what it does."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from confluent_kafka import KafkaException

from deploy.chaos.crew import SLOTS, Crew
from deploy.chaos.poison import poison
from deploy.embedded.stack import Stack
from deploy.runtime import kafka
from deploy.runtime.clock import Segment, clock_file, open_clock, read_segments, write_segments
from deploy.runtime.settings import Settings
from schemas.topics import POSITIONS, SALE_LINES, TALLIES
from schemas.values import Quarter

_SESSION = 10.0
"""Seconds of silence after which the group gives a worker's partitions to others."""
_CLOCK_LEAD = 0.5
"""Seconds from telling the clock to jump until it does, so that every process knows of it by then."""


class Fault(StrEnum):
    """A kind of fault."""

    KILL = "worker: kill -9"
    TERM = "worker: SIGTERM"
    PAUSE = "worker: paused beyond its session"
    SCALE = "worker: one more or one less"
    DISK = "worker: disk full"
    BROKER = "broker: kill -9 and restart"
    REGISTRY = "registry: kill -9 and restart"
    POISON = "records that can't be read"
    OPEN = "a stranger's open transaction on state"
    CLOCK = "clock: weeks go by"


_OFTEN = {Fault.KILL: 3, Fault.PAUSE: 2, Fault.POISON: 2, Fault.CLOCK: 2}
"""How many of a kind come in each round, if not one."""
MEASURED = (Fault.KILL, Fault.TERM, Fault.PAUSE)
"""After these a take-over is timed, if nothing else is broken."""


class Done(NamedTuple):
    """What was done, in words; if it lasts, for how many seconds, and how it ends."""

    words: str
    seconds: float = 0.0
    end: Callable[[], None] | None = None
    take_over: bool = False
    """Whether a worker that had partitions has just lost them: how long until others have them is worth knowing."""


class Faults:
    """Draws faults in rounds, so that each kind comes even in a short run, and does them."""

    def __init__(self, settings: Settings, stack: Stack, crew: Crew, seed: int) -> None:
        self.chance = random.Random(f"{seed}/faults")  # noqa: S311  # chaos, no secret
        self._settings, self._stack, self._crew = settings, stack, crew
        self._round: list[Fault] = []

    def draw(self) -> Fault:
        """The next kind."""
        if not self._round:
            kinds = [kind for kind in Fault if kind is not Fault.DISK or sys.platform == "linux"]
            self._round = [kind for kind in kinds for _ in range(_OFTEN.get(kind, 1))]
            self.chance.shuffle(self._round)
        return self._round.pop()

    def do(self, fault: Fault) -> Done | None:
        """Do it. None if there is nobody to do it to just now."""
        ready = [slot for slot in self._crew.running if self._crew.page(slot, "/healthz") is not None]
        slot = self.chance.choice(ready or self._crew.running or [None])
        match fault:
            case Fault.BROKER | Fault.REGISTRY:
                return self._restart(fault)
            case Fault.POISON:
                return Done(poison(self._settings, self.chance))
            case Fault.OPEN:
                return self._open_transaction(slot)
            case Fault.CLOCK:
                return self._jump()
            case Fault.SCALE:
                return self._scale()
        return None if slot is None else self._hurt(fault, slot)._replace(take_over=slot in ready and fault in MEASURED)

    def _hurt(self, fault: Fault, slot: int) -> Done:
        who = f"worker {slot}"
        match fault:
            case Fault.KILL:
                self._crew.end(slot, signal.SIGKILL)
                return Done(f"{who} killed")
            case Fault.TERM:
                self._crew.end(slot, signal.SIGTERM)
                return Done(f"{who} asked to end")
            case Fault.PAUSE:
                seconds = self.chance.uniform(_SESSION + 1, _SESSION + 5)
                self._crew.pause(slot)
                return Done(f"{who} paused for {seconds:.0f} s", seconds, lambda: self._crew.wake(slot))
        seconds = self.chance.uniform(4, 10)
        self._crew.fill_disk(slot)
        words = f"{who} has no disk for {seconds:.0f} s"
        if self.chance.random() < 0.5:
            self._crew.end(slot, signal.SIGTERM)
            words += ", and is started anew on it"
        return Done(words, seconds, lambda: self._crew.free_disk(slot))

    def _restart(self, fault: Fault) -> Done:
        name = "kafka" if fault is Fault.BROKER else "registry"
        begun = time.monotonic()
        self._stack.kill(name)
        self._stack.await_ready(name, 180)
        return Done(f"{fault.split(':')[0]} killed, back after {time.monotonic() - begun:.1f} s")

    def _scale(self) -> Done:
        slots = self._crew.slots
        free = [slot for slot in range(SLOTS) if slot not in slots]
        if free and (len(slots) < 3 or self.chance.random() < 0.5):
            self._crew.add(free[0])
            return Done(f"worker {free[0]} started beside the {len(slots)} others")
        slot = self.chance.choice(slots)
        self._crew.remove(slot)
        return Done(f"worker {slot} taken away, {len(slots) - 1} left")

    def _open_transaction(self, slot: int | None) -> Done | None:
        """A record of nobody's, never committed: what is committed behind it can't be read meanwhile."""
        topic = self.chance.choice((POSITIONS, TALLIES, SALE_LINES))
        partition = self.chance.randrange(self._settings.partitions)
        vanishes, seconds = self.chance.random() < 0.4, self.chance.uniform(3, 9)
        stranger = kafka.producer(
            self._settings, transactional_id="chaos-stranger", transaction_timeout_ms=round(seconds * 1000)
        )
        try:
            stranger.init_transactions(10)
            stranger.begin_transaction()
            name = topic.full_name(self._settings.topic_prefix)
            stranger.produce(name, b"nobody's", b"nobody", partition=partition)
            stranger.flush(5)
        except KafkaException:
            return None  # the broker is just not there
        words = f"a stranger's transaction stands open on {topic.name}/{partition} for {seconds:.0f} s"
        if slot is not None and self.chance.random() < 0.5:
            self._crew.end(slot, signal.SIGKILL)
            words += f", worker {slot} killed meanwhile"

        def end() -> None:
            try:
                if not vanishes:  # otherwise the broker ends it when its time is over
                    stranger.abort_transaction(10)
            except KafkaException:
                pass

        return Done(words, seconds, end)

    def _jump(self) -> Done:
        now = open_clock(self._settings).now()
        zone = ZoneInfo("Europe/Berlin")
        day = Quarter.of(now.astimezone(zone).date()).next.first_day
        ends = datetime(day.year, day.month, day.day, 1, tzinfo=zone)
        weeks = now + timedelta(days=7 * self.chance.randint(1, 3), hours=self.chance.randrange(48))
        to = self.chance.choice((weeks, weeks, ends, now + timedelta(days=29)))
        path = clock_file(self._settings)
        segments = read_segments(path)
        write_segments(path, (*segments, Segment(time.time() + _CLOCK_LEAD, to.timestamp(), segments[-1].rate)))
        return Done(f"clock moved on by {(to - now).days} days to {to:%Y-%m-%d %H:%M}", _CLOCK_LEAD, lambda: None)
