"""What must hold before the stream reads anything."""

from __future__ import annotations

import asyncio

from confluent_kafka import KafkaException

from deploy.runtime.errors import NotReady, StaffelError
from schemas.codec import RegistryAway
from schemas.topics import TOPICS
from streams.surroundings import Surroundings


async def check_start(around: Surroundings) -> None:
    """Raises NotReady or StaffelError, each with the way out."""
    await asyncio.to_thread(_check_topics, around)
    await asyncio.to_thread(_check_schemas, around)


def _check_topics(around: Surroundings) -> None:
    settings = around.settings
    try:
        found = around.clients.admin().list_topics(timeout=15).topics
    except KafkaException as error:
        raise NotReady(f"Kafka at {settings.kafka} does not answer: {error.args[0].str()}") from None
    for topic in TOPICS:
        name = topic.full_name(settings.topic_prefix)
        if name not in found:
            raise NotReady(f"topic {name} does not exist", "create the topics: ./staffel topics create")
        partitions = found[name].partitions
        if len(partitions) != settings.partitions:
            raise StaffelError(
                f"topic {name} has {len(partitions)} partitions, the settings say {settings.partitions}",
                "a partner's partition follows from the count: set STAFFEL_PARTITIONS to what the topics have",
            )
        if not settings.single_node and min(len(p.replicas) for p in partitions.values()) < 3:
            raise StaffelError(
                f"topic {name} has fewer than 3 replicas",
                "add replicas, or say STAFFEL_SINGLE_NODE=true and accept that one disk holds it all",
            )


def _check_schemas(around: Surroundings) -> None:
    try:
        around.codec.resolve(topic for topic in TOPICS if topic.events)
    except RegistryAway as error:
        raise NotReady(str(error), "is the registry running? see ./staffel status") from None
    except LookupError as error:
        raise NotReady(f"a schema is not registered: {error}", "register them: ./staffel topics create") from None
