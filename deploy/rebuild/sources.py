"""Are the sources there, whole, and those that the state was made from? What is gone can't be counted again."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec

from deploy.rebuild.published import Published
from deploy.runtime import kafka
from deploy.runtime.errors import NotReady, StaffelError
from deploy.runtime.settings import Settings
from schemas.codec import Codec, RegistryAway
from schemas.topics import PARTNERS, SALES, TOPICS
from schemas.values import partition_of

_HINT = "the stream's state and its sources belong together; restore both, see deploy/docs/operations.md"


class Source(NamedTuple):
    """A partition of a source topic as the broker has it."""

    topic_id: str
    start: int
    end: int
    leader_epoch: int


def check_topics(settings: Settings, codec: Codec) -> None:
    """Raises NotReady or StaffelError if a topic or a schema is missing, or the partitions are not as many as said."""
    client = kafka.reader(settings)
    try:
        for topic in TOPICS:
            name = topic.full_name(settings.topic_prefix)
            partitions = len(kafka.partitions_of(client, name))
            if partitions != settings.partitions:
                raise StaffelError(
                    f"topic {name} has {partitions} partitions, the settings say {settings.partitions}",
                    "the number can't be changed later; see 'The number of partitions' in deploy/docs/operations.md",
                )
    finally:
        client.close()
    try:
        codec.resolve(topic for topic in TOPICS if topic.events)
    except RegistryAway as error:
        raise NotReady(str(error), "is the registry running? see ./staffel status") from None
    except LookupError as error:
        raise NotReady(f"a schema is not registered: {error}", "register them: ./staffel topics create") from None


def sources(settings: Settings, partition: int) -> dict[str, Source]:
    """The partition of each source. Raises NotReady if the broker is away."""
    admin = kafka.admin(settings)
    names = {topic.full_name(settings.topic_prefix): topic.name for topic in (SALES, PARTNERS)}
    places = [TopicPartition(name, partition) for name in names]
    try:
        described = admin.describe_topics(TopicCollection(list(names)), request_timeout=10)
        first = admin.list_offsets(dict.fromkeys(places, OffsetSpec.earliest()), request_timeout=10)
        last = admin.list_offsets(dict.fromkeys(places, OffsetSpec.latest()), request_timeout=10)
        return {
            names[place.topic]: Source(
                str(described[place.topic].result().topic_id),
                first[place].result().offset,
                last[place].result().offset,
                last[place].result().leader_epoch or 0,
            )
            for place in places
        }
    except KafkaException as error:
        raise NotReady(f"Kafka does not answer: {error.args[0].str()}", "is it running? see ./staffel status") from None


def prove(state: Published, found: dict[str, Source], partition: int, partitions: int) -> None:
    """Raises StaffelError if the reports can't be counted again as the state was counted from them."""
    if found[SALES.name].start > 0:
        raise StaffelError(
            f"sales partition {partition} begins at {found[SALES.name].start}: earlier reports are gone", _HINT
        )
    for name, source in found.items():
        position = state.before.get(name)
        if position is not None and position.topic_id != source.topic_id:
            raise StaffelError(f"{name} partition {partition} was created anew: it is not what was counted", _HINT)
        if position is not None and position.offset >= source.end:
            raise StaffelError(f"{name} partition {partition} ends before the position of the state", _HINT)
    for key in state.lines:
        if partition_of(key.partition("/")[0].encode(), partitions) != partition:
            raise StaffelError(
                f"partition {partition} holds lines of partners who belong elsewhere: it was made with another number "
                "of partitions",
                "set back the number; see 'The number of partitions' in deploy/docs/operations.md",
            )
