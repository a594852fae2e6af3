"""What a partition relies on when it commits without asking what became of each record."""

from __future__ import annotations

import os

import pytest
from confluent_kafka import KafkaError, KafkaException

from deploy.runtime import kafka
from deploy.runtime.settings import Settings
from schemas.topics import SALES, SALES_BYTES_MAX, TALLIES
from tests.streams.harness import Wire


def test_a_record_that_is_not_delivered_fails_the_commit_and_nothing_of_it_is_read(settings: Settings) -> None:
    """The broker refuses the large record; the producer has no callback that could tell."""
    too_large = SALES_BYTES_MAX + 100_000
    producer = kafka.producer(settings, transactional_id=f"{settings.topic_prefix}x", message_max_bytes=2 * too_large)
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(TALLIES.full_name(settings.topic_prefix), value=b"good", key=b"k", partition=0)
    producer.produce(SALES.full_name(settings.topic_prefix), value=os.urandom(too_large), key=b"k", partition=0)
    with pytest.raises(KafkaException) as caught:
        producer.commit_transaction(15)
    assert caught.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    producer.abort_transaction(15)
    assert Wire(settings).messages(TALLIES) == []
