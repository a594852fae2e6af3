"""Opens the payout service's database, its tables up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, OperationalError, ProgrammingError

from deploy.runtime.errors import NotReady
from deploy.runtime.settings import Settings
from services.kit.database import open_engine, reading

_HINT = "the payout service makes it: is it running? see ./staffel status, or name its folder with --data"


def open_database(settings: Settings) -> Engine:
    """Connect to the database of ``settings.payout_db_url``. Raises NotReady if it does not answer."""
    return open_engine(settings.payout_db_url, migrations=Path(__file__).parent / "migrations")


@contextmanager
def existing(settings: Settings) -> Iterator[Engine]:
    """The same for a command that has no business without it: makes nothing, not even a table.

    Raises NotReady, also later on, if the database is not there or has no tables yet.
    """
    url = make_url(settings.payout_db_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise NotReady(f"there is no payout database at {url.database}", _HINT)
    try:
        engine = open_engine(settings.payout_db_url)
    except DatabaseError as error:
        raise NotReady(f"{url.database} is no database: {error.orig}", "put it aside and restore a backup") from None
    try:
        yield engine
    except (OperationalError, ProgrammingError) as error:
        raise NotReady(f"the payout database can't be read: {error.orig}", _HINT) from None
    finally:
        engine.dispose()


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection for queries only, on which all of them see the same moment."""
    options = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with reading(engine).execution_options(**options).connect() as connection:
        yield connection


@contextmanager
def looking(settings: Settings) -> Iterator[Connection]:
    """Both at once: a snapshot of the database that there must be."""
    with existing(settings) as engine, snapshot(engine) as connection:
        yield connection
