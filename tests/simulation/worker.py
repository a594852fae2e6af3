"""A worker process: the product's own ``Owned``, agents, timer and partitions, and Faust's part played by us.

Faust's part: it is assigned partitions and asks where to begin (often twice at once), fetches slices of committed
records into the agents' queues, and on revocation stops the agents. The group's offset is committed as Faust does, for
nobody to rely on.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn, cast

from aiokafka.structs import ConsumerRecord
from faust.types import TP

from schemas.topics import PARTNERS, SALES, Topic
from streams.agents.moments import moments_timer
from streams.agents.records import record_agent
from streams.owned import Owned
from streams.surroundings import Clients, Surroundings
from streams.transport import Slice
from tests.simulation.broker import Entry
from tests.simulation.clients import Admin, Producer, Reader
from tests.simulation.loop import Ended, Lane, Loop

READS_COMMITTED = True
"""As streams/transport.py makes aiokafka's consumer do."""
Place = tuple[Topic, int]


class Event(NamedTuple):
    """What a stream hands an agent."""

    value: Slice
    message: Any

    def ack(self) -> None:
        """The group's offset serves nobody here."""


class Stream:
    """The queue of one agent instance: one source, one partition."""

    def __init__(self, worker: Worker, place: Place) -> None:
        self._worker, self._place = worker, place
        self._items: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.channel = self.queue = self

    def put(self, piece: Slice) -> None:
        self._items.append(Event(piece, Message(self._place[1])))
        if self._waiter is not None and not self._waiter.done():
            self._worker.loop.call_soon(self._wake, self._waiter)

    def empty(self) -> bool:
        return not self._items

    def get_nowait(self) -> Event:
        return self._items.popleft()

    async def events(self) -> AsyncIterator[Event]:
        while True:
            while not self._items:
                self._waiter = self._worker.loop.create_future()
                await self._waiter
            event = self._items.popleft()
            yield event
            self._worker.world.group_offsets[self._place] = event.value.end

    @staticmethod
    def _wake(waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_result(None)


class Message(NamedTuple):
    """As much of a Faust message as the agent looks at."""

    partition: int


class Machine:
    """The machine under a worker: its clock may be wrong, its threads are lanes, its end is the worker's."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.wrong_by = 0.0

    def time(self) -> float:
        return self._worker.world.now() + self.wrong_by

    def monotonic(self) -> float:
        return self._worker.world.elapsed

    def sleep(self, seconds: float) -> None:
        lane = self._worker.running
        assert lane is not None
        lane.sleeps_until = self._worker.world.elapsed + seconds
        self._worker.pause("sleep")

    def lane(self, _name: str) -> Lane:
        lane = Lane(self._worker.loop)
        self._worker.lanes.append(lane)
        return lane

    def exit(self, _code: int) -> NoReturn:
        if self._worker.alive:
            self._worker.end(sys.exc_info()[1])
        raise Ended


class MachineClock:
    """The programme's clock as a worker has it: that of its machine."""

    rate = 1.0

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._machine.time(), UTC)

    def at(self, real: datetime) -> datetime:
        return real


class WorkersProducer(Producer):
    """A producer whose taking over of a partition is watched: only who was assigned it may, and once."""

    worker: Worker

    def init_transactions(self, _timeout: float = -1) -> None:
        assert self.name is not None
        self.worker.world.taken(self.worker, int(self.name.rsplit(".", 1)[1]))
        super().init_transactions(_timeout)


class Worker:
    """One process, from its start to its end."""

    def __init__(self, world: Any, name: str) -> None:
        self.world, self.name = world, name
        self.alive, self.paused_until, self.lost = True, 0.0, False
        self.loop = Loop(self._unseen)
        self.lanes: list[Lane] = []
        self.running: Lane | None = None
        self.machine = Machine(self)
        self.around = Surroundings(
            world.settings,
            world.codec,
            MachineClock(self.machine),
            world.programme,
            cast(Any, Clients(self._producer, self._reader, lambda: Admin(world.broker, self.pause))),
            self.machine,
        )
        self.owned = Owned(self.around)
        self._tick = moments_timer(self.owned)
        self._ticking: asyncio.Task[Any] | None = None
        self._asked: asyncio.Task[Any] | None = None
        self.assigned: set[int] = set()
        self.taken_now: set[int] = set()
        self.generation, self.reassigning = 0, True
        self._rebalancing = asyncio.Lock()
        self.reading: dict[Place, int] = {}
        self.handed: dict[Place, int] = {}
        self._agents: dict[Place, tuple[Stream, asyncio.Task[Any]]] = {}

    # --- what the world calls ------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        return not self.loop and not any(lane.busy for lane in self.lanes)

    def step(self) -> None:
        """One step of something in this process."""
        choice = self.world.chance.random()
        if choice < 0.45 and self.loop:
            self.loop.step()
            return
        if choice < 0.8:
            lanes = [lane for lane in self.lanes if lane.busy and lane.sleeps_until <= self.world.elapsed]
            if lanes:
                lane = self.running = lanes[int(choice * 1000) % len(lanes)]
                lane.step()
                self.running = None
                return
        if choice < 0.93 and self.reading:
            self.fetch(self.world.chance.choice(list(self.reading)))
        elif 0.93 < choice < 0.94 and not self.reading and self.assigned and (not self._asked or self._asked.done()):
            self._asked = self.start(self._begin())  # Faust's fetcher asks too while nothing flows
        elif choice > 0.97 and (self._ticking is None or self._ticking.done()):
            self._ticking = self.loop.create_task(cast(Any, self._tick()))
        elif self.loop:
            self.loop.step()

    def start(self, work: Any) -> asyncio.Task[Any]:
        return self.loop.create_task(work)

    def end(self, error: BaseException | None) -> None:
        """The process ends itself; what it leaves is buried when nothing of it is on the stack."""
        self.alive = False
        self.world.ended(self, error)

    def bury(self) -> None:
        """The process is gone, whatever it was about to do."""
        self.alive = False
        self.reading.clear()
        for lane in self.lanes:
            lane.kill()
        self.loop.kill()

    # --- Faust's part --------------------------------------------------------------------------------------------

    async def on_assigned(self, numbers: Sequence[int]) -> None:
        async with self._rebalancing:
            self._begin_assignment(numbers)
        for _ in range(self.world.chance.choice([1, 2, 2])):
            self.start(self._begin())

    async def _begin(self) -> None:
        """Ask where to begin, and begin there if that is still an answer."""
        generation = self.generation
        places = await self.ask()
        if generation == self.generation and places:
            self.begin_at({(self.world.source_of[tp.topic], tp.partition): at for tp, at in places.items()})

    def _begin_assignment(self, numbers: Sequence[int]) -> None:
        self.generation += 1
        self.reassigning = False
        self.assigned, self.taken_now = set(numbers), set()
        for source in (SALES, PARTNERS):
            for number in numbers:
                stream = Stream(self, (source, number))
                agent = cast(Any, record_agent(self.owned, source)(stream))
                self._agents[source, number] = stream, self.start(agent)

    async def ask(self) -> Mapping[TP, int]:
        """Where to begin, as ``transport.Consumer.seek_to_committed`` asks."""
        if self.reassigning:
            return {}
        return await self.owned.where_to_begin(self._tps()) or {}

    def _tps(self) -> list[TP]:
        return [TP(t.full_name(self.world.prefix), n) for t in (SALES, PARTNERS) for n in sorted(self.assigned)]

    def begin_at(self, places: dict[Place, int]) -> None:
        self.reading.update(places)
        self.handed.update(places)

    async def on_revoked(self) -> None:
        async with self._rebalancing:
            self.generation += 1
            self.reassigning = True
            self.reading.clear()
            stop_first = self.world.chance.random() < 0.5
            if stop_first:
                self._stop_agents()
            await self.owned.give_up(self._tps())
            self.assigned = set()
            if not stop_first:
                # What lies in their queues may still reach the agents.
                await asyncio.gather(*(self._breathe() for _ in range(self.world.chance.randint(0, 3))))
                self._stop_agents()

    async def _breathe(self) -> None:
        future = self.loop.create_future()
        self.loop.call_soon(future.set_result, None)
        await future

    def _stop_agents(self) -> None:
        for _, task in self._agents.values():
            task.cancel()
        self._agents.clear()

    def fetch(self, place: Place) -> None:
        """Hand the next records of a partition to its agent."""
        source, number = place
        log = self.world.broker.log(source.full_name(self.world.prefix), number)
        at = self.reading[place]
        if not log.start <= at <= log.end:
            self.end(LookupError(f"{source.name}/{number}: {at} is out of range"))
            return
        stable = log.stable if READS_COMMITTED else log.end
        if at >= stable:
            return
        entries: list[Entry] = []
        size = self.world.chance.choice([1, 2, 5, 20])
        for entry in log.read(at, READS_COMMITTED):
            entries.append(entry)
            if len(entries) > size:
                break
        # Where the next record begins, or the stable end: markers and aborted records are passed at some time.
        behind = entries.pop().offset if len(entries) > size else stable
        if entries and self.world.chance.random() < 0.5:
            behind = entries[-1].offset + 1
        self.reading[place] = behind
        if not entries:
            return
        topic = source.full_name(self.world.prefix)
        records = [
            ConsumerRecord(topic, number, e.offset, e.timestamp, 1, e.key, e.value, None, 0, 0, tuple(e.headers))
            for e in entries
        ]
        piece = Slice(self.handed[place], behind, cast(Any, records), log.end)
        self.handed[place] = behind
        self._agents[place][0].put(piece)

    # --- clients -------------------------------------------------------------------------------------------------

    def pause(self, what: str) -> None:
        """At every call of a client: others may run, this process may end here."""
        if self.world.tracing:
            self.world.trace(self.name, what)
        lane = self.running
        assert lane is not None, f"{what} called outside a partition's thread"
        lane.leave()
        if not self.alive:
            raise Ended

    def _producer(self, **options: Any) -> Any:
        producer = WorkersProducer(self.world.broker, self.pause, self.world.faults, **options)
        producer.worker = self
        return producer

    def _reader(self, **options: Any) -> Any:
        return Reader(self.world.broker, self.pause, **options)

    def _unseen(self, error: BaseException | None) -> None:
        if self.alive and error is not None and not isinstance(error, Ended | asyncio.CancelledError):
            self.end(error)
