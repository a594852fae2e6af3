"""Creates the topics of the one table in ``schemas.topics``, registers their schemas, and compares what is there."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from deploy.runtime import kafka
from deploy.runtime.errors import NotReady, StaffelError
from deploy.runtime.settings import Settings
from schemas.codec import Codec, ConfluentRegistry, RegistryAway
from schemas.topics import TOPICS, Topic

_TIMEOUT = 15


class Found(NamedTuple):
    """What the broker has for a row of the table. ``partitions`` is 0 if the topic does not exist."""

    topic: Topic
    name: str
    partitions: int
    replication: int
    differences: tuple[str, ...]


def create(settings: Settings) -> list[str]:
    """Create the topics that are missing and register all schemas. Returns the names of what was created.

    Safe to repeat. Raises NotReady if broker or registry are away, StaffelError if a schema is refused.
    """
    admin = _admin(settings)
    existing = _existing(admin, settings)
    missing = [topic for topic in TOPICS if topic.full_name(settings.topic_prefix) not in existing]
    wanted = [
        NewTopic(
            topic.full_name(settings.topic_prefix),
            num_partitions=settings.partitions,
            replication_factor=settings.replication,
            config={**topic.config, "min.insync.replicas": str(max(1, settings.replication - 1))},
        )
        for topic in missing
    ]
    for name, outcome in (admin.create_topics(wanted, operation_timeout=_TIMEOUT) if wanted else {}).items():
        try:
            outcome.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise StaffelError(f"topic {name} can't be created: {error.args[0].str()}") from None
    try:
        Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix).register()
    except RegistryAway as error:
        raise NotReady(str(error), "is the registry running? see ./staffel status") from None
    except ValueError as error:
        raise StaffelError(
            f"the registry refuses a schema: {error}", "an event's schema may only change compatibly; see schemas/"
        ) from None
    return [topic.full_name(settings.topic_prefix) for topic in missing]


def mend(settings: Settings) -> list[str]:
    """Set each topic's settings to what the table says, the others stay. Returns what was changed, in words.

    Safe to repeat. Raises NotReady if the broker is away, StaffelError if it refuses.
    """
    admin = _admin(settings)
    existing = _existing(admin, settings)
    changed, wanted = [], []
    for topic in TOPICS:
        name = topic.full_name(settings.topic_prefix)
        different = _different(admin, name, topic) if name in existing else {}
        entries = [
            ConfigEntry(key, topic.config[key], incremental_operation=AlterConfigOpType.SET) for key in different
        ]
        if entries:
            wanted.append(ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries))
        changed += [f"{name}: {key} was {value}, is {topic.config[key]}" for key, value in different.items()]
    for outcome in (admin.incremental_alter_configs(wanted, request_timeout=_TIMEOUT) if wanted else {}).values():
        try:
            outcome.result()
        except KafkaException as error:
            raise StaffelError(f"the broker refuses to change a topic: {error.args[0].str()}") from None
    return changed


def show(settings: Settings) -> list[Found]:
    """Compare each row of the table with the broker."""
    admin = _admin(settings)
    existing = _existing(admin, settings)
    rows = []
    for topic in TOPICS:
        name = topic.full_name(settings.topic_prefix)
        if name not in existing:
            rows.append(Found(topic, name, 0, 0, ("does not exist",)))
            continue
        partitions, replication = existing[name]
        differences = list(_config_differences(admin, name, topic))
        if partitions != settings.partitions:
            differences.append(f"{partitions} partitions instead of {settings.partitions}")
        if replication < settings.replication:
            differences.append(f"{replication} replicas instead of {settings.replication}")
        rows.append(Found(topic, name, partitions, replication, tuple(differences)))
    return rows


def _config_differences(admin: AdminClient, name: str, topic: Topic) -> list[str]:
    different = _different(admin, name, topic)
    return [f"{key} is {value}, should be {topic.config[key]}" for key, value in different.items()]


def _different(admin: AdminClient, name: str, topic: Topic) -> dict[str, str]:
    """Settings that the broker has otherwise than the table, and what it has."""
    resource = ConfigResource(ResourceType.TOPIC, name)
    live = admin.describe_configs([resource], request_timeout=_TIMEOUT)[resource].result()
    return {key: live[key].value for key, value in topic.config.items() if key in live and live[key].value != value}


def _admin(settings: Settings) -> AdminClient:
    return kafka.admin(settings)


def _existing(admin: AdminClient, settings: Settings) -> dict[str, tuple[int, int]]:
    try:
        metadata = admin.list_topics(timeout=_TIMEOUT)
    except KafkaException as error:
        raise NotReady(
            f"Kafka at {settings.kafka} does not answer: {error.args[0].str()}", "is it running? see ./staffel status"
        ) from None
    return {
        name: (len(found.partitions), min((len(p.replicas) for p in found.partitions.values()), default=0))
        for name, found in metadata.topics.items()
    }
