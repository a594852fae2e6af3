"""Reads one partition of a topic, decoded."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Message

from deploy.runtime.errors import NotReady
from deploy.runtime.settings import Settings
from schemas.codec import Codec, ConfluentRegistry, RegistryAway, Undecodable
from schemas.events import Event
from schemas.topics import Topic
from services.kit.log import BEGINNING, records


class Reading:
    """The topics of a deployment, one partition of them."""

    def __init__(self, settings: Settings, codec: Codec, partition: int) -> None:
        self.settings, self.codec, self.partition = settings, codec, partition

    def messages(self, topic: Topic) -> Iterator[Message]:
        """Every committed record of the partition. Raises NotReady if the broker is away."""
        return records(self.settings, topic, {self.partition: BEGINNING})

    def events(self, topic: Topic) -> Iterator[tuple[Message, Event | None]]:
        """The same, decoded; None for a tombstone. What can't be decoded is left out: the stream put it aside, too."""
        for message in self.messages(topic):
            value = message.value()
            try:
                yield message, None if value is None else self.codec.decode(topic, value)
            except Undecodable:
                continue
            except RegistryAway as error:
                raise NotReady(str(error), "is the registry running? see ./staffel status") from None

    def latest(self, topic: Topic) -> dict[str, bytes]:
        """The latest value of each key; a tombstone ends a key."""
        found: dict[str, bytes] = {}
        for message in self.messages(topic):
            key = key_of(message)
            if message.value() is None:
                found.pop(key, None)
            else:
                found[key] = message.value()
        return found


def open_codec(settings: Settings) -> Codec:
    """A codec on the deployment's registry."""
    return Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)


def key_of(message: Message) -> str:
    """A record's key as text."""
    return (message.key() or b"").decode("utf-8", "replace")
