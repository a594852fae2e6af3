"""The contract on a real registry and a real broker."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Message

from deploy.runtime import kafka
from deploy.runtime.settings import Settings
from schemas.codec import Codec, ConfluentRegistry, schema_text
from schemas.events import SaleReported
from schemas.topics import QUARTER_CLOSES, SALES, TOPICS
from schemas.values import partition_of
from tests.contracts.golden import SAMPLES
from tests.contracts.published import TOPICS_WITH_SCHEMA, versions


@pytest.fixture
def registry(settings: Settings) -> ConfluentRegistry:
    return ConfluentRegistry(settings.registry_url)


def test_registering_again_gives_the_same_id(registry: ConfluentRegistry, settings: Settings) -> None:
    for topic in TOPICS_WITH_SCHEMA:
        subject, text = f"{topic.full_name(settings.topic_prefix)}-value", schema_text(topic)
        first = registry.id_of(subject, text)
        assert registry.register(subject, text) == first
        assert json.loads(registry.schema_by_id(first)) == json.loads(text)


def test_every_published_version_is_accepted_in_order(registry: ConfluentRegistry, settings: Settings) -> None:
    for topic in TOPICS_WITH_SCHEMA:
        ids = [registry.register(f"{settings.topic_prefix}again-{topic.name}", text) for _, text in versions(topic)]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("change", ["new field without default", "field without default gone", "another type"])
def test_an_incompatible_change_is_refused(registry: ConfluentRegistry, settings: Settings, change: str) -> None:
    schema = json.loads(schema_text(QUARTER_CLOSES))
    match change:
        case "new field without default":
            schema["fields"].append({"name": "extra", "type": "string"})
        case "field without default gone":
            schema["fields"].pop(0)
        case _:
            next(f for f in schema["fields"] if f["name"] == "units")["type"] = "string"
    with pytest.raises(ValueError, match=r".+"):
        registry.register(f"{QUARTER_CLOSES.full_name(settings.topic_prefix)}-value", json.dumps(schema))


def test_a_schema_nobody_registered_is_not_found(registry: ConfluentRegistry) -> None:
    with pytest.raises(LookupError):
        registry.schema_by_id(2_000_000_000)


def test_each_event_comes_back_through_registry_and_broker(settings: Settings, registry: ConfluentRegistry) -> None:
    writer, reader = Codec(registry, settings.topic_prefix), Codec(registry, settings.topic_prefix)
    producer = kafka.producer(settings)
    for event in SAMPLES:
        topic = next(topic for topic in TOPICS if type(event) in topic.events)
        stored: list[Message] = []
        producer.produce(
            topic.full_name(settings.topic_prefix),
            writer.encode(topic, event),
            key=b"P-001",
            on_delivery=lambda error, message, stored=stored: stored.append(message),
        )
        assert producer.flush(30) == 0
        assert stored[0].error() is None
        value = stored[0].value()
        assert value is not None
        assert reader.decode(topic, value) == event


def test_our_producers_put_a_key_where_we_say_it_belongs(settings: Settings) -> None:
    producer, stored = kafka.producer(settings), list[Message]()
    codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)
    value = codec.encode(SALES, next(event for event in SAMPLES if isinstance(event, SaleReported)))
    for number in range(200):
        key = f"P-{number:03}" + "x" * (number % 7)
        producer.produce(
            SALES.full_name(settings.topic_prefix),
            value,
            key=key,
            on_delivery=lambda _, message: stored.append(message),
        )
    assert producer.flush(30) == 0
    assert len(stored) == 200
    for message in stored:
        assert message.partition() == partition_of(message.key() or b"", settings.partitions)
    assert {message.partition() for message in stored} == set(range(settings.partitions))
