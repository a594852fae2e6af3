"""Sends dead letters back to ``sales``: the same key, the same bytes.

A letter that was sent back says so in a header of the new record, and that is where it is looked up: there is no other
book to keep, nothing to lose, and a second replay, from any machine, finds what the first one did. Should two run at
the same time, the stream counts a sale once anyway. Letters from ``partners`` stay: the registry may have told newer
facts since, which an old record must not undo; importing the partner again is the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import Message, TopicPartition

from deploy.runtime import kafka
from deploy.runtime.clock import Clock
from deploy.runtime.errors import NotReady
from deploy.runtime.settings import Settings
from schemas.codec import Codec, RegistryAway, Undecodable, header
from schemas.events import Event
from schemas.topics import DEAD_LETTERS, SALES
from services.kit.log import partitions, records
from services.kit.sender import Sender, open_codec

REPLAYED_FROM = "staffel-replayed-from"
"""Header of a record that was sent back: the letter's place, ``partition/offset@milliseconds``."""
_OF_THE_FAILURE = ("dlq.", "staffel-rerouted-from", REPLAYED_FROM)
"""Headers that tell of the failed attempt; the new one begins without them."""
_MAY_PASS_NOW = {"not-avro", "bad-avro", "unknown-schema", "stray-twice"}
"""Reasons that lie in the surroundings (a schema not registered then, a wrong number of partitions), not in what the
record says. With any other reason the same record is put aside again."""

REPLAYED, ALREADY, HOPELESS = "replayed", "already_replayed", "not_replayable"


class Letter(NamedTuple):
    """A dead letter."""

    place: str
    source: str
    """Full name of the topic that it was taken from."""
    reason: str
    message: str
    """What is wrong with it, in a sentence."""
    stamp: int
    """When it was put aside, in milliseconds since 1970."""
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Outcome(NamedTuple):
    """How a replay went: letters by what became of them, and those sent back by the reason they had been put aside."""

    letters: Counter[str]
    reasons: Counter[str]


def replay(settings: Settings, clock: Clock, *, everything: bool = False, dry_run: bool = False) -> Outcome:
    """Send back each letter that may pass now and was not sent back before; with ``everything`` also the hopeless.

    A dry run sends nothing. Raises NotReady or StaffelError if Kafka or registry fail.
    """
    codec = open_codec(settings, [SALES])
    sales = SALES.full_name(settings.topic_prefix)
    due, hopeless = [], 0
    for letter in map(_letter, records(settings, DEAD_LETTERS)):
        if letter.source == sales and (everything or _may_pass(codec, letter)):
            due.append(letter)
        else:
            hopeless += 1
    done = _replayed(settings, due)
    fresh = [letter for letter in due if letter.place not in done]
    if fresh and not dry_run:
        _send(settings, codec, clock, fresh)
    counts = {REPLAYED: len(fresh), ALREADY: len(due) - len(fresh), HOPELESS: hopeless}
    return Outcome(Counter(counts), Counter(letter.reason for letter in fresh))


def latest(settings: Settings, at_most: int) -> list[Letter]:
    """The dead letters that were put aside last, the latest first. Raises NotReady or StaffelError if Kafka fails."""
    name = DEAD_LETTERS.full_name(settings.topic_prefix)
    consumer = kafka.reader(settings)
    try:
        ends = kafka.ends(consumer, [(name, number) for number in kafka.partitions_of(consumer, name)])
    finally:
        consumer.close()
    begin = {number: max(0, end - at_most) for (_, number), end in ends.items()}
    found = map(_letter, records(settings, DEAD_LETTERS, begin))
    return sorted(found, key=lambda letter: letter.stamp, reverse=True)[:at_most]


def read_again(codec: Codec, letter: Letter) -> Event | None:
    """What a letter says, if it can be read by now."""
    try:
        return codec.decode(SALES, letter.value) if letter.value is not None else None
    except (Undecodable, RegistryAway, LookupError):
        return None


def _letter(message: Message) -> Letter:
    headers = [(name, value or b"") for name, value in kafka.headers_of(message)]
    stamp = message.timestamp()[1]
    return Letter(
        place=f"{message.partition()}/{message.offset()}@{stamp}",
        source=header(headers, "dlq.topic") or "",
        reason=header(headers, "dlq.reason") or "",
        message=header(headers, "dlq.message") or "",
        stamp=stamp,
        key=message.key(),
        value=message.value(),
        headers=headers,
    )


def _may_pass(codec: Codec, letter: Letter) -> bool:
    if letter.reason not in _MAY_PASS_NOW or letter.value is None:
        return False
    try:
        codec.decode(SALES, letter.value)
    except Undecodable:
        return False
    except RegistryAway as error:
        raise NotReady(str(error), "is the registry running? see ./staffel status") from None
    return True


def _replayed(settings: Settings, letters: Iterable[Letter]) -> set[str]:
    """The places of letters that stand in ``sales`` again. None can be older than the oldest of these letters."""
    oldest = min((letter.stamp for letter in letters), default=None)
    if oldest is None:
        return set()
    found = (
        header(kafka.headers_of(message), REPLAYED_FROM)
        for message in records(settings, SALES, _since(settings, oldest))
    )
    return {place for place in found if place is not None}


def _since(settings: Settings, stamp: int) -> dict[int, int]:
    name = SALES.full_name(settings.topic_prefix)
    consumer = kafka.reader(settings)
    try:
        asked = [TopicPartition(name, number, stamp) for number in partitions(settings, SALES)]
        return {found.partition: found.offset for found in consumer.offsets_for_times(asked, timeout=10)}
    finally:
        consumer.close()


def _send(settings: Settings, codec: Codec, clock: Clock, letters: Iterable[Letter]) -> None:
    with Sender(settings, codec, clock, SALES) as sender:
        for letter in letters:
            kept = [pair for pair in letter.headers if not pair[0].startswith(_OF_THE_FAILURE)]
            sender.send_bytes(letter.key, letter.value, [*kept, (REPLAYED_FROM, letter.place.encode())])
