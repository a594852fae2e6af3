"""The structs that our code works with say the same as the schemas that the others work with."""

from __future__ import annotations

import types
import typing
from datetime import date, datetime
from enum import Enum, EnumType
from typing import Any

import msgspec
import pytest

from schemas.codec import schema_of
from schemas.events import Event
from tests.contracts.published import TOPICS_WITH_SCHEMA

EVENTS = tuple(dict.fromkeys(kind for topic in TOPICS_WITH_SCHEMA for kind in topic.events))
DATE = {"type": "int", "logicalType": "date"}
INSTANT = {"type": "long", "logicalType": "timestamp-millis"}
PLAIN: dict[Any, list[Any]] = {
    date: [DATE],
    datetime: [INSTANT],
    str: ["string"],
    int: ["int", "long"],
    bool: ["boolean"],
    bytes: ["bytes"],
}
each_event = pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)


@each_event
def test_struct_and_schema_have_the_same_fields_in_the_same_order(event: type[Event]) -> None:
    assert_same(event, schema_of(event))


@each_event
def test_money_is_a_long_of_minor_units_beside_a_currency(event: type[Event]) -> None:
    types_of = {field["name"]: field["type"] for field in schema_of(event)["fields"]}
    money = {name for name in types_of if name.endswith("_minor")}
    assert all(types_of[name] == "long" for name in money)
    assert not money or types_of["currency"] == "string"
    assert not any(kind in ("float", "double") for kind in types_of.values())


@each_event
def test_a_day_is_a_date_and_everything_else_in_time_is_an_instant(event: type[Event]) -> None:
    for field in schema_of(event)["fields"]:
        name, kind = field["name"], _without_null(field["type"])
        if name.endswith("_on") or name == "execution_date":
            assert kind == DATE, name
        if name.endswith("_at") or name == "as_of":
            assert kind == INSTANT, name


def assert_same(struct: type[msgspec.Struct], schema: dict[str, Any]) -> None:
    assert schema["name"] == struct.__name__
    assert schema.get("namespace", "staffel") == "staffel"
    fields = msgspec.structs.fields(struct)
    assert [field["name"] for field in schema["fields"]] == [field.name for field in fields]
    hints = typing.get_type_hints(struct)
    for field, said in zip(fields, schema["fields"], strict=True):
        _assert_type(hints[field.name], said["type"], f"{struct.__name__}.{field.name}")
        if field.default is not msgspec.NODEFAULT:
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            assert said["default"] == default, f"{struct.__name__}.{field.name}"


def _assert_type(hint: Any, said: Any, where: str) -> None:
    if isinstance(hint, types.UnionType):
        assert said[0] == "null", f"{where}: null comes first, or it could not be the default"
        assert len(said) == 2
        _assert_type(next(a for a in typing.get_args(hint) if a is not types.NoneType), said[1], where)
    elif typing.get_origin(hint) is tuple:
        assert said["type"] == "array"
        _assert_type(typing.get_args(hint)[0], said["items"], where)
    elif isinstance(hint, EnumType):
        symbols = [str(member.value) for member in list[Enum](hint)]
        assert said == {"type": "enum", "name": hint.__name__, "symbols": symbols, "default": "UNKNOWN"}, where
    elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        assert_same(hint, said)
    else:
        assert said in PLAIN[hint], where


def _without_null(kind: Any) -> Any:
    return next(branch for branch in kind if branch != "null") if isinstance(kind, list) else kind
