"""Opens the payout service's database, its tables up to date."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from deploy.runtime.settings import Settings
from services.kit.database import open_engine


def open_database(settings: Settings) -> Engine:
    """Connect to the database of ``settings.payout_db_url``. Raises NotReady if it does not answer."""
    return open_engine(settings.payout_db_url, migrations=Path(__file__).parent / "migrations")
