"""The broker's compaction, which a state of years depends on, keeps the state whole."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from deploy.audit.verify import look
from deploy.rebuild.rebuild import Rebuild
from deploy.runtime.settings import Settings
from schemas.topics import POSITIONS, SALE_LINES, TALLIES, Topic
from tests.streams.harness import Wire, a_partner, a_sale, working
from tests.waiting import until


def test_a_state_that_the_broker_has_compacted_is_the_same_state(settings: Settings) -> None:
    wire, sold = Wire(settings), count()

    def sell() -> int:
        """A sale of each partner: a transaction, with a record each of tally and position in both partitions."""
        number = next(sold)
        wire.send(a_sale(f"A{number}", "P1", 1), a_sale(f"A{number}", "P2", 1))
        wire.flush()
        until(lambda: wire.units() == {"P1": number + 1, "P2": number + 1}, what="the next sale")
        return number

    def compacted() -> bool:
        """Fewer records than were written: old ones are gone."""
        written = sell()
        return all(len(wire.messages(topic)) < written for topic in (POSITIONS, TALLIES))

    wire.send(a_partner("P1"), a_partner("P2"))
    wire.flush()
    compact_at_once(settings, (POSITIONS, TALLIES, SALE_LINES))
    with working(settings):
        until(compacted, 180, "compaction")
    before = wire.tallies(), {m.key(): m.value() for m in wire.messages(SALE_LINES)}
    with working(settings):
        sell()
    assert before[0]["P1", "2026Q4"].units + 1 == wire.units()["P1"]
    assert before[1].items() <= {m.key(): m.value() for m in wire.messages(SALE_LINES)}.items()
    assert look(settings).differences == ()
    assert [difference for part in Rebuild(settings).look() for difference in part.differences] == []


def compact_at_once(settings: Settings, topics: Iterable[Topic]) -> None:
    """Let the broker compact these topics as soon as it can, and take tombstones with it."""
    wanted = {"segment.ms": "200", "segment.bytes": "1048576", "max.compaction.lag.ms": "200"}
    wanted |= {"min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"}
    resources = [_set(ResourceType.TOPIC, topic.full_name(settings.topic_prefix), wanted) for topic in topics]
    # Of its own accord the broker, who is number one, looks every fifteen seconds for what there is to compact.
    resources.append(_set(ResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "1000"}))
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    for outcome in admin.incremental_alter_configs(resources).values():
        outcome.result()


def _set(kind: ResourceType, name: str, wanted: dict[str, str]) -> ConfigResource:
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in wanted.items()]
    return ConfigResource(kind, name, incremental_configs=entries)
