"""What the partitions of a worker get from outside: settings, rules, Kafka's clients, and the machine they run on.

Nothing else of the stream reaches for a client, a clock or a thread, so that a simulated broker and a simulated machine
can stand in for all of it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, NoReturn, Protocol, TypeVar

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from deploy.runtime import kafka
from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings
from schemas.codec import Codec
from streams.rules.terms import Programme

T = TypeVar("T")


class Clients(NamedTuple):
    """How clients of Kafka are made. Options are those of ``deploy.runtime.kafka``."""

    producer: Callable[..., Producer]
    reader: Callable[..., Consumer]
    admin: Callable[[], AdminClient]


class Lane(Protocol):
    """Does one piece of work after the other."""

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work when what came before is done. What it raises is raised here."""

    async def finish(self) -> None:
        """Wait for the work that was given; take no more."""


class Machine(Protocol):
    """Time as the machine tells it, threads, and the end of the process."""

    def time(self) -> float:
        """Seconds since 1970, as the machine's clock is set."""

    def monotonic(self) -> float:
        """Seconds that have passed, however the clock is set."""

    def sleep(self, seconds: float) -> None:
        """Do nothing for that long."""

    def lane(self, name: str) -> Lane:
        """A new lane with nothing to do."""

    def exit(self, code: int) -> NoReturn:
        """End the process now: nothing may run on that could acknowledge or commit anything."""


class Surroundings(NamedTuple):
    """What all partitions of a worker share."""

    settings: Settings
    codec: Codec
    clock: Clock
    programme: Programme
    clients: Clients
    machine: Machine


def real_clients(settings: Settings) -> Clients:
    """Clients of the broker in the settings."""
    return Clients(partial(kafka.producer, settings), partial(kafka.reader, settings), partial(kafka.admin, settings))


class ThreadLane:
    """A lane that is a thread."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def finish(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, wait=True)


class RealMachine:
    """This machine."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def lane(self, name: str) -> Lane:
        return ThreadLane(name)

    def exit(self, code: int) -> NoReturn:
        os._exit(code)
