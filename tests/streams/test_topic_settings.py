"""A topic that is set up so that records get lost is refused at the start, with the command that mends it."""

from __future__ import annotations

import dataclasses

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from deploy.runtime.settings import Loaded, Settings
from schemas.topics import DEAD_LETTERS, QUARTER_CLOSES, SALE_LINES, SALES, TALLIES, Topic
from tests.cli.calling import call
from tests.streams.harness import refusal, working


def set_topic(settings: Settings, topic: Topic, name: str, value: str) -> None:
    """Change a topic as its administrator would."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic.full_name(settings.topic_prefix), incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    admin.incremental_alter_configs([resource])[resource].result()


@pytest.mark.parametrize(
    ("topic", "name", "value"),
    [
        (SALES, "retention.ms", "604800000"),
        (QUARTER_CLOSES, "retention.bytes", "1000000"),
        (SALES, "cleanup.policy", "compact"),
        (TALLIES, "cleanup.policy", "delete"),
        (SALES, "message.timestamp.type", "CreateTime"),
        (SALE_LINES, "max.message.bytes", "1000000"),
        (DEAD_LETTERS, "max.message.bytes", "1048588"),
    ],
)
def test_what_loses_records_is_refused_and_mended(loaded: Loaded, topic: Topic, name: str, value: str) -> None:
    settings = loaded.settings
    set_topic(settings, topic, name, value)
    said = refusal(settings)
    assert f"{topic.full_name(settings.topic_prefix)}: {name} is {value}, must be {topic.config[name]}" in said
    assert "./staffel topics mend" in said
    mended = call(loaded, "topics", "mend")
    assert mended.code == 0
    assert f"{name} was {value}, is {topic.config[name]}" in mended.out
    with working(settings):
        pass
    assert call(loaded, "topics", "mend").out.strip() == "all topics are set as they should be"


def test_what_only_differs_is_mentioned(settings: Settings) -> None:
    set_topic(settings, TALLIES, "segment.ms", "7200000")
    with working(settings) as worker:
        pass
    assert "segment.ms is 7200000, should be 3600000" in worker.log.read_text()


def test_one_copy_is_refused_unless_it_was_said(settings: Settings) -> None:
    assert "fewer than 3 replicas" in refusal(dataclasses.replace(settings, single_node=False))
