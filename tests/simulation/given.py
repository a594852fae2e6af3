"""What is the same in all runs: schemas and their ids, settings, the programme."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from deploy.runtime.settings import ROOT, Settings, load
from schemas.codec import Codec
from schemas.topics import TOPICS
from streams.rules.terms import Programme, parse

PREFIX = "s."


class Registry:
    """Ids for schemas, as a registry gives them."""

    def __init__(self) -> None:
        self._schemas: list[str] = []

    def register(self, _subject: str, schema: str) -> int:
        if schema not in self._schemas:
            self._schemas.append(schema)
        return self._schemas.index(schema) + 1

    id_of = register

    def schema_by_id(self, schema_id: int) -> str:
        if not 0 < schema_id <= len(self._schemas):
            raise LookupError(f"no schema {schema_id}")
        return self._schemas[schema_id - 1]


@cache
def codec() -> Codec:
    """One for all runs: what it learns of schemas does not change."""
    shared = Codec(Registry(), PREFIX)
    shared.register()
    shared.resolve(topic for topic in TOPICS if topic.events)
    return shared


@cache
def settings(partitions: int) -> Settings:
    return load({"topic_prefix": PREFIX, "partitions": partitions, "data": Path(tempfile.gettempdir())}, {}).settings


@cache
def programme_text(grace_days: int = 28) -> str:
    """The programme that ships, or with other days of grace: with 0 or 90 two closes fall on the same instant."""
    return (ROOT / "programme.toml").read_text("utf-8").replace("grace_days = 28 ", f"grace_days = {grace_days} ")


@cache
def programme(grace_days: int = 28) -> Programme:
    return parse(programme_text(grace_days))
