"""Watches from outside how far the stream has come: every position it commits, and where its source ends meanwhile."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from threading import Event as Flag
from threading import Thread
from typing import NamedTuple

from confluent_kafka import KafkaException, TopicPartition

from deploy.runtime import kafka
from deploy.runtime.settings import Settings
from schemas.events import Position
from schemas.topics import POSITIONS, SALES
from services.kit.sender import open_codec

_EVERY = 0.25
FRESH = 0.5
"""A partition is up to date while it has applied all that was in the log so many seconds before."""


class _Look(NamedTuple):
    """At an instant of the monotonic clock: where each partition ends, and what is applied up to."""

    at: float
    ends: Mapping[int, int]
    applied: Mapping[int, int]


class Observer(Thread):
    """Reads ``positions`` from its beginning until ``stop``."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="observer", daemon=True)
        self.history: dict[int, list[tuple[str, int]]] = defaultdict(list)
        """For each partition, source and offset of every position in the order of the transactions."""
        self._codec = open_codec(settings, [POSITIONS])
        self._settings, self._over = settings, Flag()
        self._applied: dict[int, int] = defaultdict(int)
        self._looks: list[_Look] = []

    def stop(self) -> None:
        self._over.set()
        self.join(10)

    def taken_over(self, since: float) -> float | None:
        """Seconds from an instant until every partition was up to date again; None if that is not yet so.

        What is applied after the instant may be the work of who ended then. So only what came into the log a moment
        after it counts, and something must have come into each partition.
        """
        then = next((look for look in reversed(self._looks) if look.at <= since), None)
        looks = [look for look in self._looks if look.at >= since + FRESH]
        for number, look in enumerate(looks):
            before = next((earlier for earlier in reversed(looks[:number]) if earlier.at <= look.at - FRESH), None)
            if then is None or before is None or any(end <= then.ends[p] for p, end in before.ends.items()):
                continue
            if all(look.applied.get(p, 0) >= end for p, end in before.ends.items()):
                return look.at - since
        return None

    def run(self) -> None:
        consumer = kafka.reader(self._settings, fetch_wait_max_ms=20)
        name, source = (topic.full_name(self._settings.topic_prefix) for topic in (POSITIONS, SALES))
        numbers = range(self._settings.partitions)
        consumer.assign([TopicPartition(name, number, 0) for number in numbers])
        while not self._over.is_set():
            for message in consumer.consume(500, 0.05):
                value = message.value() if message.error() is None else None
                position = self._codec.decode(POSITIONS, value) if value is not None else None
                if isinstance(position, Position):
                    self.history[message.partition()].append((position.source, position.offset))
                    if position.source == SALES.name:
                        self._applied[message.partition()] = position.offset + 1
            if not self._looks or time.monotonic() - self._looks[-1].at >= _EVERY:
                try:
                    ends = kafka.ends(consumer, [(source, number) for number in numbers], timeout=1)
                except KafkaException:
                    continue  # the broker is away
                self._looks.append(
                    _Look(time.monotonic(), {p: end for (_, p), end in ends.items()}, dict(self._applied))
                )
        consumer.close()
