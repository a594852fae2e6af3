"""A broker in memory that keeps Kafka's promises on logs and transactions, and nothing else.

Held to the real one by ``test_broker.py``. One node: the high watermark is the log's end.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

Headers = list[tuple[str, bytes]]


class Refused(Exception):
    """The broker refuses a request. ``code`` is the name of a KafkaError."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Outcome(Enum):
    """How a transaction stands."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


class Transaction:
    """A transaction, from its first partition on. Decided at once, told to its partitions one by one."""

    __slots__ = ("deadline", "outcome", "places")

    def __init__(self, deadline: float) -> None:
        self.outcome = Outcome.OPEN
        self.places: list[Log] = []
        """Partitions that have no marker yet."""
        self.deadline = deadline


class Entry(NamedTuple):
    """A record, or the marker that ends a transaction in this partition."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int
    transaction: Transaction | None
    marker: bool = False

    @property
    def visible(self) -> bool:
        """Whether a reader of committed records gets it, once the last stable offset lies behind it."""
        return not self.marker and (self.transaction is None or self.transaction.outcome is Outcome.COMMITTED)


class Log:
    """One partition of a topic."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.start = 0
        self.end = 0
        self.leader_epoch = 0
        self._open: dict[Transaction, int] = {}

    @property
    def stable(self) -> int:
        """The last stable offset: nothing before it belongs to an open transaction."""
        return min(self._open.values(), default=self.end)

    def append(
        self, key: bytes | None, value: bytes | None, headers: Headers, timestamp: int, owner: Transaction | None
    ) -> int:
        if owner is not None and owner not in self._open:
            self._open[owner] = self.end
        return self._put(Entry(self.end, key, value, headers, timestamp, owner))

    def mark(self, transaction: Transaction, timestamp: int) -> None:
        """Write the marker that ends a transaction."""
        self._open.pop(transaction, None)
        self._put(Entry(self.end, None, None, [], timestamp, transaction, marker=True))

    def read(self, offset: int, committed: bool) -> Iterator[Entry]:
        """What a reader gets from an offset on."""
        end = self.stable if committed else self.end
        for entry in self.entries:
            if offset <= entry.offset < end and (entry.visible if committed else not entry.marker):
                yield entry

    def compact(self, chance: random.Random) -> None:
        """Keep the latest record of each key, up to somewhere before the end."""
        bound = chance.randint(0, max(0, min(self.stable, self.end - 1)))
        latest = {entry.key: entry.offset for entry in self.entries if entry.offset < bound and entry.visible}
        self.entries = [
            entry
            for entry in self.entries
            if entry.offset >= bound or (entry.visible and latest[entry.key] == entry.offset)
        ]

    def delete_before(self, offset: int) -> None:
        """What retention or an operator does."""
        self.start = offset
        self.entries = [entry for entry in self.entries if entry.offset >= offset]

    def cut(self, offset: int) -> None:
        """What a broker does that lost its disk's last writes, or an unclean election."""
        self.end = offset
        self.entries = [entry for entry in self.entries if entry.offset < offset]

    def _put(self, entry: Entry) -> int:
        self.entries.append(entry)
        self.end += 1
        return entry.offset


class Topic:
    """A topic: its identity and its partitions."""

    def __init__(self, identity: str, partitions: int, compacted: bool) -> None:
        self.identity = identity
        self.compacted = compacted
        self.logs = [Log() for _ in range(partitions)]


class _Owner:
    """What the coordinator knows of a transactional id."""

    def __init__(self) -> None:
        self.epoch = -1
        self.timeout = 60.0
        self.current: Transaction | None = None
        self.last_end: tuple[int, bool] | None = None


class Broker:
    """Topics and the transaction coordinator. ``now`` is the broker's clock, ``elapsed`` counts time-outs."""

    def __init__(self, now: Callable[[], float], elapsed: Callable[[], float]) -> None:
        self.topics: dict[str, Topic] = {}
        self._now, self._elapsed = now, elapsed
        self._identities = itertools.count(1)
        self._owners: dict[str, _Owner] = {}
        self._unmarked: list[Transaction] = []

    def create(self, name: str, partitions: int, compacted: bool = False) -> None:
        self.topics[name] = Topic(f"topic-{next(self._identities)}", partitions, compacted)

    def log(self, topic: str, partition: int) -> Log:
        return self.topics[topic].logs[partition]

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> int:
        """A record of a producer without transactions."""
        return self.log(topic, partition).append(key, value, headers, self._milliseconds(), None)

    # --- transactions --------------------------------------------------------------------------------------------

    def begin_epoch(self, name: str, timeout: float) -> int:
        """Fence whoever used the transactional id before, end what he left open. Returns the new epoch."""
        owner = self._owners.setdefault(name, _Owner())
        self._abort(owner)
        owner.epoch += 1
        owner.timeout = timeout
        return owner.epoch

    def append_in(
        self, name: str, epoch: int, log: Log, key: bytes | None, value: bytes | None, headers: Headers
    ) -> tuple[int, int]:
        """A record in the current transaction, which begins with it if none is open. Returns offset and time."""
        owner = self._owner(name, epoch)
        if owner.current is None or owner.current.outcome is not Outcome.OPEN:
            self._finish(owner.current)
            owner.current = Transaction(self._elapsed() + owner.timeout)
        if log not in owner.current.places:
            owner.current.places.append(log)
        time = self._milliseconds()
        return log.append(key, value, headers, time, owner.current), time

    def end(self, name: str, epoch: int, commit: bool) -> None:
        """Decide a transaction. Its markers follow, one by one or when somebody must wait for them."""
        owner = self._owner(name, epoch)
        owner.last_end = epoch, commit
        if owner.current is None:
            return
        decided = Outcome.COMMITTED if commit else Outcome.ABORTED
        if owner.current.outcome is not Outcome.OPEN:
            if owner.current.outcome is not decided:
                raise Refused("INVALID_TXN_STATE")
            return
        owner.current.outcome = decided
        self._unmarked.append(owner.current)

    def end_again(self, name: str) -> None:
        """A late copy of the last end of a transaction arrives, as a client's retry over another connection does."""
        owner = self._owners.get(name)
        if owner is not None and owner.last_end is not None and owner.last_end[0] == owner.epoch:
            self.end(name, *owner.last_end)

    def write_marker(self, chance: random.Random) -> None:
        """One of the markers that are still to be written, if there are any."""
        if self._unmarked:
            transaction = chance.choice(self._unmarked)
            place = transaction.places.pop(chance.randrange(len(transaction.places)))
            place.mark(transaction, self._milliseconds())
            if not transaction.places:
                self._unmarked.remove(transaction)

    def write_all_markers(self) -> None:
        for transaction in list(self._unmarked):
            self._finish(transaction)

    def abort_all(self) -> None:
        """Everything that is open ends now."""
        for owner in self._owners.values():
            self._abort(owner)

    def expire(self) -> None:
        """Abort what is open for too long; its producer is fenced."""
        for owner in self._owners.values():
            current = owner.current
            if current is not None and current.outcome is Outcome.OPEN and current.deadline < self._elapsed():
                self._abort(owner)
                owner.epoch += 1

    def _abort(self, owner: _Owner) -> None:
        if owner.current is not None and owner.current.outcome is Outcome.OPEN:
            owner.current.outcome = Outcome.ABORTED
        self._finish(owner.current)
        owner.current = None

    def _finish(self, transaction: Transaction | None) -> None:
        if transaction is None:
            return
        for place in transaction.places:
            place.mark(transaction, self._milliseconds())
        transaction.places.clear()
        if transaction in self._unmarked:
            self._unmarked.remove(transaction)

    def _owner(self, name: str, epoch: int) -> _Owner:
        owner = self._owners[name]
        if owner.epoch != epoch:
            raise Refused("_FENCED")
        return owner

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)
