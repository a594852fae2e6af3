"""A number of partitions that was changed is refused at the start, by worker and rebuild, with what to do."""

from __future__ import annotations

import dataclasses

from confluent_kafka.admin import AdminClient, NewPartitions

from deploy.runtime.settings import Loaded
from schemas.topics import TOPICS
from tests.cli.calling import call
from tests.streams.harness import Wire, a_partner, a_sale, refusal, working
from tests.waiting import until


def test_a_changed_number_of_partitions_is_refused_in_topics_and_in_state(loaded: Loaded) -> None:
    settings, wire = loaded.settings, Wire(loaded.settings)
    ids = [f"P{n}" for n in range(8)]
    wire.send(*map(a_partner, ids), *(a_sale("A", partner_id, 3) for partner_id in ids))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == dict.fromkeys(ids, 3), what="all counted")

    admin = AdminClient({"bootstrap.servers": settings.kafka})
    wanted = [NewPartitions(topic.full_name(settings.topic_prefix), 3) for topic in TOPICS]
    for outcome in admin.create_partitions(wanted).values():
        outcome.result()
    until(lambda: "has 3 partitions, the settings say 2" in refusal(settings), what="the topics refused")

    three = dataclasses.replace(settings, partitions=3)
    assert "it was made with another number of partitions" in refusal(three)
    said = call(dataclasses.replace(loaded, settings=three), "rebuild")
    assert (said.code, "was made with another number of partitions" in said.err) == (1, True)
