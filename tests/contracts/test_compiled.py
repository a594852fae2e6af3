"""The compiled writers and readers against fastavro: the same verdict on any bytes, good, hostile or of old."""

from __future__ import annotations

import io
import json
import struct
from datetime import date, datetime
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.codec import Codec, Undecodable, schema_of, schema_text
from schemas.compiled import reader, sources, writer
from schemas.events import Event, LineStatus, SaleLine, SaleReported
from schemas.packed import cut, pack, publish, unpack, weigh
from schemas.topics import SALE_LINES, SALES, Topic
from tests.contracts.golden import SAMPLES
from tests.contracts.registry import PublishedSchemas
from tests.contracts.test_bytes import CODEC, PAIRS, each_pair, events_of

DATES = (date, datetime, bytes)
# The one thing in which fastavro is laxer than the Avro specification, and ours is not.
STRICTER = ("a number of more than 64 bits", "a size or an index below zero")
LINE = next(sample for sample in SAMPLES if isinstance(sample, SaleLine))


def by_fastavro(topic: Topic, body: bytes) -> Event | None:
    """What fastavro and msgspec make of bytes; None if nothing."""
    schema = fastavro.parse_schema(json.loads(schema_text(topic)))
    rest = io.BytesIO(body)
    try:
        if len(topic.events) == 1:
            kind, fields = topic.events[0], fastavro.schemaless_reader(rest, schema, schema)
        else:
            name, fields = fastavro.schemaless_reader(rest, schema, schema, return_record_name=True)
            kind = next(k for k in topic.events if name == f"staffel.{k.__name__}")
        event = msgspec.convert(fields, kind)
    except Exception:  # noqa: BLE001
        return None
    return None if rest.read(1) else event


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """Bytes with something taken out, put in or overwritten here and there."""
    body = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        odd = st.sampled_from([b"\x00", b"\x01", b"\x02", b"\x03", b"\x7f", b"\x80", b"\xff", b"\x80\x00", b"\xff" * 9])
        body[at : at + draw(st.integers(0, 3))] = draw(odd | st.binary(max_size=3))
    return bytes(body)


@each_pair
@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_any_bytes_get_the_verdict_that_fastavro_gives(topic: Topic, event: type[Event], data: st.DataObject) -> None:
    good = CODEC.encode(topic, data.draw(events_of(event, schema_of(event))))
    body = data.draw(damaged(good[5:]))
    judge(topic, good[:5], body)


@given(st.binary(max_size=60))
@example(b"\x02" * 40)
def test_random_bytes_are_never_anything_but_an_event_or_undecodable(body: bytes) -> None:
    prefix = CODEC.encode(SALES, next(s for s in SAMPLES if isinstance(s, SaleReported)))[:5]
    judge(SALES, prefix, body)


def judge(topic: Topic, prefix: bytes, body: bytes) -> None:
    """Assert that both come to the same."""
    expected = by_fastavro(topic, body)
    try:
        found = CODEC.decode(topic, prefix + body)
    except Undecodable as refused:
        found, why = None, str(refused.__cause__)
    assert found == expected or (found is None and why in STRICTER)


class OneMore(PublishedSchemas):
    """Knows another schema, that of some other writer."""

    def __init__(self, other: Any) -> None:
        super().__init__()
        self.other = other

    def schema_by_id(self, schema_id: int) -> str:
        return json.dumps(self.other) if schema_id == 900 else super().schema_by_id(schema_id)


@pytest.mark.parametrize(("topic", "sample"), [(topic, s) for topic, kind in PAIRS for s in SAMPLES if type(s) is kind])
def test_what_another_version_of_the_schema_wrote_is_read(topic: Topic, sample: Event) -> None:
    """Fields in another order, one more that we don't know, and one less, which takes its default."""
    schema = schema_of(type(sample))
    optional = [field for field in schema["fields"] if "default" in field]
    gone = optional[0]["name"] if optional else ""
    fields = [field for field in reversed(schema["fields"]) if field["name"] != gone]
    other: Any = {**schema, "fields": [*fields, {"name": "colour", "type": "string", "default": ""}]}
    values: Any = msgspec.to_builtins(sample, builtin_types=DATES) | {"colour": "red"}
    if len(topic.events) > 1:
        other = [other if kind is type(sample) else schema_of(kind) for kind in topic.events]
        values = f"staffel.{schema['name']}", values
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(other), values)
    found = Codec(OneMore(other), "").decode(topic, struct.pack(">bI", 0, 900) + out.getvalue())
    expected = json.loads(msgspec.json.encode(sample)) | ({gone: optional[0]["default"]} if gone else {})
    assert json.loads(msgspec.json.encode(found)) == expected


def test_a_schema_with_a_type_that_is_not_known_is_refused_when_it_is_compiled() -> None:
    for said in ("float", {"type": "array", "items": "float"}):
        for compiler in (writer, reader):
            with pytest.raises(TypeError, match="no way"):
                compiler({"fields": [{"name": "serial_numbers", "type": said}]}, SaleReported)


def test_the_source_is_there_to_be_looked_at() -> None:
    text = sources(schema_of(SaleLine), SaleLine)
    assert [part.partition("(")[0] for part in text.split("\n\n")] == [
        "def write_LineReturn",
        "def write",
        "def read_LineReturn",
        "def read",
    ]
    assert "        head," in text
    assert "return SaleLine(partner_id, sale_id, " in text


class Few(msgspec.Struct):
    """What the schemas below say."""

    number: int = 0
    names: tuple[str, ...] = ()
    status: LineStatus | None = None
    more: str = ""


def schema_with(name: str, said: Any) -> dict[str, Any]:
    return {"fields": [{"name": name, "type": said}, {"name": "more", "type": "string"}]}


def test_a_number_fits_into_a_long_or_is_refused() -> None:
    schema = schema_with("number", "long")
    write, read = writer(schema, Few), reader(schema, Few, only=("number", "more"))
    for fits in (-(2**63), 2**63 - 1):
        assert read(write(Few(fits)), 0)[0] == (fits, "")
    for larger in (-(2**63) - 1, 2**63):
        with pytest.raises(OverflowError):
            write(Few(larger))
    with pytest.raises(ValueError, match="more than 64 bits"):
        read(b"\x80" * 9 + b"\x02\0", 0)


def test_a_size_may_take_more_bytes_than_it_must() -> None:
    read = reader(schema_with("number", "long"), Few, only=("number", "more"))
    assert read(b"\x02\x80\x00", 0) == ((1, ""), 3)
    assert read(b"\x02\x82\x00z", 0) == ((1, "z"), 4)


def test_an_array_may_come_in_blocks_that_say_their_length_in_bytes() -> None:
    read = reader(schema_with("names", {"type": "array", "items": "string"}), Few, only=("names", "more"))
    body = b"\x02\x02a" + b"\x03\x08\x02b\x02c" + b"\x00" + b"\x02z"
    assert read(body, 0) == ((("a", "b", "c"), "z"), len(body))


def test_what_may_be_missing_is_of_its_kind_if_it_is_there() -> None:
    symbols = [status.value for status in LineStatus]
    schema = schema_with("status", ["null", {"type": "enum", "name": "Status", "symbols": symbols}])
    write, read = writer(schema, Few), reader(schema, Few, only=("status", "more"))
    for status in (None, *LineStatus):
        found, _ = read(write(Few(status=status)), 0)
        assert found == (status, "")
        assert type(found[0]) is type(status)


@each_pair
def test_any_field_can_be_read_alone(topic: Topic, event: type[Event]) -> None:
    """The others are passed over."""
    sample, schema = next(s for s in SAMPLES if type(s) is event), schema_of(event)
    body = writer(schema, event)(sample)
    for field in schema["fields"]:
        name = field["name"]
        assert reader(schema, event, only=[name])(b"before" + body, 6) == ((getattr(sample, name),), 6 + len(body))


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(events_of(SaleLine, schema_of(SaleLine)))
@example(LINE)
def test_a_packed_line_says_all_that_the_published_one_says(line: SaleLine) -> None:
    packed, head = pack(line), CODEC.head(SALE_LINES)
    published = publish(head, line.partner_id, line.sale_id, packed)
    assert published == CODEC.encode(SALE_LINES, line)
    assert cut(head, line.partner_id, line.sale_id, published) == packed
    assert unpack(line.partner_id, line.sale_id, packed) == line
    assert weigh(packed) == (line.status, line.quarter, line.units, line.source_offset)


def test_a_line_of_another_schema_or_key_is_not_cut() -> None:
    head = CODEC.head(SALE_LINES)
    value = CODEC.encode(SALE_LINES, LINE)
    assert cut(head, LINE.partner_id, "another", value) is None
    assert cut(b"\0\0\0\3\x84", LINE.partner_id, LINE.sale_id, value) is None
