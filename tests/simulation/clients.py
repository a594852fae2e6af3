"""Clients of the simulated broker that speak the part of confluent-kafka's interface that the stream uses.

Every call is a point where somebody else may run, and where the process may die: ``pause`` is called there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from schemas.values import partition_of
from tests.simulation.broker import Broker, Entry, Headers, Log, Refused

Pause = Callable[[str], None]


class Faults:
    """What may go wrong in a client, decided by the world. Without one, nothing does."""

    def send_now(self) -> bool:
        """Whether records that were produced leave for the broker before anybody asks for it."""
        return False

    def end_lost(self) -> tuple[bool, bool]:
        """Of an end of a transaction: whether the answer is lost, and whether the request was."""
        return False, False


class Message:
    """A record as a consumer or a delivery report shows it."""

    def __init__(self, topic: str, partition: int, entry: Entry) -> None:
        self._topic, self._partition, self._entry = topic, partition, entry

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._entry.offset

    def key(self) -> bytes | None:
        return self._entry.key

    def value(self) -> bytes | None:
        return self._entry.value

    def headers(self) -> Headers:
        return self._entry.headers

    def timestamp(self) -> tuple[int, int]:
        return 2, self._entry.timestamp

    def error(self) -> None:
        return None


class EndOfPartition:
    """What a consumer is told when it has read all that is stable."""

    _ERROR = KafkaError(KafkaError._PARTITION_EOF)

    def error(self) -> KafkaError:
        return self._ERROR


class Producer:
    """A producer; with a ``transactional_id``, a transactional one."""

    def __init__(self, broker: Broker, pause: Pause, faults: Faults, **options: Any) -> None:
        self._broker, self._pause, self._faults = broker, pause, faults
        self.name: str | None = options.get("transactional_id")
        self._timeout = options.get("transaction_timeout_ms", 60_000) / 1000
        self._epoch = -1
        self._waiting: list[tuple[str, int, Log, Any, Any, Headers, Any]] = []
        self._reports: deque[Callable[[], None]] = deque()
        self._dead: KafkaError | None = None
        self._begun = False

    def init_transactions(self, _timeout: float = -1) -> None:
        self._pause("init")
        assert self.name is not None
        self._epoch = self._broker.begin_epoch(self.name, self._timeout)
        self._pause("initialised")

    def begin_transaction(self) -> None:
        self._pause("begin")
        self._check()
        if self._begun:
            raise KafkaException(KafkaError(KafkaError._STATE, "a transaction is open"))
        self._begun = True

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        on_delivery: Any = None,
        headers: Headers | None = None,
    ) -> None:
        self._check()
        self._must_have_begun()
        logs = self._broker.topics[topic].logs
        if partition < 0:
            partition = partition_of(key or b"", len(logs))
        self._waiting.append((topic, partition, logs[partition], key, value, list(headers or []), on_delivery))
        if self._faults.send_now():
            self._send(self._waiting[-1][2])
            self._pause("sent")

    def poll(self, _timeout: float = 0) -> int:
        self._report()
        return 0

    def flush(self, _timeout: float = -1) -> int:
        """Send what waits, partition by partition."""
        while self._waiting:
            self._pause("send")
            self._send(self._waiting[0][2])
        self._report()
        return 0

    def commit_transaction(self, _timeout: float = -1) -> None:
        self.flush()
        self._end(commit=True)

    def abort_transaction(self, _timeout: float = -1) -> None:
        self._waiting.clear()
        self._end(commit=False)

    def _end(self, commit: bool) -> None:
        self._check()
        self._must_have_begun()
        self._pause("end")
        answer_lost, request_lost = self._faults.end_lost()
        if not request_lost:
            assert self.name is not None
            self._call(lambda name: self._broker.end(name, self._epoch, commit))
        self._pause("ended")
        if answer_lost or request_lost:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "EndTxn timed out", retriable=True))
        self._begun = False

    def _send(self, log: Log) -> None:
        """All that waits for one partition, in order: the partitions of a batch are sent in any order."""
        chosen = [one for one in self._waiting if one[2] is log]
        self._waiting = [one for one in self._waiting if one[2] is not log]
        for topic, partition, _, key, value, headers, on_delivery in chosen:
            if self.name is None:
                offset, time = self._broker.append(topic, partition, key, value, headers), 0
            else:
                offset, time = self._call(
                    lambda name, log=log, key=key, value=value, headers=headers: self._broker.append_in(
                        name, self._epoch, log, key, value, headers
                    )
                )
            if on_delivery is not None:
                message = Message(topic, partition, Entry(offset, key, value, headers, time, None))
                self._reports.append(lambda told=on_delivery, message=message: told(None, message))

    def _call(self, request: Callable[[str], Any]) -> Any:
        assert self.name is not None
        try:
            return request(self.name)
        except Refused as error:
            fatal = error.code == "_FENCED"
            told = KafkaError(getattr(KafkaError, error.code), error.code, fatal=fatal)
            if fatal:
                self._dead = told
            raise KafkaException(told) from None

    def _must_have_begun(self) -> None:
        if self.name is not None and not self._begun:
            raise KafkaException(KafkaError(KafkaError._STATE, "no transaction is open"))

    def _check(self) -> None:
        if self._dead is not None:
            raise KafkaException(self._dead)

    def _report(self) -> None:
        while self._reports:
            self._reports.popleft()()


class Reader:
    """A consumer without a group, assigned by hand."""

    def __init__(self, broker: Broker, pause: Pause, **options: Any) -> None:
        self._broker, self._pause = broker, pause
        self._committed = options.get("isolation_level", "read_committed") == "read_committed"
        self._at: dict[tuple[str, int], int] = {}
        self._told: set[tuple[str, int]] = set()
        self._consumed: dict[tuple[str, int], int] = {}

    def assign(self, places: list[TopicPartition]) -> None:
        self._at = {(place.topic, place.partition): max(place.offset, 0) for place in places}
        self._told.clear()
        self._consumed.clear()

    def list_topics(self, timeout: float = -1) -> None:
        self._pause("list_topics")

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Any]:
        self._pause("consume")
        assert isinstance(num_messages, int)
        found: list[Any] = []
        for place, offset in self._at.items():
            log = self._broker.log(*place)
            for entry in log.read(offset, self._committed):
                if len(found) == num_messages:
                    return found
                found.append(Message(*place, entry))
                self._at[place] = self._consumed[place] = entry.offset + 1
                self._told.discard(place)
            if place not in self._told:
                self._told.add(place)
                found.append(EndOfPartition())
        return found

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(p.topic, p.partition, self._consumed.get((p.topic, p.partition), -1001)) for p in places]

    def close(self) -> None:
        self._at.clear()


class Answer:
    """A future that is done. One class for all: has what the stream asks of each."""

    def __init__(self, **facts: Any) -> None:
        self.__dict__.update(facts)

    def result(self) -> Answer:
        return self


class Admin:
    """What the stream asks of an admin client."""

    def __init__(self, broker: Broker, pause: Pause) -> None:
        self._broker, self._pause = broker, pause

    def list_offsets(
        self,
        places: Mapping[TopicPartition, OffsetSpec],
        isolation_level: Any = IsolationLevel.READ_UNCOMMITTED,
        request_timeout: float = 0,
    ) -> dict[TopicPartition, Answer]:
        self._pause("list_offsets")
        found = {}
        for place, spec in places.items():
            log = self._broker.log(place.topic, place.partition)
            latest = log.stable if isolation_level == IsolationLevel.READ_COMMITTED else log.end
            offset = latest if isinstance(spec, type(OffsetSpec.latest())) else log.start
            found[place] = Answer(offset=offset, leader_epoch=log.leader_epoch)
        return found

    def describe_topics(self, topics: Any, request_timeout: float = 0) -> dict[str, Answer]:
        self._pause("describe_topics")
        return {name: Answer(topic_id=self._broker.topics[name].identity) for name in topics.topic_names}
