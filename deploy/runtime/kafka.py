"""Kafka clients with the settings that everything of ours must share."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from operator import methodcaller
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.runtime.errors import NotReady
from deploy.runtime.settings import Settings

_log = logging.getLogger("staffel.kafka")


def admin(settings: Settings) -> AdminClient:
    """A client for topics, offsets and configuration."""
    return AdminClient({"bootstrap.servers": settings.kafka}, logger=_log)


def producer(settings: Settings, **options: Any) -> Producer:
    """A producer that keeps order, writes nothing twice, and puts a key where Java's clients put it."""
    return Producer(
        {
            "bootstrap.servers": settings.kafka,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",  # librdkafka's own default would put a partner elsewhere
            "compression.type": "lz4",
            "linger.ms": 5,
            **_quiet,
            **{name.replace("_", "."): value for name, value in options.items()},
        },
        logger=_log,
    )


def reader(settings: Settings, **options: Any) -> Consumer:
    """A consumer without a group: assigned by hand, sees committed records only, is told the end of a partition."""
    return Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": f"{settings.topic_prefix}reader",  # librdkafka wants a name; nothing is committed under it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",  # we always say where to begin; a log that does not hold it is news
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
            **_quiet,
            **{name.replace("_", "."): value for name, value in options.items()},
        },
        logger=_log,
    )


_quiet = {"log.connection.close": False, "socket.keepalive.enable": True, "topic.metadata.refresh.interval.ms": 60_000}


def partitions_of(client: Consumer | Producer, topic: str, timeout: float = 10) -> list[int]:
    """The partitions of a topic. Raises NotReady if the broker is away or the topic does not exist."""
    from confluent_kafka import KafkaException

    try:
        found = client.list_topics(topic, timeout=timeout).topics[topic]
    except KafkaException as error:
        raise NotReady(f"Kafka does not answer: {error.args[0].str()}", "is it running? see ./staffel status") from None
    if found.error is not None or not found.partitions:
        raise NotReady(f"topic {topic} does not exist", "create the topics: ./staffel topics create")
    return sorted(found.partitions)


def ends(consumer: Consumer, partitions: Iterable[tuple[str, int]], timeout: float = 10) -> dict[tuple[str, int], int]:
    """For each partition, the offset behind its last record that is settled (its last stable offset)."""
    return {
        (topic, partition): consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout)[1]
        for topic, partition in partitions
    }


_HEADERS = methodcaller("headers")


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """A record's headers; none if one has a name that is no UTF-8, since the client then tells none of them.

    Ask once for each record. The client answers such a record with an error and half a list at the same time; Python
    looks for the error only if the call takes the long way, as here, and else falls over the list. Asked again, the
    client answers with the list alone.
    """
    try:
        return list(_HEADERS(message) or ())
    except (SystemError, UnicodeDecodeError):
        return []
