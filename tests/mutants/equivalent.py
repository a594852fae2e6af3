"""The changes that no test can notice, each with the reason why. The list is held against the code at every run."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from tests.mutants.changes import Change

LIST = Path(__file__).with_name("equivalent.toml")


class Equivalent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes of one place that change nothing. ``scope``, ``before`` and ``after`` are as a run prints them."""

    module: str
    scope: str
    before: str
    after: str
    reason: str

    def is_of(self, change: Change) -> bool:
        """Whether this is the change meant."""
        return (self.scope, self.before, self.after) == (change.scope, change.before, change.after)


def listed(module: str, source: Path = LIST) -> list[Equivalent]:
    """What is listed of a module."""
    said = msgspec.convert(tomllib.loads(source.read_text("utf-8")).get("equivalent", []), list[Equivalent])
    return [each for each in said if each.module == module]
