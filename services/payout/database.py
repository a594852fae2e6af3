"""Opens the payout service's database, its tables up to date."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, inspect
from sqlalchemy.engine import make_url

from deploy.runtime.errors import NotReady
from deploy.runtime.settings import Settings
from services.kit.database import open_engine, reading
from services.payout.tables import obligations


def open_database(settings: Settings) -> Engine:
    """Connect to the database of ``settings.payout_db_url``. Raises NotReady if it does not answer."""
    return open_engine(settings.payout_db_url, migrations=Path(__file__).parent / "migrations")


def look_into_database(settings: Settings) -> Engine:
    """The same to be read only: nothing is made. Raises NotReady also if payout was never started on it."""
    url = make_url(settings.payout_db_url)
    hint = "is --data right? payout makes its database at its start: ./staffel up"
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise NotReady(f"there is no payout database at {url.database}", hint)
    engine = reading(open_engine(settings.payout_db_url))
    if not inspect(engine).has_table(obligations.name):
        raise NotReady("the payout database is empty", hint)
    return engine
