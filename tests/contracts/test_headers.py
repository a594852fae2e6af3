"""The headers are CloudEvents, as somebody else's library reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from schemas.codec import header, headers_for
from schemas.events import Event, id_of
from tests.contracts.golden import SAMPLES

NOON = datetime(2026, 11, 2, 12, 0, 0, 123_000, tzinfo=UTC)


class AsBytes(JSONFormat):
    """Leaves Avro alone."""

    def read_data(self, body: bytes, *_: object) -> bytes:
        return body


def read(event: Event, headers: list[tuple[str, bytes]]) -> BaseCloudEvent:
    message = KafkaMessage(headers=dict(headers), key=b"P-001", value=b"\x00body")
    return from_binary(message, AsBytes())


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_the_independent_reader_finds_every_attribute(event: Event) -> None:
    headers = headers_for(event, source="/staffel/streams", time=NOON, subject="P-001")
    found = read(event, headers)
    assert found.get_specversion() == "1.0"
    assert found.get_id() == id_of(event)
    assert found.get_type() == f"staffel.{type(event).__name__}"
    assert (found.get_source(), found.get_subject()) == ("/staffel/streams", "P-001")
    assert found.get_time() == NOON
    assert found.get_datacontenttype() == "application/avro"
    assert found.get_data() == b"\x00body"


def test_the_time_is_told_in_utc_whatever_zone_it_was_given_in() -> None:
    local = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    headers = headers_for(SAMPLES[0], source="s", time=local, subject="P-001")
    assert header(headers, "ce_time") == "2026-11-02T12:00:00.123Z"


def test_the_id_follows_from_what_the_event_says_alone() -> None:
    first = headers_for(SAMPLES[0], source="a", time=NOON, subject="x")
    second = headers_for(SAMPLES[0], source="b", time=NOON + timedelta(days=1), subject="x")
    assert header(first, "ce_id") == header(second, "ce_id")
    assert len({id_of(event) for event in SAMPLES}) == len(SAMPLES)
