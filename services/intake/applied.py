"""Waits until what was reported has been applied: by the stream, and by the portal's read model.

"Reached" never means "the number is equal": a log may end in the marker of an aborted transaction, which nobody ever
reads. A place is reached if no committed record lies between it and the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from sqlalchemy import Engine, MetaData, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, ProgrammingError

from deploy.runtime import kafka
from deploy.runtime.errors import NotReady
from deploy.runtime.settings import Settings
from schemas.events import Position
from schemas.topics import PARTNERS, POSITIONS, SALE_LINES, SALES, TALLIES, Topic
from services.kit.consumer import consumer_tables
from services.kit.database import open_engine, reading
from services.kit.sender import open_codec

Places = Mapping[tuple[str, int], int]
"""For each (full topic name, partition) an offset: the end of a log, or where a reader goes on."""
_PAUSE = 0.05
_PORTAL_HINT = "is the portal running? see ./staffel status"
_OFFSETS = consumer_tables(MetaData())[0]


class Deadline(NamedTuple):
    """When waiting ends, on the monotonic clock."""

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)


def wait_for_all(settings: Settings, seconds: float) -> None:
    """Wait until all that is in ``sales`` and ``partners`` now has been applied by the stream and shown by the portal.

    Raises NotReady naming what is behind when the time is over.
    """
    deadline = Deadline.after(seconds)
    wait_for_stream(settings, ends_of(settings, (SALES, PARTNERS)), deadline)
    wait_for_portal(settings, ends_of(settings, (TALLIES, SALE_LINES)), deadline)


def ends_of(settings: Settings, topics: Iterable[Topic]) -> Places:
    """Where the committed records of these topics end now."""
    with _reader(settings) as consumer:
        names = [topic.full_name(settings.topic_prefix) for topic in topics]
        return kafka.ends(
            consumer, [(name, number) for name in names for number in kafka.partitions_of(consumer, name)]
        )


def wait_for_stream(settings: Settings, ends: Places, deadline: Deadline) -> None:
    """Wait until the stream has applied its sources up to these ends. Raises NotReady."""
    codec = open_codec(settings, [POSITIONS])
    prefix = settings.topic_prefix
    positions: dict[tuple[str, int], int] = {}
    with _reader(settings) as consumer:
        name = POSITIONS.full_name(prefix)
        numbers = kafka.partitions_of(consumer, name)
        consumer.assign([TopicPartition(name, number, OFFSET_BEGINNING) for number in numbers])

        def look() -> Places:
            for message in consumer.consume(1000, _PAUSE):
                value = message.value()
                if message.error() is None and value is not None:
                    position = codec.decode(POSITIONS, value)
                    if isinstance(position, Position):
                        positions[prefix + position.source, message.partition()] = position.offset + 1
            return positions

        _wait(settings, look, ends, deadline, "the stream", "is the worker running? see ./staffel status")


def wait_for_portal(settings: Settings, ends: Places, deadline: Deadline) -> None:
    """Wait until the portal's read model holds these topics up to these ends. Raises NotReady."""
    with read_model(settings) as engine:

        def look() -> Places:
            time.sleep(_PAUSE)
            with engine.connect() as connection:
                return {(row.topic, row.partition): row.next_offset for row in connection.execute(select(_OFFSETS))}

        _wait(settings, look, ends, deadline, "the portal's read model", _PORTAL_HINT)


@contextmanager
def read_model(settings: Settings) -> Iterator[Engine]:
    """The portal's database, to be read. Raises NotReady, also later on, if it is not there or has no tables yet."""
    url = make_url(settings.portal_db_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise NotReady(f"there is no read model at {url.database}", _PORTAL_HINT)
    engine = open_engine(settings.portal_db_url)
    try:
        yield reading(engine)
    except (OperationalError, ProgrammingError) as error:
        raise NotReady(f"the portal's read model can't be read: {error.orig}", _PORTAL_HINT) from None
    finally:
        engine.dispose()


def _wait(
    settings: Settings, look: Callable[[], Places], ends: Places, deadline: Deadline, who: str, hint: str
) -> None:
    open_ends, before = dict(ends), None
    while True:
        places = dict(look())
        open_ends = {place: end for place, end in open_ends.items() if places.get(place, 0) < end}
        if open_ends and places == before:  # at rest: is there anything left to read, or only a marker?
            open_ends = _unreached(settings, open_ends, places)
        if not open_ends:
            return
        before = places
        if time.monotonic() > deadline.at:
            behind = ", ".join(
                f"{topic}/{number} by {end - places.get((topic, number), 0)}"
                for (topic, number), end in sorted(open_ends.items())
            )
            raise NotReady(f"not applied within {deadline.seconds:g} s: {who} is behind on {behind} records", hint)


def _unreached(settings: Settings, ends: Places, places: Places) -> dict[tuple[str, int], int]:
    """The ends before which a reader that goes on at these places would still meet a committed record."""
    unanswered = dict(ends)
    unreached: dict[tuple[str, int], int] = {}
    with _reader(settings) as consumer:
        consumer.assign([TopicPartition(*place, places.get(place, 0) or OFFSET_BEGINNING) for place in ends])
        while unanswered:
            message = consumer.poll(1.0)
            if message is None:  # no answer is no proof
                return unreached | unanswered
            place = message.topic(), message.partition()
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                return unreached | unanswered
            end = unanswered.pop(place, None)
            if end is not None and error is None and message.offset() < end:
                unreached[place] = end
    return unreached


@contextmanager
def _reader(settings: Settings) -> Iterator[Consumer]:
    consumer = kafka.reader(settings)
    try:
        yield consumer
    finally:
        consumer.close()
