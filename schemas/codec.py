"""Events to bytes and back: Avro in the Confluent wire format (a zero byte, the schema's id, the body), ids from the
registry; and the CloudEvents 1.0 headers (binary mode) that go with them.

What our own schemas wrote goes through functions compiled from them (``compiled``); what another version of a schema
wrote is resolved by fastavro, which is slow and seldom needed.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import fastavro
import msgspec

from schemas.compiled import Reader, Writer, number, reader, writer
from schemas.events import Event, id_of
from schemas.topics import TOPICS, Topic

_AVRO = Path(__file__).parent / "avro"
_PREFIX = struct.Struct(">bI")
COMPATIBILITY = "FULL_TRANSITIVE"
_NOT_THERE = (40401, 40402, 40403)
"""A registry's own word for "no such subject, version, schema". Any other 404 is of something else at its address."""
T = TypeVar("T")


class Undecodable(ValueError):
    """The bytes are not an event of this topic. ``reason`` is a code fit for a header or a metric label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RegistryAway(RuntimeError):
    """The schema registry did not answer: nothing is known about the bytes, try again later."""


class Registry(Protocol):
    """What the codec needs of a schema registry."""

    def register(self, subject: str, schema: str) -> int:
        """Make the schema known under the subject; returns its id. Raises RegistryAway, or ValueError if refused."""

    def id_of(self, subject: str, schema: str) -> int:
        """The id of a schema that is already registered. Raises RegistryAway, or LookupError."""

    def schema_by_id(self, schema_id: int) -> str:
        """The schema with this id. Raises RegistryAway, or LookupError."""


class ConfluentRegistry:
    """A registry that speaks Confluent's API (Apicurio, Karapace, Confluent), through confluent-kafka's client."""

    def __init__(self, url: str) -> None:
        from confluent_kafka.schema_registry import SchemaRegistryClient

        # A folded path like Apicurio's /apis/ccompat/v7 is part of the URL.
        self._client = SchemaRegistryClient({"url": url, "timeout": 5, "max.retries": 2})
        self.url = url

    def register(self, subject: str, schema: str) -> int:
        from confluent_kafka.schema_registry import Schema

        def put() -> int:
            self._client.set_compatibility(subject, COMPATIBILITY)
            return int(self._client.register_schema(subject, Schema(schema, "AVRO")))

        return self._call(put)

    def id_of(self, subject: str, schema: str) -> int:
        from confluent_kafka.schema_registry import Schema

        return self._call(lambda: int(self._client.lookup_schema(subject, Schema(schema, "AVRO")).schema_id))

    def schema_by_id(self, schema_id: int) -> str:
        return self._call(lambda: str(self._client.get_schema(schema_id).schema_str))

    def _call(self, action: Callable[[], T]) -> T:
        import httpx2
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        try:
            return action()
        except SchemaRegistryError as error:
            if error.http_status_code == 404 and error.error_code in _NOT_THERE:
                raise LookupError(error.error_message) from error
            if error.http_status_code in (409, 422):
                raise ValueError(error.error_message) from error
            raise RegistryAway(f"the schema registry at {self.url} answers {error.http_status_code}") from error
        except (httpx2.HTTPError, OSError) as error:
            raise RegistryAway(f"the schema registry at {self.url} does not answer: {error}") from error


class _Form(NamedTuple):
    """How this process writes and reads the values of a topic."""

    schema_id: int
    schema: Any
    """For fastavro."""
    head_size: int
    writers: Mapping[type[Event], Writer]
    readers: Mapping[bytes, Reader]
    """By what a value begins with: zero byte, own schema's id, and in a union its branch."""


class Codec:
    """Encodes and decodes the events of all topics. Not tied to a broker; safe to share between threads."""

    def __init__(self, registry: Registry, prefix: str) -> None:
        self._registry = registry
        self._prefix = prefix
        self._forms: dict[str, _Form] = {}
        self._writers: dict[int, Any] = {}

    def register(self, topics: Iterable[Topic] = TOPICS) -> None:
        """Register every schema under ``<topic>-value``. Raises ValueError if the registry finds one incompatible."""
        for topic in topics:
            if topic.events:
                self._registry.register(self._subject(topic), schema_text(topic))

    def resolve(self, topics: Iterable[Topic]) -> None:
        """Look up the ids of what this process writes. Raises LookupError if a schema was never registered."""
        for topic in topics:
            self._resolve(topic)

    def head(self, topic: Topic) -> bytes:
        """What the values of a topic with one kind of event begin with, if they were written with our schema."""
        (head,) = (self._forms.get(topic.name) or self._resolve(topic)).readers
        return head

    def encode(self, topic: Topic, event: Event) -> bytes:
        """The bytes of an event of this topic."""
        form = self._forms.get(topic.name) or self._resolve(topic)
        return form.writers[type(event)](event)

    def decode(self, topic: Topic, data: bytes) -> Event:
        """The event in these bytes. Raises Undecodable, or RegistryAway if their schema could not be asked for."""
        form = self._forms.get(topic.name) or self._resolve(topic)
        read = form.readers.get(data[: form.head_size])
        if read is None:
            return self._decode_other(topic, form, data)
        event: Event
        try:
            event, end = read(data, form.head_size)
        except Exception as error:  # bytes from outside cause nearly any exception
            raise _unfit(form.schema_id, error) from error
        if end != len(data):
            raise Undecodable("bad-avro", f"the length is not what schema {form.schema_id} says")
        return event

    def _decode_other(self, topic: Topic, form: _Form, data: bytes) -> Event:
        """The event in bytes that do not begin as ours: another schema's, or none at all."""
        if len(data) < _PREFIX.size or data[0] != 0:
            raise Undecodable(
                "not-avro", "does not begin with the zero byte and schema id of the Confluent wire format"
            )
        schema_id = _PREFIX.unpack_from(data)[1]
        written_with = form.schema if schema_id == form.schema_id else self._writer(schema_id)
        body = io.BytesIO(data)
        body.seek(_PREFIX.size)
        try:
            if len(topic.events) == 1:
                kind, fields = topic.events[0], fastavro.schemaless_reader(body, written_with, form.schema)
            else:
                name, fields = fastavro.schemaless_reader(body, written_with, form.schema, return_record_name=True)
                kind = next(k for k in topic.events if name == f"staffel.{k.__name__}")
            event = msgspec.convert(fields, kind)
        except Exception as error:  # as above
            raise _unfit(schema_id, error) from error
        if body.read(1):
            raise Undecodable("bad-avro", f"bytes left over after reading with schema {schema_id}")
        return event

    def _resolve(self, topic: Topic) -> _Form:
        schema_id = self._registry.id_of(self._subject(topic), schema_text(topic))
        prefix = _PREFIX.pack(0, schema_id)
        branches = [b""] if len(topic.events) == 1 else [number(branch) for branch in range(len(topic.events))]
        kinds = [(kind, schema_of(kind), prefix + branch) for kind, branch in zip(topic.events, branches, strict=True)]
        self._forms[topic.name] = form = _Form(
            schema_id,
            parsed_schema(topic),
            len(prefix + branches[0]),
            {kind: writer(schema, kind, head) for kind, schema, head in kinds},
            {head: reader(schema, kind) for kind, schema, head in kinds},
        )
        return form

    def _writer(self, schema_id: int) -> Any:
        if schema_id not in self._writers:
            try:
                text = self._registry.schema_by_id(schema_id)
            except LookupError as error:
                raise Undecodable("unknown-schema", f"the registry knows no schema {schema_id}") from error
            try:
                self._writers[schema_id] = fastavro.parse_schema(json.loads(text))
            except Exception as error:
                raise Undecodable("unknown-schema", f"schema {schema_id} is not Avro") from error
        return self._writers[schema_id]

    def _subject(self, topic: Topic) -> str:
        return f"{topic.full_name(self._prefix)}-value"


def _unfit(schema_id: int, error: Exception) -> Undecodable:
    return Undecodable("bad-avro", f"schema {schema_id} does not fit: {type(error).__name__}")


def schema_of(event_type: type[Event]) -> dict[str, Any]:
    """The published Avro schema of an event, as in its ``.avsc`` file."""
    loaded: dict[str, Any] = json.loads((_AVRO / f"{event_type.__name__}.avsc").read_text("utf-8"))
    return loaded


@cache
def schema_text(topic: Topic) -> str:
    """The value schema of a topic as registered: its event's, or the union of its events'."""
    parts = [schema_of(kind) for kind in topic.events]
    return json.dumps(parts[0] if len(parts) == 1 else parts)


@cache
def parsed_schema(topic: Topic) -> Any:
    """The value schema of a topic, ready for fastavro."""
    return fastavro.parse_schema(json.loads(schema_text(topic)))


def headers_for(event: Event, *, source: str, time: datetime, subject: str) -> list[tuple[str, bytes]]:
    """CloudEvents 1.0 headers, Kafka binding, binary mode. The id follows from the event's content."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", id_of(event).encode()),
        ("ce_type", f"staffel.{type(event).__name__}".encode()),
        ("ce_source", source.encode()),
        ("ce_subject", subject.encode()),
        ("ce_time", time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()),
        ("content-type", b"application/avro"),
    ]


def header(headers: Sequence[tuple[str, bytes | None]] | Mapping[str, bytes] | None, name: str) -> str | None:
    """One header's text, or None."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    return next((value.decode("utf-8", "replace") for key, value in pairs if key == name and value is not None), None)
