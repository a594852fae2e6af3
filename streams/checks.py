"""What must hold before the stream reads anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from deploy.runtime.errors import NotReady, StaffelError
from schemas.codec import RegistryAway
from schemas.topics import DEAD_LETTERS, SALE_LINES, TOPICS, Topic
from streams.surroundings import Surroundings

_log = logging.getLogger("streams.checks")
_MEND = "bring them in line with the table: ./staffel topics mend"


async def check_start(around: Surroundings) -> None:
    """Raises NotReady or StaffelError, each with the way out."""
    await asyncio.to_thread(_check_topics, around)
    await asyncio.to_thread(_check_schemas, around)


def _check_topics(around: Surroundings) -> None:
    settings, admin = around.settings, around.clients.admin()
    try:
        found = admin.list_topics(timeout=15).topics
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
                "a partner's partition follows from the number: set STAFFEL_PARTITIONS to what they were made with; "
                "see 'The number of partitions' in deploy/docs/operations.md",
            )
        if not settings.single_node and min(len(p.replicas) for p in partitions.values()) < 3:
            raise StaffelError(
                f"topic {name} has fewer than 3 replicas",
                "add replicas, or say STAFFEL_SINGLE_NODE=true and accept that one disk holds it all",
            )
    _check_configurations(around, admin)


def _check_configurations(around: Surroundings, admin: AdminClient) -> None:
    """Refuses what would lose records, mentions what only differs."""
    settings = around.settings
    names = {topic.full_name(settings.topic_prefix): topic for topic in TOPICS}
    asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in names], request_timeout=15)
    losing: list[str] = []
    for resource, outcome in asked.items():
        topic = names[resource.name]
        try:
            live = {name: entry.value for name, entry in outcome.result().items()}
        except KafkaException as error:
            raise NotReady(
                f"the settings of topic {resource.name} can't be read: {error.args[0].str()}",
                "the worker needs the right to describe the configuration of its topics, see deploy/docs/operations.md",
            ) from None
        found = list(_losing(topic, live, single_node=settings.single_node))
        losing += [f"{resource.name}: {text}" for text in found]
        for name, wanted in topic.config.items():
            if live.get(name, wanted) != wanted and not found:
                _log.warning("topic %s: %s is %s, should be %s", resource.name, name, live[name], wanted)
    if losing:
        raise StaffelError(f"topics are set up so that records get lost: {'; '.join(losing)}", _MEND)


def _losing(topic: Topic, live: Mapping[str, str], *, single_node: bool) -> Iterator[str]:
    wanted = topic.config
    if live["cleanup.policy"] != wanted["cleanup.policy"]:
        yield f"cleanup.policy is {live['cleanup.policy']}, must be {wanted['cleanup.policy']}"
    for name in ("retention.ms", "retention.bytes"):
        if not topic.compacted and live[name] != "-1":
            yield f"{name} is {live[name]}, must be -1: what was reported and told is kept for ever"
    if live["message.timestamp.type"] != "LogAppendTime":
        yield f"message.timestamp.type is {live['message.timestamp.type']}, must be LogAppendTime"
    if topic in (DEAD_LETTERS, SALE_LINES) and int(live["max.message.bytes"]) < int(wanted["max.message.bytes"]):
        yield f"max.message.bytes is {live['max.message.bytes']}, must be {wanted['max.message.bytes']}"
    if not single_node and int(live["min.insync.replicas"]) < 2:
        yield f"min.insync.replicas is {live['min.insync.replicas']}, must be 2 or more"
    if not single_node and live["unclean.leader.election.enable"] != "false":
        yield "unclean.leader.election.enable is on, must be off"


def _check_schemas(around: Surroundings) -> None:
    try:
        around.codec.resolve(topic for topic in TOPICS if topic.events)
    except RegistryAway as error:
        raise NotReady(str(error), "is the registry running? see ./staffel status") from None
    except LookupError as error:
        raise NotReady(f"a schema is not registered: {error}", "register them: ./staffel topics create") from None
