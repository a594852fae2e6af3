"""What the tests of the bank's answers share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import sqlite_url
from tests.payout.office import Office


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Office]:
    """An office on SQLite alone, for what differs in the bank's words and not in what the database is asked."""
    opened = Office(tmp_path, sqlite_url(tmp_path))
    yield opened
    opened.engine.dispose()
