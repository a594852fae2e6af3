"""asyncio's event loop and a partition's thread, each of which does one step when it is told to.

A callback of the loop runs through, as it does in reality; a thread (a greenlet here) may be left at any call to
Kafka, for as long as the world likes, or for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from greenlet import getcurrent, greenlet


class Ended(BaseException):
    """Thrown into what still runs of a process that is gone."""


class Loop(asyncio.AbstractEventLoop):
    """A loop that runs one callback at a time. What goes wrong unseen is handed to ``unseen``."""

    def __init__(self, unseen: Callable[[BaseException | None], None]) -> None:
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks: list[asyncio.Task[Any]] = []
        self._unseen = unseen

    def __bool__(self) -> bool:
        return bool(self._ready)

    def step(self) -> None:
        handle = self._ready.popleft()
        asyncio._set_running_loop(self)
        try:
            if not handle.cancelled():
                handle._run()
        finally:
            asyncio._set_running_loop(None)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, work: Coroutine[Any, Any, Any], **_: Any) -> asyncio.Task[Any]:  # type: ignore[override]
        task = asyncio.Task(work, loop=self)
        self._tasks.append(task)
        return task

    def kill(self) -> None:
        """Nothing that is under way goes on."""
        self._ready.clear()
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with contextlib.suppress(Ended):
                    task.get_coro().close()  # type: ignore[union-attr]
        self._tasks.clear()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._unseen(context.get("exception"))

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False


class Lane:
    """A partition's thread: does one piece of work after the other, a step at a time."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._hub = getcurrent()
        self._work: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._thread: greenlet | None = None
        self._idle: list[asyncio.Future[Any]] = []
        self._closed = False
        self.sleeps_until = 0.0

    @property
    def busy(self) -> bool:
        return self._thread is not None or bool(self._work)

    async def run(self, work: Callable[[], Any]) -> Any:
        if self._closed:
            raise RuntimeError("a lane that was finished takes no work")
        future = self._loop.create_future()
        self._work.append((work, future))
        return await future

    async def finish(self) -> None:
        self._closed = True
        if self.busy:
            self._idle.append(self._loop.create_future())
            await self._idle[-1]

    def step(self) -> None:
        """Go on until the next call to Kafka, or begin the next piece of work."""
        if self._thread is None:
            self._thread = greenlet(self._do, self._hub)
        self._thread.switch()
        if self._thread is not None and self._thread.dead:
            self._thread = None
            if not self._work:
                for future in self._idle:
                    self._loop.call_soon(_settle, future, None, None)
                self._idle.clear()

    def leave(self) -> None:
        """Called on the thread: let others run."""
        self._hub.switch()

    def kill(self) -> None:
        self._work.clear()
        if self._thread is not None and not self._thread.dead and self._thread is not getcurrent():
            self._thread.throw(Ended)
        self._thread = None

    def _do(self) -> None:
        work, future = self._work.popleft()
        if future.cancelled():
            return
        try:
            result = work()
        except Ended:
            return
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            self._loop.call_soon(_settle, future, None, error)
        else:
            self._loop.call_soon(_settle, future, result, None)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
