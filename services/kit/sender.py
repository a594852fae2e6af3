"""Sends events to a topic: in order, written once, each partner's where every client puts them."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, NamedTuple, Self

from confluent_kafka import KafkaError, Message

from deploy.runtime import kafka
from deploy.runtime.clock import Clock
from deploy.runtime.errors import NotReady, StaffelError
from deploy.runtime.settings import Settings
from schemas.codec import Codec, ConfluentRegistry, RegistryAway, headers_for
from schemas.events import Event
from schemas.topics import Topic

SOURCE = "staffel/intake"
_QUEUE = 5_000
"""Records on their way at a time: bounds the memory of an import."""


class Place(NamedTuple):
    """Where a record came to stand."""

    partition: int
    offset: int


def open_codec(settings: Settings, topics: Iterable[Topic]) -> Codec:
    """A codec that knows the schema ids of these topics. Raises NotReady if the registry is away or has none."""
    codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)
    try:
        codec.resolve(topics)
    except RegistryAway as error:
        raise NotReady(str(error), "is the registry running? see ./staffel status") from None
    except LookupError:
        raise NotReady("the registry does not know our schemas", "create the topics: ./staffel topics create") from None
    return codec


class Sender:
    """Sends to one topic. Leaving the ``with`` block waits until every record is acknowledged.

    Raises NotReady if the topic is not there, StaffelError as soon as it is known that a record was not written.
    """

    def __init__(self, settings: Settings, codec: Codec, clock: Clock, topic: Topic) -> None:
        self._codec, self._clock, self._topic = codec, clock, topic
        self._name = topic.full_name(settings.topic_prefix)
        self._producer = kafka.producer(settings, queue_buffering_max_messages=_QUEUE)
        self._failure: KafkaError | None = None
        self.written = 0
        """Records that the broker has acknowledged."""
        self.last: Place | None = None
        """Where the latest acknowledged record stands."""
        kafka.partitions_of(self._producer, self._name, timeout=5)

    def send(self, key: str, event: Event) -> None:
        """Send an event under its key. Waits while too many are on their way."""
        headers = headers_for(event, source=SOURCE, time=self._clock.now(), subject=key)
        self.send_bytes(key.encode(), self._codec.encode(self._topic, event), headers)

    def send_bytes(self, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        """Send a record as it is."""
        while True:
            try:
                self._producer.produce(self._name, key=key, value=value, headers=headers, on_delivery=self._delivered)
                break
            except BufferError:
                self._producer.poll(0.2)
                self._stop_if_failed()
        self._producer.poll(0)
        self._stop_if_failed()

    def flush(self) -> None:
        """Wait until all that was sent is acknowledged."""
        while self._producer.flush(0.5):  # in short steps, so that Ctrl-C is heard
            self._stop_if_failed()
        self._stop_if_failed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.flush()
        else:
            self._producer.purge()

    def _delivered(self, failure: KafkaError | None, message: Message) -> Any:
        if failure is not None:
            self._failure = failure
            return
        self.written += 1
        self.last = Place(message.partition(), message.offset())

    def _stop_if_failed(self) -> None:
        if self._failure is not None:
            raise StaffelError(
                f"Kafka did not take all records: {self._failure.str()}; {self.written} were written",
                "mend the cause and run the same again: what is there already changes nothing",
            )
