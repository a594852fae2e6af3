"""Is our own past complete? A database restored from a backup has forgotten runs that the world has seen."""

from __future__ import annotations

import time
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition
from sqlalchemy import Engine, select

from deploy.runtime import kafka
from deploy.runtime.errors import NotReady
from deploy.runtime.settings import Settings
from schemas.codec import Codec, Undecodable
from schemas.events import PayoutStatusChanged
from schemas.topics import PAYOUTS
from services.payout import files
from services.payout.states import UNRELEASED
from services.payout.tables import runs

_SILENT_MAX = 30
"""Seconds without an answer from the broker after which the comparison is given up."""


def missing(engine: Engine, settings: Settings, codec: Codec) -> str | None:
    """Says which runs were published or lie in the folder, and are not in the database; None if there is none."""
    with engine.connect() as connection:
        # What is here and not released was not published, unless by the future of a database that is older now.
        known = set(connection.execute(select(runs.c.msg_id).where(runs.c.state.not_in(UNRELEASED))).scalars())
    unknown = sorted(published(settings, codec) - known) or files.unknown(Path(settings.payments), known)
    if not unknown:
        return None
    return (
        f"the database does not know {len(unknown)} payment run(s) made before, the first {unknown[0]}: it was "
        "restored from an old backup or replaced. No run is made until the database that knows them is back"
    )


def published(settings: Settings, codec: Codec) -> set[str]:
    """The ids of all runs that ``payouts`` tells of. Reads the topic once, up to its present end."""
    topic = PAYOUTS.full_name(settings.topic_prefix)
    consumer = kafka.reader(settings)
    try:
        partitions = kafka.partitions_of(consumer, topic)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        found, open_ends = set[str](), set(partitions)
        heard = time.monotonic()
        while open_ends:
            messages = consumer.consume(2000, 0.2)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() > heard + _SILENT_MAX:
                raise NotReady(f"Kafka stopped answering while {topic} was read", "is it running? see ./staffel status")
            for message in messages:
                error = message.error()
                if error is None:
                    found |= _run_in(codec, message.value())
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_ends.discard(message.partition())
    finally:
        consumer.close()
    return found


def _run_in(codec: Codec, value: bytes | None) -> set[str]:
    try:
        event = codec.decode(PAYOUTS, value) if value is not None else None
    except Undecodable:
        return set()  # not written by us
    return {event.run_id} if isinstance(event, PayoutStatusChanged) and event.run_id else set()
