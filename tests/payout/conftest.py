"""What the tests of payout share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import database_url  # noqa: F401  # a fixture
from tests.payout.office import Office


@pytest.fixture
def office(tmp_path: Path, database_url: str) -> Iterator[Office]:  # noqa: F811
    """An empty payout office, on each kind of database."""
    opened = Office(tmp_path, database_url)
    yield opened
    opened.engine.dispose()
