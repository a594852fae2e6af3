"""The published schemas, as committed under ``schemas/published``."""

from __future__ import annotations

from pathlib import Path

from schemas.topics import TOPICS, Topic

FOLDER = Path(__file__).parents[2] / "schemas" / "published"
TOPICS_WITH_SCHEMA = tuple(topic for topic in TOPICS if topic.events)


def versions(topic: Topic) -> list[tuple[int, str]]:
    """Number and text of each published version of a topic's schema, oldest first."""
    files = (FOLDER / f"{topic.name}-value").glob("*.avsc")
    return sorted((int(path.stem), path.read_text("utf-8")) for path in files)
