"""The consumer group: who is a member, who was assigned what. Eager: all give up everything, then all is dealt anew."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.simulation.worker import Worker

SESSION = 4.0


class Group:
    """Rebalances when members come, go, or fall silent for longer than a session."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._members: dict[Worker, float] = {}
        """Each with when it was last heard of."""
        self._revoking: dict[Worker, asyncio.Task[Any]] | None = None
        self.dirty = True

    def join(self, worker: Worker) -> None:
        self._members[worker] = self._world.elapsed
        self.dirty = True

    def step(self) -> None:
        self._hear()
        if self._revoking is None:
            if self.dirty:
                self.dirty = False
                self._revoking = {w: w.start(w.on_revoked()) for w in self._members if w.alive}
            return
        open_ = [w for w, task in self._revoking.items() if w in self._members and w.alive and not task.done()]
        if not open_:
            self._revoking = None
            self._deal()

    def _hear(self) -> None:
        now = self._world.elapsed
        for worker, heard in list(self._members.items()):
            if worker.alive and worker.paused_until <= now:
                self._members[worker] = now
            elif now - heard > SESSION:
                self._world.trace("group", f"leaves {worker.name} out")
                del self._members[worker]
                worker.lost = True
                self.dirty = True
        for worker in self._world.workers:
            if worker.lost and worker.alive and worker.paused_until <= now and self._world.chance.random() < 0.2:
                # It finds out that the group went on without it.
                worker.lost = False
                worker.start(self._rejoin(worker))

    async def _rejoin(self, worker: Worker) -> None:
        await worker.on_revoked()
        self.join(worker)

    def _deal(self) -> None:
        members = [worker for worker in self._members if worker.alive]
        if not members:
            return
        self._world.chance.shuffle(members)
        for place, worker in enumerate(members):
            numbers = list(range(self._world.partitions))[place :: len(members)]
            self._world.trace("group", f"assigns {numbers} to {worker.name}")
            worker.start(worker.on_assigned(numbers))
