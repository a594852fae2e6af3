"""The one table of topics: who writes, under which key, and settings that keep what must be kept."""

from __future__ import annotations

import pytest

from schemas.events import Event
from schemas.topics import DEAD_LETTERS, POSITIONS, PREFERENCES, SALES, SETTLED_LINES, SETTLED_SALES, TOPICS, Topic

PROCESSES = {"streams", "notification", "payout", "portal", "operator", "registry", "any reporter"}
STREAM_STATE = {"tallies", "sale-lines", "settled-lines", "settled-sales", "positions"}
each_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)


def test_every_event_has_one_topic_and_every_topic_one_writer() -> None:
    kinds = [kind for topic in TOPICS if topic is not SETTLED_LINES for kind in topic.events]  # lines go on there
    assert sorted(k.__name__ for k in kinds) == sorted({k.__name__ for k in kinds})
    published = {k for k in Event.__subclasses__() if k.__name__ != "LineReturn"}
    assert set(kinds) == published
    assert {topic.writer for topic in TOPICS} <= PROCESSES
    assert {reader for topic in TOPICS for reader in topic.readers} <= PROCESSES


@each_topic
def test_nobody_reads_what_nobody_writes_and_nothing_is_written_for_nobody(topic: Topic) -> None:
    assert topic.writer
    assert topic.readers
    assert topic.writer not in topic.readers or topic in (POSITIONS, PREFERENCES, SETTLED_SALES)


@each_topic
def test_times_are_the_brokers(topic: Topic) -> None:
    assert topic.config["message.timestamp.type"] == "LogAppendTime"


@each_topic
def test_facts_are_kept_for_ever_and_state_is_compacted_in_small_segments(topic: Topic) -> None:
    if topic.compacted:
        assert topic.name in STREAM_STATE | {"partners", "preferences"}
        assert int(topic.config["segment.bytes"]) <= 64 * 1024 * 1024
        assert int(topic.config["max.compaction.lag.ms"]) <= 7 * 86_400_000, "what was deleted must go within a week"
        # A worker that was away for days must still meet the tombstones of what went meanwhile.
        assert int(topic.config["delete.retention.ms"]) >= 7 * 86_400_000
    else:
        assert topic.config["cleanup.policy"] == "delete"
        assert topic.config["retention.ms"] == "-1"


def test_a_dead_letter_has_room_for_the_largest_sale_and_its_headers() -> None:
    assert int(DEAD_LETTERS.config["max.message.bytes"]) >= 2 * int(SALES.config["max.message.bytes"])


def test_names_are_unique_and_take_the_prefix() -> None:
    names = [topic.full_name("acme.") for topic in TOPICS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("acme.") for name in names)
