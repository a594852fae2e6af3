"""One run: a broker, workers, traffic and faults, decided by one seed; then calm, and everything must be applied."""

from __future__ import annotations

import contextlib
import io
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from confluent_kafka import KafkaException

from deploy.runtime.errors import NotReady, StaffelError
from schemas.events import Position
from schemas.topics import PARTNERS, POSITIONS, SALES, TOPICS, Topic
from streams.restore import CALENDAR
from streams.rules.calendar import due
from tests.simulation.broker import Broker
from tests.simulation.clients import Faults
from tests.simulation.given import PREFIX, codec, programme, settings
from tests.simulation.group import Group
from tests.simulation.traffic import Traffic
from tests.simulation.worker import Place, Worker

STEPS_MAX = 60_000
SESSION = 4.0
STEP_SECONDS = 0.02
logging.getLogger("streams").setLevel(logging.CRITICAL + 1)


class Broken(AssertionError):
    """Something that must hold does not."""


class WorldsFaults(Faults):
    """What goes wrong in clients while there are faults."""

    def __init__(self, world: World) -> None:
        self._world = world
        chance = world.chance
        self._early = chance.choice([0.0, 0.1, 0.4])
        self._lost = chance.choice([0.0, 0.0, 0.05, 0.3])

    def send_now(self) -> bool:
        return self._world.chance.random() < self._early

    def end_lost(self) -> tuple[bool, bool]:
        if not self._world.calm and self._world.chance.random() < self._lost:
            return True, self._world.chance.random() < 0.5
        return False, False


class World:
    """Everything of one run. ``run`` returns when all is applied; raises Broken."""

    prefix = PREFIX
    late_ends = False
    """Whether copies of old ends of transactions arrive, which tear batches: a worker refuses what it finds."""

    def __init__(self, seed: int, tracing: bool = False) -> None:
        self.seed, self.tracing = seed, tracing
        self.lines: list[str] = []
        self.chance = random.Random(seed)
        self.elapsed, self.steps = 0.0, 0
        self._shift = float(datetime(2026, self.chance.choice([9, 12, 12, 3]), 20, tzinfo=UTC).timestamp())
        self._shift += self.chance.uniform(0, 12 * 86_400)
        self.calm, self.calm_since = False, 0.0
        self._broken: Broken | None = None
        self.partitions = self.chance.choice([1, 2, 2, 3])
        self.grace_days = self.chance.choice([28, 28, 28, 0, 90])
        self.settings, self.codec, self.programme = settings(self.partitions), codec(), programme(self.grace_days)
        self.source_of = {topic.full_name(PREFIX): topic for topic in (SALES, PARTNERS)}
        self.broker = Broker(self.now, lambda: self.elapsed)
        for topic in TOPICS:
            self.broker.create(topic.full_name(PREFIX), self.partitions, topic.compacted)
        self._compacted = [t.full_name(PREFIX) for t in TOPICS if t.compacted]
        self.faults = WorldsFaults(self)
        self.traffic = Traffic(self)
        self.group = Group(self)
        self.group_offsets: dict[Place, int] = {}
        self._names = 0
        self.workers = [self._new_worker() for _ in range(self.chance.choice([1, 2, 2, 3]))]
        self._restarts: list[float] = []
        self._left = self.chance.randint(20, 70)
        self._traffic_every = self.chance.choice([0.03, 0.08, 0.2])
        self._mishaps = self._choose_mishaps()
        self._damage = self.chance.choice([None] * 17 + [self._log_anew, self._log_cut, self._log_begun_later])
        self.damaged: int | None = None
        """The partition of ``sales`` that is not any more what its state was made from."""
        self.refused = False
        self._mishap_every = self.chance.choice([0.005, 0.01, 0.03])
        if self.late_ends:
            self._mishaps, self._mishap_every = [self._crash, *[self._late_end] * 6], 0.08

    # --- what others ask -----------------------------------------------------------------------------------------

    def now(self) -> float:
        """True time, in seconds since 1970: the broker's."""
        return self._shift + self.elapsed

    def trace(self, who: str, what: str) -> None:
        if self.tracing:
            at = datetime.fromtimestamp(self.now(), UTC)
            self.lines.append(f"{self.steps:6d} {at:%Y-%m-%d %H:%M:%S} {who:8s} {what}")

    def taken(self, worker: Worker, number: int) -> None:
        """A worker takes a partition over: it must be its own, and not be taken yet."""
        self.trace(worker.name, f"takes {number}")
        if number not in worker.assigned:
            self.broken(f"{worker.name} takes partition {number}, which is not its own")
        if number in worker.taken_now:
            self.broken(f"{worker.name} takes partition {number} twice in one assignment and fences itself")
        worker.taken_now.add(number)

    def ended(self, worker: Worker, error: BaseException | None) -> None:
        """A worker ended itself: there are good reasons and bad ones."""
        self.trace(worker.name, f"ends: {error!r}")
        may_refuse = self.damaged is not None or self.late_ends
        if may_refuse and isinstance(error, StaffelError) and not isinstance(error, NotReady):
            self.refused = True
        elif not isinstance(error, KafkaException | NotReady):
            self.broken(f"{worker.name} ended for a reason that is none: {error!r}", error)

    def broken(self, what: str, error: BaseException | None = None) -> None:
        """Noted, and raised as soon as nothing of the product is on the stack."""
        if self._broken is None:
            self._broken = Broken(what)
            self._broken.__cause__ = error

    # --- the run -------------------------------------------------------------------------------------------------

    def run(self, check: Callable[[World], None]) -> None:
        """Faults first, then calm, then the checks. Raises Broken, or what ``check`` raises."""
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # where a worker says why it ends
                self._live()
            if not self.refused:
                check(self)
        finally:
            for worker in self.workers:
                worker.bury()

    def _live(self) -> None:
        while self._left > 0 and not self.refused:
            self._step()
        self._calm_down()
        if self._damage is not None and self._break_a_log(self._damage):
            self._until_refused()
            return
        for _ in range(2):
            self._until_applied()
            self.pass_time(days=self.chance.choice([20, 40, 100, 200]))
        self._until_applied()
        for _ in range(self.chance.choice([0, 1, 1, 2])):
            self._let_years_pass()

    def _let_years_pass(self) -> None:
        """Horizons pass and lines leave, partners are forgotten and leave; then somebody reports old things again."""
        come_back = self.chance.random() < 0.7
        self.traffic.forget_some()
        self._until_applied()
        for _ in range(self.chance.choice([1, 2])):
            self.pass_time(days=self.chance.choice([100, 300, 400]))
            self._let_something_happen()
            self._until_applied()
        for _ in range(self.chance.randint(2, 12)):
            self.traffic.late(others_too=come_back)
            self._let_something_happen()
        if come_back:
            self.traffic.end()
        self._until_applied()

    def _let_something_happen(self) -> None:
        """Lines leave between batches: give that time, and break it off."""
        for _ in range(self.chance.choice([1, 20, 100])):
            self._step()
        if self.chance.random() < 0.3:
            self.chance.choice([self._crash, self._compact, self._compact, self._rebalance])()

    def pass_time(self, days: float) -> None:
        self.trace("time", f"{days:.2f} days pass")
        self._shift += days * 86_400

    def _step(self) -> None:
        self.steps += 1
        self.elapsed += STEP_SECONDS
        chance = self.chance
        choice = chance.random()
        if not self.calm:
            if choice < self._traffic_every:
                self.traffic.one()
                self._left -= 1
            elif choice > 1 - self._mishap_every:
                chance.choice(self._mishaps)()
        if self.steps % 8 == 0:
            self.broker.expire()
            self._restart()
            self.group.step()
        self.broker.write_marker(chance)
        worker = self.workers[int(choice * 1000) % len(self.workers)] if self.workers else None
        if worker is not None:
            if not worker.alive:
                worker.bury()
                self.workers.remove(worker)
                self._restarts.append(self.elapsed + chance.uniform(0.1, 3))
            elif worker.paused_until <= self.elapsed:
                worker.step()
        if self._broken is not None:
            raise self._broken

    def _until_applied(self) -> None:
        for count in range(STEPS_MAX):
            if self.refused or (count % 20 == 0 and self._applied()):
                return
            self._step()
        raise Broken(f"not everything is applied {STEPS_MAX} steps after the last fault: {self._missing()}")

    def _until_refused(self) -> None:
        for _ in range(STEPS_MAX):
            self._step()
            if self.refused:
                return
            if any(worker.alive and (SALES, self.damaged) in worker.reading for worker in self.workers):
                raise Broken(f"sales/{self.damaged} is read on, but is not the log that its state was made from")
        raise Broken(f"nobody said a word about the broken log of sales/{self.damaged}")

    def _applied(self) -> bool:
        return not self._missing()

    def _missing(self) -> str:
        now = datetime.fromtimestamp(self.now(), UTC)
        owners = {n: w for w in self.workers if w.alive for n in w.assigned if (SALES, n) in w.reading}
        for worker in self.workers:
            if not worker.idle:
                return f"{worker.name} is at work"
        for name, topic in self.broker.topics.items():
            if any(log.stable < log.end for log in topic.logs):
                return f"ends of transactions in {name}"
        for number in range(self.partitions):
            if number not in owners:
                return f"nobody owns {number}"
            partition = owners[number].owned.partition(number)
            for source in (SALES, PARTNERS):
                log = self.broker.log(source.full_name(PREFIX), number)
                next_offset = partition.next_offset(source)
                if next(log.read(next_offset, committed=True), None) is not None:
                    return f"{source.name}/{number} from {next_offset} on"
            done = partition._partition._restored.positions[CALENDAR].offset
            if due(self.programme, datetime.fromtimestamp(done / 1000, UTC), now):
                return f"moments of {number}"
        return ""

    # --- what goes wrong -----------------------------------------------------------------------------------------

    def _choose_mishaps(self) -> list[Callable[[], None]]:
        kinds = [
            self._crash,
            self._pause,
            self._rebalance,
            self._again,
            self._compact,
            self._let_time_pass,
            self._wrong_clock,
            self._another_worker,
        ]
        return self.chance.sample(kinds, self.chance.randint(2, len(kinds)))

    def _crash(self) -> None:
        if self.workers:
            worker = self.chance.choice(self.workers)
            self.trace(worker.name, "crashes")
            worker.alive = False

    def _pause(self) -> None:
        if self.workers:
            worker = self.chance.choice(self.workers)
            seconds = self.chance.choice([0.5, 2, SESSION * 2, 15])
            self.trace(worker.name, f"is paused for {seconds} s")
            worker.paused_until = self.elapsed + seconds

    def _rebalance(self) -> None:
        self.trace("group", "rebalances")
        self.group.dirty = True

    def _again(self) -> None:
        """Somebody fetches again from an earlier place."""
        reading = [(worker, place) for worker in self.workers for place in worker.reading]
        if reading:
            worker, place = self.chance.choice(reading)
            back = self.chance.randint(0, worker.handed[place])
            self.trace(worker.name, f"fetches {place[0].name}/{place[1]} from {back} again")
            worker.begin_at({place: max(back, self.broker.log(place[0].full_name(PREFIX), place[1]).start)})

    def _compact(self) -> None:
        name = self.chance.choice(self._compacted)
        for log in self.broker.topics[name].logs:
            log.compact(self.chance)
        self.trace("broker", f"compacts {name}")

    def _let_time_pass(self) -> None:
        self.pass_time(self.chance.choice([0.1, 1, 7, 30, 90]))

    def _wrong_clock(self) -> None:
        if self.workers:
            worker = self.chance.choice(self.workers)
            worker.machine.wrong_by = self.chance.choice([0.0, 3600.0, 40 * 86_400.0, 3e8, -86_400.0])
            self.trace(worker.name, f"has a clock that is wrong by {worker.machine.wrong_by} s")

    def _late_end(self) -> None:
        number = self.chance.randrange(self.partitions)
        self.trace("broker", f"gets an old end of a transaction of {number}")
        self.broker.end_again(f"{PREFIX}{self.settings.app_id}.{number}")

    def _another_worker(self) -> None:
        if len(self.workers) < 4:
            self.workers.append(self._new_worker())

    def _break_a_log(self, damage: Callable[[int, int], None]) -> bool:
        """All workers end; then a log of ``sales`` is not any more what it was. Whether there is one to break."""
        for worker in self.workers:
            worker.alive = False
        self.broker.abort_all()
        for number, log in enumerate(self.broker.topics[POSITIONS.full_name(PREFIX)].logs):
            for entry in log.read(0, committed=True):
                found = cast(Position, self.codec.decode(POSITIONS, entry.value or b""))
                if found.source == SALES.name and found.offset >= 5:
                    self.damaged, position = number, found.offset
        if self.damaged is not None:
            self.trace("broker", f"breaks sales/{self.damaged} by {damage.__name__}")
            damage(self.damaged, position)
        return self.damaged is not None

    def _log_anew(self, _number: int, _position: int) -> None:
        self.broker.create(SALES.full_name(PREFIX), self.partitions)

    def _log_cut(self, number: int, _position: int) -> None:
        # All of it, so that it does not grow beyond the position again before anybody looks: that would not be seen.
        self.broker.log(SALES.full_name(PREFIX), number).cut(0)

    def _log_begun_later(self, number: int, position: int) -> None:
        log = self.broker.log(SALES.full_name(PREFIX), number)
        while log.end < position + 3:
            self.broker.append(SALES.full_name(PREFIX), number, b"P0", b"", [])
        log.delete_before(position + 2)

    def _calm_down(self) -> None:
        self.trace("world", "calms down")
        self.calm, self.calm_since = True, self.now()
        self.traffic.end()
        for worker in self.workers:
            worker.paused_until = min(worker.paused_until, self.elapsed + SESSION)
            worker.machine.wrong_by = 0.0

    def _restart(self) -> None:
        for at in [at for at in self._restarts if at <= self.elapsed]:
            self._restarts.remove(at)
            self.workers.append(self._new_worker())

    def _new_worker(self) -> Worker:
        self._names += 1
        worker = Worker(self, f"worker{self._names}")
        self.trace(worker.name, "starts")
        self.group.join(worker)
        return worker

    @property
    def committed(self) -> dict[Topic, list[list[Any]]]:
        """What readers of committed records can see at the end, by topic and partition."""
        return {t: [list(log.read(0, True)) for log in self.broker.topics[t.full_name(PREFIX)].logs] for t in TOPICS}
