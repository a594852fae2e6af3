"""Avro straight from and to the events: for each record of a schema a writer and a reader, made as source and compiled.

The source is flat, field by field in the schema's order, without a dict between bytes and event: several times as fast
as a library that looks at the schema for each value. ``sources`` shows it.

Only what our schemas use is known; any other type is refused at compile time. Bytes that another version of a schema
wrote are not read here but in ``codec``. A reader raises some exception for bytes that are not what the schema says;
it is told nothing of what may follow them, so whoever calls it compares where it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, get_args

import msgspec

Writer = Callable[[Any], bytes]
Reader = Callable[..., tuple[Any, int]]
"""Bytes and where to begin in them; answers the event and where it ends."""

# --- what the compiled source calls -----------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.date().toordinal()
_MILLISECOND = timedelta(milliseconds=1)


_PAIRS = tuple(bytes((pair & 127 | 128, pair >> 7 | 128)) for pair in range(1 << 14))
_LAST = tuple(bytes((pair & 127 | 128, pair >> 7)) if pair > 127 else bytes((pair,)) for pair in range(1 << 14))


def number(value: int) -> bytes:
    """An Avro int or long: zigzag, then seven bits a byte, the lowest first. Here two bytes at a time."""
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError(f"{value} does not fit into a long")
    rest = value << 1 if value >= 0 else ~(value << 1)
    out = b""
    while rest >> 14:
        out += _PAIRS[rest & 16383]
        rest >>= 14
    return out + _LAST[rest]


class _Numbers(dict[int, bytes]):
    """The bytes of any number; those of small ones are at hand."""

    def __missing__(self, value: int) -> bytes:
        return number(value)


_NUMBER = _Numbers((value, number(value)) for value in range(-256, 4096))


@lru_cache(maxsize=4096)
def _day_bytes(day: date) -> bytes:
    return number(day.toordinal() - _EPOCH_DAY)


@lru_cache(maxsize=1024)
def _instant_bytes(instant: datetime) -> bytes:
    return number((instant - _EPOCH) // _MILLISECOND)


def text(value: str) -> bytes:
    """An Avro string."""
    encoded = value.encode()
    return _NUMBER[len(encoded)] + encoded


def _number_at(data: bytes, at: int) -> tuple[int, int]:
    found = shift = 0
    while (byte := data[at]) > 127:
        found += byte - 128 << shift
        shift += 7
        at += 1
    found += byte << shift
    if found >> 64:
        raise ValueError("a number of more than 64 bits")
    return found >> 1 ^ -(found & 1), at + 1


def _size_at(data: bytes, at: int) -> tuple[int, int]:
    size, at = _number_at(data, at)
    if size < 0:
        raise ValueError("a size or an index below zero")
    return size, at


def _count_at(data: bytes, at: int) -> tuple[int, int]:
    """How many items follow in an array's block. Below zero the block's length in bytes stands after it."""
    count, at = _number_at(data, at)
    if count < 0:
        _, at = _number_at(data, at)
    return abs(count), at


@lru_cache(maxsize=4096)
def _day(number: int) -> date:
    return date.fromordinal(number + _EPOCH_DAY)


_HELPERS: Mapping[str, Any] = {
    "NUMBER": _NUMBER,
    "text": text,
    "day_bytes": _day_bytes,
    "instant_bytes": _instant_bytes,
    "number_at": _number_at,
    "size_at": _size_at,
    "count_at": _count_at,
    "day": _day,
    "EPOCH": _EPOCH,
    "timedelta": timedelta,
}

# --- the compiler -----------------------------------------------------------------------------------------------------


def writer(schema: Mapping[str, Any], kind: type[msgspec.Struct], head: bytes = b"", skip: int = 0) -> Writer:
    """A function from an event to ``head`` and its bytes, without those of its first ``skip`` fields."""
    made = _Made()
    made.names["head"] = head
    fields = schema["fields"][skip:]
    return made.function("write", _write_source("write", ["head"] * bool(head), fields, kind, made))


def reader(
    schema: Mapping[str, Any], kind: type[msgspec.Struct], skip: int = 0, only: Sequence[str] | None = None
) -> Reader:
    """A function from bytes to an event. Its first ``skip`` fields are not in the bytes; they are told beforehand:
    ``read(data, at, *skipped)``. With ``only``, it answers a tuple of these fields, and the others are passed over.
    """
    made = _Made()
    return made.function("read", _read_source("read", schema["fields"], kind, made, skip, only))


class _Made:
    """The functions made so far, and the names that their source knows."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = dict(_HELPERS)
        self.source: list[str] = []

    def function(self, name: str, source: Sequence[str]) -> Callable[..., Any]:
        self.source += [*source, ""]
        # The names in it come from our own schema files, and become local variables of our own functions.
        exec("\n".join(source), self.names)  # noqa: S102
        made: Callable[..., Any] = self.names[name]
        return made


def _write_source(
    name: str, parts: list[str], fields: Sequence[Any], kind: type[msgspec.Struct], made: _Made
) -> list[str]:
    hints = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for field in fields:
        parts += _written(field["type"], hints[field["name"]], f"event.{field['name']}", made)
    return [f"def {name}(event):", "    return b''.join((", *(f"        {part}," for part in parts), "    ))"]


def _written(said: Any, hint: Any, value: str, made: _Made) -> list[str]:
    """Expressions whose bytes, one after the other, are the value."""
    match said:
        case "string":
            return [f"NUMBER[len(s := {value}.encode())]", "s"]
        case "bytes":
            return [f"NUMBER[len({value})]", value]
        case "int" | "long":
            return [f"NUMBER[{value}]"]
        case "boolean":
            return [f"b'\\1' if {value} else b'\\0'"]
        case {"logicalType": "date"}:
            return [f"day_bytes({value})"]
        case {"logicalType": "timestamp-millis"}:
            return [f"instant_bytes({value})"]
        case {"type": "enum", "name": name, "symbols": symbols}:
            made.names[f"{name}_bytes"] = {hint(symbol): number(index) for index, symbol in enumerate(symbols)}
            return [f"{name}_bytes[{value}]"]
        case {"type": "array", "items": items}:
            each = _write_item(items, get_args(hint)[0], made)
            return [f"*((NUMBER[len({value})], *map({each}, {value}), b'\\0') if {value} else (b'\\0',))"]
        case ["null", other]:
            inner = ", ".join(_written(other, _present(hint), value, made))
            return [f"*((b'\\0',) if {value} is None else (b'\\2', {inner}))"]
    raise TypeError(f"no way to write {said!r}")


def _write_item(said: Any, hint: Any, made: _Made) -> str:
    """The name of a function that writes an item of an array."""
    match said:
        case "string":
            return "text"
        case {"type": "record", "name": name, "fields": fields}:
            made.function(f"write_{name}", _write_source(f"write_{name}", [], fields, hint, made))
            return f"write_{name}"
    raise TypeError(f"no way to write an array of {said!r}")


def _read_source(
    name: str,
    fields: Sequence[Any],
    kind: type[msgspec.Struct],
    made: _Made,
    skip: int = 0,
    only: Sequence[str] | None = None,
) -> list[str]:
    hints = {field.name: field.type for field in msgspec.structs.fields(kind)}
    told = [field["name"] for field in fields[:skip]] if only is None else []
    if only is None:
        made.names[kind.__name__] = kind
        answer = f"{kind.__name__}({', '.join(hints)})"
    else:
        answer = f"({', '.join(only)},)"
    body: list[str] = []
    for field in fields[skip:]:
        kept = only is None or field["name"] in only
        body += _read(field["type"], hints[field["name"]], field["name"] if kept else None, made)
    return [f"def {name}({', '.join(['data', 'at', *told])}):", *_indented(body), f"    return {answer}, at"]


def _read(said: Any, hint: Any, name: str | None, made: _Made) -> list[str]:
    """Statements that read a value into a variable, or with no name pass over it, and move ``at`` behind it."""
    into = name or "passed"
    match said:
        case "string" | "bytes":
            taken = [f"{name} = data[at:end]{'.decode()' if said == 'string' else ''}"] if name else []
            return [*_SIZE, "end = at + size", *taken, "at = end"]
        case "int" | "long" | {"logicalType": "date" | "timestamp-millis"} if name is None:
            return ["while data[at] > 127:", "    at += 1", "at += 1"]
        case "int" | "long":
            return [
                "if (byte := data[at]) < 128:",
                f"    {name} = byte >> 1 ^ -(byte & 1)",
                "    at += 1",
                "else:",
                f"    {name}, at = number_at(data, at)",
            ]
        case "boolean":
            return [f"{into} = data[at] != 0", "at += 1"]
        case {"logicalType": "date" | "timestamp-millis" as logical}:
            made_of = "day(value)" if logical == "date" else "EPOCH + timedelta(0, 0, 0, value)"
            return ["value, at = number_at(data, at)", f"{name} = {made_of}"]
        case {"type": "enum", "name": enum, "symbols": symbols}:
            made.names[f"{enum}_values"] = tuple(map(hint, symbols))
            return [*_SIZE, f"{into} = {enum}_values[size]"]
        case {"type": "array", "items": items}:
            return [
                "if data[at] == 0:",
                f"    {into} = ()",
                "    at += 1",
                "else:",
                "    items = []",
                "    count, at = count_at(data, at)",
                "    while count:",
                "        for _ in range(count):",
                *_indented(_read(items, get_args(hint)[0], "item", made), 3),
                "            items.append(item)",
                "        count, at = count_at(data, at)",
                f"    {into} = tuple(items)",
            ]
        case {"type": "record", "name": record, "fields": fields}:
            made.function(f"read_{record}", _read_source(f"read_{record}", fields, hint, made))
            return [f"{into}, at = read_{record}(data, at)"]
        case ["null", other]:
            return [
                *_SIZE,
                "if size == 0:",
                f"    {into} = None",
                "elif size == 1:",
                *_indented(_read(other, _present(hint), name, made)),
                "else:",
                "    raise ValueError('no such branch')",
            ]
    raise TypeError(f"no way to read {said!r}")


_SIZE = (
    "if (size := data[at]) & 129:",  # more than one byte, or below zero
    "    size, at = size_at(data, at)",
    "else:",
    "    size >>= 1",
    "    at += 1",
)


def _present(hint: Any) -> Any:
    """The type of a value that may also be None, when it is not."""
    return next(part for part in get_args(hint) if part is not type(None))


def _indented(lines: Sequence[str], levels: int = 1) -> Iterator[str]:
    return ("    " * levels + line for line in lines)


def sources(schema: Mapping[str, Any], kind: type[msgspec.Struct]) -> str:
    """What is compiled for a record, to be looked at."""
    made = _Made()
    made.function("write", _write_source("write", ["head"], schema["fields"], kind, made))
    made.function("read", _read_source("read", schema["fields"], kind, made))
    return "\n".join(made.source)
