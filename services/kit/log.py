"""Reads what stands in a topic, once, from its beginning or a given place to its end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, TopicPartition

from deploy.runtime import kafka
from deploy.runtime.errors import NotReady, StaffelError
from deploy.runtime.settings import Settings
from schemas.codec import Codec, RegistryAway, Undecodable
from schemas.events import Event
from schemas.topics import Topic

BEGINNING = OFFSET_BEGINNING
_PATIENCE = 30.0
_BATCH = 2000
_PAUSE = 0.01  # how long a batch is collected: nobody waits for a full one at the end of a log
_END_MILLISECONDS = 10  # the broker waits so long for more before it says that a partition ends


def records(settings: Settings, topic: Topic, start: Mapping[int, int] | None = None) -> Iterator[Message]:
    """Every committed record of a topic up to its end, each partition in order.

    ``start`` names partitions and the offsets to begin at; without it, all partitions from their beginning.
    Raises NotReady if the broker is away.
    """
    name = topic.full_name(settings.topic_prefix)
    consumer = kafka.reader(settings, queued_max_messages_kbytes=16_384, fetch_wait_max_ms=_END_MILLISECONDS)
    try:
        # Asked in any case: a client that is told where to begin and does not know who leads waits half a second.
        known = kafka.partitions_of(consumer, name)
        if start is None:
            start = dict.fromkeys(known, OFFSET_BEGINNING)
        consumer.assign([TopicPartition(name, partition, offset) for partition, offset in start.items()])
        unread, heard = set(start), time.monotonic()
        while unread:
            messages = consumer.consume(_BATCH, _PAUSE)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > _PATIENCE:
                raise NotReady(f"Kafka at {settings.kafka} does not answer", "is it running? see ./staffel status")
            yield from _good(messages, unread)
    finally:
        consumer.close()


def partitions(settings: Settings, topic: Topic) -> list[int]:
    """The partitions of a topic. Raises NotReady if it does not exist or the broker is away."""
    consumer = kafka.reader(settings)
    try:
        return kafka.partitions_of(consumer, topic.full_name(settings.topic_prefix))
    finally:
        consumer.close()


def events(settings: Settings, codec: Codec, topic: Topic) -> Iterator[tuple[str, Event | None]]:
    """Key and event of every committed record; a record without value, or not decodable, has None.

    Raises NotReady if the broker or the registry is away.
    """
    for message in records(settings, topic):
        key, value = (message.key() or b"").decode("utf-8", "replace"), message.value()
        try:
            yield key, None if value is None else codec.decode(topic, value)
        except Undecodable:
            yield key, None
        except RegistryAway as error:
            raise NotReady(str(error), "is the registry running? see ./staffel status") from None


def _good(messages: Iterable[Message], unread: set[int]) -> Iterator[Message]:
    for message in messages:
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            unread.discard(message.partition())
        elif not (error.retriable() or error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT)):
            raise StaffelError(f"reading {message.topic()} failed: {error.str()}")
