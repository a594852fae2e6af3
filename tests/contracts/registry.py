"""The published schemas as a registry, so that bytes can be read without a server."""

from __future__ import annotations

import json

from schemas.topics import Topic
from tests.contracts.published import TOPICS_WITH_SCHEMA, versions


class PublishedSchemas:
    """Knows every published version, numbered 1, 2, … in the order of the topic table."""

    def __init__(self) -> None:
        self._texts = [
            (f"{topic.name}-value", number, json.dumps(json.loads(text)))
            for topic in TOPICS_WITH_SCHEMA
            for number, text in versions(topic)
        ]

    def register(self, subject: str, schema: str) -> int:
        """The schema's id, if it is a published one."""
        return self.id_of(subject, schema)

    def id_of(self, subject: str, schema: str) -> int:
        """The id of the latest version with this text."""
        return max(i for i, (s, _, text) in enumerate(self._texts, 1) if (s, text) == (subject, schema))

    def schema_by_id(self, schema_id: int) -> str:
        """The text with this id."""
        if not 1 <= schema_id <= len(self._texts):
            raise LookupError(schema_id)
        return self._texts[schema_id - 1][2]

    def id_of_version(self, topic: Topic, version: int) -> int:
        """The id of one version of a topic's schema."""
        found = [(subject, number) for subject, number, _ in self._texts]
        return found.index((f"{topic.name}-value", version)) + 1
