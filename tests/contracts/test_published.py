"""A published schema never changes, and today's reads and is read by every one of them."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

from schemas.codec import schema_text
from schemas.topics import QUARTER_CLOSES, Topic
from tests.contracts.published import FOLDER, TOPICS_WITH_SCHEMA, versions

each_topic = pytest.mark.parametrize("topic", TOPICS_WITH_SCHEMA, ids=lambda topic: topic.name)


def test_no_published_schema_was_edited_or_removed() -> None:
    lines = [line.split() for line in (FOLDER / "SHA256SUMS").read_text("utf-8").splitlines()]
    sums = {path: sha256 for sha256, path in lines}
    found = {
        str(path.relative_to(FOLDER)): hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.rglob("*.avsc")
    }
    assert found == sums


@each_topic
def test_versions_are_numbered_without_gap_and_the_last_is_todays(topic: Topic) -> None:
    published = versions(topic)
    assert [number for number, _ in published] == list(range(1, len(published) + 1))
    assert json.loads(published[-1][1]) == json.loads(schema_text(topic)), "publish it: see schemas/README.md"


@each_topic
def test_todays_schema_and_every_published_one_read_each_other(topic: Topic) -> None:
    today = schema_text(topic)
    for number, text in versions(topic):
        assert incompatibilities(reader=today, writer=text) == set(), f"can't read what version {number} wrote"
        assert incompatibilities(reader=text, writer=today) == set(), f"version {number} can't read what is written now"


@each_topic
def test_no_field_changed_its_meaning_between_versions(topic: Topic) -> None:
    today = meanings(json.loads(schema_text(topic)))
    for number, text in versions(topic):
        for path, meaning in meanings(json.loads(text)).items():
            assert today.get(path, meaning) == meaning, f"{path} meant something else in version {number}"


def test_the_gate_notices_what_a_registry_notices() -> None:
    old = schema_text(QUARTER_CLOSES)
    without_default = _edited(old, lambda fields: fields.append({"name": "extra", "type": "string"}))
    assert incompatibilities(reader=without_default, writer=old)
    removed = _edited(old, lambda fields: fields.pop(0))
    assert incompatibilities(reader=old, writer=removed)


def test_the_gate_notices_what_a_registry_waves_through() -> None:
    old = json.loads(schema_text(QUARTER_CLOSES))
    instant = next(f for f in old["fields"] if f["name"] == "closed_at")["type"]
    for field, edited in (
        ("closed_at", {**instant, "logicalType": "timestamp-micros"}),
        ("closed_at", "long"),
        ("rebate_minor", {"type": "long", "logicalType": "timestamp-millis"}),
    ):
        new = copy.deepcopy(old)
        next(f for f in new["fields"] if f["name"] == field)["type"] = edited
        assert incompatibilities(json.dumps(new), json.dumps(old)) == set(), "no registry would refuse this"
        assert meanings(new) != meanings(old)


def incompatibilities(reader: str, writer: str) -> set[str]:
    """What keeps a reader with one schema from reading what was written with another, by the reference library.

    It compares names without their namespace, and looks at no logical type: ``meanings`` does both.
    """
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(parse(reader), parse(writer))
    return set() if result.compatibility is SchemaCompatibilityType.compatible else result.messages


def meanings(schema: Any) -> dict[str, Any]:
    """For each field, by path, what its number or text stands for: base type, logical type and its parameters."""
    return dict(_walk("", schema))


def _walk(path: str, schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, list):
        names = [branch["name"] if isinstance(branch, dict) and "name" in branch else "" for branch in schema]
        for name, branch in zip(names, schema, strict=True):
            yield from _walk(f"{path}/{name}" if name else path, branch)
    elif isinstance(schema, str):
        if schema != "null":
            yield path, {"type": schema}
    elif schema["type"] == "record":
        yield f"{path}/", {"type": "record", "name": schema["name"], "namespace": schema.get("namespace")}
        for field in schema["fields"]:
            yield from _walk(f"{path}/{field['name']}", field["type"])
    elif schema["type"] == "array":
        yield from _walk(f"{path}[]", schema["items"])
    elif schema["type"] == "enum":
        yield path, {"type": "enum", "name": schema["name"]}
    else:
        yield path, {key: schema[key] for key in ("type", "logicalType", "scale", "precision", "size") if key in schema}


def _edited(schema: str, edit: Any) -> str:
    loaded = json.loads(schema)
    edit(loaded["fields"])
    return json.dumps(loaded)
