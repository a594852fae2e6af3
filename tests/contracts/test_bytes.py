"""The bytes of events: those of old stay readable, and two independent Avro libraries write the same."""

from __future__ import annotations

import io
import json
import struct
from datetime import UTC, date, datetime
from enum import EnumType
from typing import Any

import avro.schema
import msgspec
import pytest
from avro.io import BinaryDecoder, BinaryEncoder, DatumReader, DatumWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codec import Codec, Undecodable, schema_text
from schemas.events import Event, SaleReported, id_of
from schemas.topics import SALES, Topic
from tests.contracts.golden import SAMPLES, Golden, wanted
from tests.contracts.published import TOPICS_WITH_SCHEMA
from tests.contracts.registry import PublishedSchemas

CODEC = Codec(PublishedSchemas(), "")
PAIRS = [(topic, event) for topic in TOPICS_WITH_SCHEMA for event in topic.events]
INT32 = st.integers(-(2**31), 2**31 - 1)
each_pair = pytest.mark.parametrize(("topic", "event"), PAIRS, ids=[event.__name__ for _, event in PAIRS])


def instants() -> st.SearchStrategy[datetime]:
    """Instants as precise as the contract's."""
    return st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001  # the zone follows
        lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000, tzinfo=UTC)
    )


def events_of(kind: type[msgspec.Struct], schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Any event of this kind that its schema can hold."""
    said = {field["name"]: field["type"] for field in schema["fields"]}
    return st.builds(kind, **{f.name: _values(f.type, said[f.name]) for f in msgspec.structs.fields(kind)})


def _values(hint: Any, said: Any) -> st.SearchStrategy[Any]:
    if isinstance(said, list):
        branch = next(b for b in said if b != "null")
        return st.none() | _values(next(a for a in hint.__args__ if a is not type(None)), branch)
    if isinstance(hint, EnumType):
        return st.sampled_from(list(hint))
    if hint is date:
        return st.dates()
    if hint is datetime:
        return instants()
    if said == "string":
        return st.text(max_size=20)
    if said == "bytes":
        return st.binary(max_size=20)
    if said == "boolean":
        return st.booleans()
    if said in ("int", "long"):
        return INT32 if said == "int" else st.integers(-(2**63), 2**63 - 1)
    item = hint.__args__[0]
    items = st.text(max_size=9) if said["items"] == "string" else events_of(item, said["items"])
    return st.lists(items, max_size=3).map(tuple)


def _with_lists(value: Any) -> Any:
    """The reference library takes no tuple for an array."""
    if isinstance(value, dict):
        return {name: _with_lists(inner) for name, inner in value.items()}
    return [_with_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


@each_pair
@settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_what_is_encoded_comes_back_and_the_reference_library_writes_the_same_bytes(
    topic: Topic, event: type[Event], data: st.DataObject
) -> None:
    schemas = json.loads(schema_text(topic))
    own = schemas if isinstance(schemas, dict) else next(s for s in schemas if s["name"] == event.__name__)
    sample = data.draw(events_of(event, own))
    encoded = CODEC.encode(topic, sample)
    assert CODEC.decode(topic, encoded) == sample
    fields = _with_lists(msgspec.to_builtins(sample, builtin_types=(date, datetime, bytes)))
    reference = avro.schema.parse(schema_text(topic))
    out = io.BytesIO()
    DatumWriter(reference).write(fields, BinaryEncoder(out))
    assert out.getvalue() == encoded[5:]
    read = DatumReader(reference).read(BinaryDecoder(io.BytesIO(encoded[5:])))
    assert msgspec.convert(read, event) == sample


@pytest.mark.parametrize("golden", list(wanted()), ids=lambda golden: golden.path.stem)
def test_bytes_written_with_a_published_version_are_still_read_as_what_they_said(golden: Golden) -> None:
    said = json.loads(golden.path.read_text("utf-8"))
    prefix = struct.pack(">bI", 0, PublishedSchemas().id_of_version(golden.topic, golden.version))
    event = CODEC.decode(golden.topic, prefix + bytes.fromhex(said["body"]))
    assert type(event) is golden.event
    assert event == msgspec.convert(said["event"], golden.event, strict=False)


FACTS = [golden for golden in wanted() if not golden.topic.compacted]


@pytest.mark.parametrize("golden", FACTS, ids=lambda golden: golden.path.stem)
def test_a_fact_keeps_the_id_it_was_published_with(golden: Golden) -> None:
    said = json.loads(golden.path.read_text("utf-8"))
    assert id_of(msgspec.convert(said["event"], golden.event, strict=False)) == said["id"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_todays_samples_fill_every_field(sample: Event) -> None:
    unset = [f.name for f in msgspec.structs.fields(sample) if getattr(sample, f.name) in (None, "", ())]
    assert unset == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda _: b"", "not-avro"),
        (lambda b: b[:4], "not-avro"),
        (lambda b: b"\x01" + b[1:], "not-avro"),
        (lambda _: b'{"sale_id": "S-1"}', "not-avro"),
        (lambda b: b[:1] + b"\x00\x00\xff\xff" + b[5:], "unknown-schema"),
        (lambda b: b[:-1], "bad-avro"),
        (lambda b: b + b"\x00", "bad-avro"),
        (lambda b: b[:5] + b"\xff" * 20, "bad-avro"),
    ],
    ids=["empty", "short", "other-magic", "json", "foreign-id", "cut", "appended", "garbage"],
)
def test_broken_bytes_are_named_for_what_is_wrong(damage: Any, reason: str) -> None:
    good = CODEC.encode(SALES, next(s for s in SAMPLES if isinstance(s, SaleReported)))
    with pytest.raises(Undecodable) as caught:
        CODEC.decode(SALES, damage(good))
    assert caught.value.reason == reason
