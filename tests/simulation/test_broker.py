"""One suite, two brokers: what the simulated one promises, the real one does. Clients are made as the stream does."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import NewTopic, OffsetSpec

from deploy.runtime.settings import Settings
from streams.surroundings import Clients, real_clients
from tests.simulation.broker import Broker
from tests.simulation.clients import Admin, Faults, Producer, Reader
from tests.waiting import until

_names = itertools.count(1)


class Side:
    """A broker and clients of it."""

    def __init__(self, clients: Clients, create: Callable[[str], None], delete: Callable[[str], None]) -> None:
        self.clients, self._create, self.delete = clients, create, delete

    def topic(self) -> str:
        name = f"sim{os.getpid()}.{next(_names)}"
        self._create(name)
        return name

    def transactional(self, name: str) -> Any:
        producer = self.clients.producer(transactional_id=name, transaction_timeout_ms=10_000)
        producer.init_transactions(30)
        return producer

    def write(self, topic: str, *values: str) -> None:
        """Without a transaction."""
        producer = self.clients.producer()
        for value in values:
            producer.produce(topic, value=value.encode(), key=value[:1].encode(), partition=0)
        assert producer.flush(30) == 0

    def read(self, topic: str, start: int = 0, isolation: str = "read_committed") -> list[tuple[int, str]]:
        """Offset and value of what can be read up to the end."""
        reader = self.clients.reader(isolation_level=isolation, fetch_wait_max_ms=10)
        reader.assign([TopicPartition(topic, 0, start)])
        found: list[tuple[int, str]] = []
        try:
            while True:
                for message in reader.consume(100, 1.0):
                    if message.error() is None:
                        found.append((message.offset(), message.value().decode()))
                    else:
                        assert message.error().code() == KafkaError._PARTITION_EOF
                        return found
        finally:
            reader.close()

    def offset(self, topic: str, spec: Any, isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED) -> int:
        place = TopicPartition(topic, 0)
        admin = self.clients.admin()
        found = admin.list_offsets({place: spec}, isolation_level=isolation, request_timeout=10)
        return int(found[place].result().offset)

    def ends(self, topic: str) -> tuple[int, int]:
        """Last stable offset and high watermark, once no marker is under way."""
        latest = OffsetSpec.latest()
        return self.offset(topic, latest, IsolationLevel.READ_COMMITTED), self.offset(topic, latest)

    def identity(self, topic: str) -> str:
        admin = self.clients.admin()
        found = admin.describe_topics(TopicCollection([topic]), request_timeout=10)
        return str(found[topic].result().topic_id)


def simulated() -> Side:
    broker = Broker(lambda: 1.8e9, lambda: 0.0)
    faults = Faults()

    def pause(_: str) -> None:
        broker.write_all_markers()

    clients = Clients(
        cast(Any, lambda **options: Producer(broker, pause, faults, **options)),
        cast(Any, lambda **options: Reader(broker, pause, **options)),
        cast(Any, lambda: Admin(broker, pause)),
    )
    return Side(clients, lambda name: broker.create(name, 1), lambda name: broker.topics.pop(name) and None)


def real(settings: Settings) -> Side:
    clients = real_clients(settings)
    admin = clients.admin()

    def create(name: str) -> None:
        admin.create_topics([NewTopic(name, 1, config={"message.timestamp.type": "LogAppendTime"})])[name].result()
        until(lambda: name in admin.list_topics(timeout=5).topics, what=f"topic {name}")

    def delete(name: str) -> None:
        admin.delete_topics([name])[name].result()
        until(lambda: name not in admin.list_topics(timeout=5).topics, what="the topic's end")

    return Side(clients, create, delete)


@pytest.fixture(params=["simulated", "real"])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    if request.param == "simulated":
        return simulated()
    return real(request.getfixturevalue("settings"))


def code_of(work: Callable[[], Any]) -> str:
    with pytest.raises(KafkaException) as caught:
        work()
    return str(caught.value.args[0].name())


def put(producer: Any, topic: str, *values: str) -> None:
    for value in values:
        producer.produce(topic, value=value.encode(), key=value[:1].encode(), partition=0)
    producer.flush(30)


def test_records_become_visible_with_the_commit_and_aborted_ones_never(side: Side) -> None:
    topic, producer = side.topic(), side.transactional(f"visible-{next(_names)}-{os.getpid()}")
    producer.begin_transaction()
    put(producer, topic, "a", "b")
    assert side.read(topic) == []
    assert side.read(topic, isolation="read_uncommitted") == [(0, "a"), (1, "b")]
    producer.commit_transaction(30)
    until(lambda: side.read(topic) == [(0, "a"), (1, "b")], what="the committed")
    producer.begin_transaction()
    put(producer, topic, "c")
    producer.abort_transaction(30)
    producer.begin_transaction()
    put(producer, topic, "d")
    producer.commit_transaction(30)
    # 2 is the first marker, 3 the aborted record, 4 its marker.
    until(lambda: side.read(topic) == [(0, "a"), (1, "b"), (5, "d")], what="without the aborted")
    assert side.read(topic, start=2) == [(5, "d")]


def test_the_last_stable_offset_is_where_the_oldest_open_transaction_begins(side: Side) -> None:
    topic, number = side.topic(), next(_names)
    first, second = (side.transactional(f"{who}-{number}-{os.getpid()}") for who in ("first", "second"))
    side.write(topic, "a")
    first.begin_transaction()
    put(first, topic, "b")
    second.begin_transaction()
    put(second, topic, "c")
    side.write(topic, "d")
    assert side.ends(topic) == (1, 4)
    assert side.read(topic) == [(0, "a")]
    second.commit_transaction(30)
    until(lambda: side.ends(topic) == (1, 5), what="hidden by the first")
    first.abort_transaction(30)
    until(lambda: side.ends(topic) == (6, 6), what="all settled")
    assert side.read(topic) == [(0, "a"), (2, "c"), (3, "d")]


def test_init_ends_what_the_former_owner_left_open_and_waits_for_it(side: Side) -> None:
    topic, name = side.topic(), f"owner-{next(_names)}-{os.getpid()}"
    former = side.transactional(name)
    former.begin_transaction()
    put(former, topic, "a")
    side.transactional(name)
    assert side.ends(topic) == (2, 2)
    assert side.read(topic) == []
    assert code_of(lambda: former.commit_transaction(30)) == "_FENCED"


@pytest.mark.parametrize("began", ["before", "after", "sent"])
def test_the_former_owner_is_fenced_wherever_it_is(side: Side, began: str) -> None:
    topic, name = side.topic(), f"fenced-{next(_names)}-{os.getpid()}"
    former = side.transactional(name)
    former.begin_transaction()
    put(former, topic, "a")
    former.commit_transaction(30)
    if began != "after":
        former.begin_transaction()
    if began == "sent":
        put(former, topic, "b")
    owner = side.transactional(name)
    if began == "after":
        former.begin_transaction()

    def go_on() -> None:
        former.produce(topic, value=b"c", key=b"c", partition=0)
        former.commit_transaction(30)

    assert code_of(go_on) == "_FENCED"
    assert code_of(former.begin_transaction)  # nothing of it goes on, whatever it is told
    owner.begin_transaction()
    put(owner, topic, "d")
    owner.commit_transaction(30)
    until(lambda: [value for _, value in side.read(topic)] == ["a", "d"], what="what the owner wrote")


def test_a_transaction_cannot_begin_amid_another(side: Side) -> None:
    producer = side.transactional(f"twice-{next(_names)}-{os.getpid()}")
    producer.begin_transaction()
    assert code_of(producer.begin_transaction) == "_STATE"


def test_a_transaction_without_records_leaves_no_trace(side: Side) -> None:
    topic, producer = side.topic(), side.transactional(f"empty-{next(_names)}-{os.getpid()}")
    producer.begin_transaction()
    producer.commit_transaction(30)
    assert side.ends(topic) == (0, 0)


def test_delivery_reports_tell_where_and_when_before_the_commit(side: Side) -> None:
    topic, producer = side.topic(), side.transactional(f"reports-{next(_names)}-{os.getpid()}")
    side.write(topic, "a")
    told: list[tuple[Any, int, bytes, int]] = []

    def report(error: Any, message: Any) -> None:
        told.append((error, message.offset(), message.key(), message.timestamp()[0]))
        assert message.timestamp()[1] > 1.7e12

    producer.begin_transaction()
    producer.produce(topic, value=b"b", key=b"k", partition=0, on_delivery=report)
    producer.flush(30)
    assert told == [(None, 1, b"k", 2)]  # 2: the broker's time
    producer.commit_transaction(30)


def test_a_reader_is_told_the_end_and_its_position_is_behind_the_last_record(side: Side) -> None:
    topic, producer = side.topic(), side.transactional(f"reader-{next(_names)}-{os.getpid()}")
    producer.begin_transaction()
    put(producer, topic, "a", "b")
    producer.commit_transaction(30)
    until(lambda: side.ends(topic) == (3, 3), what="the marker")
    reader = side.clients.reader(fetch_wait_max_ms=10, auto_offset_reset="earliest")
    reader.assign([TopicPartition(topic, 0, 0)])
    offsets, ended = [], False
    while not ended:
        for message in reader.consume(100, 1.0):
            ended = ended or message.error() is not None
            offsets += [] if message.error() else [message.offset()]
    assert offsets == [0, 1]
    assert reader.position([TopicPartition(topic, 0)])[0].offset in (2, 3)
    reader.close()


def test_a_topic_created_anew_is_another_one(side: Side) -> None:
    topic = side.topic()
    side.write(topic, "a")
    before = side.identity(topic)
    assert side.identity(topic) == before
    side.delete(topic)
    side._create(topic)
    until(lambda: side.identity(topic) != before, what="another id")
    assert side.ends(topic) == (0, 0)
    assert side.offset(topic, OffsetSpec.earliest()) == 0
