"""A service's database: SQLite by default, PostgreSQL in production; the same code and tests on both."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import DateTime, Dialect, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.types import TypeDecorator

from deploy.runtime.errors import NotReady, UsageError


class Instant(TypeDecorator[datetime]):
    """An instant in UTC. SQLite knows no zones, so it is kept without one and given back with it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def open_engine(url: str, migrations: Path | None = None) -> Engine:
    """Connect, and bring the tables up to date if ``migrations`` says how.

    Raises UsageError for a URL that is none, NotReady if the database does not answer.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageError(
            "the database URL can't be read", "write it like postgresql+psycopg://user@host/name"
        ) from None
    if parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise UsageError(f"no support for {parsed.get_backend_name()} databases", "use sqlite or postgresql+psycopg")
    engine = create_engine(parsed, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _durable_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    try:
        if migrations is not None:
            migrate(engine, migrations)
        else:
            engine.connect().close()
    except OperationalError as error:
        raise NotReady(
            f"the database at {parsed.render_as_string(hide_password=True)} does not answer: {error.orig}"
        ) from None
    return engine


def reading(engine: Engine) -> Engine:
    """The same database, for queries only: on SQLite they neither wait for a writer nor hold one up."""
    return engine.execution_options(reads_only=True)


def migrate(engine: Engine, migrations: Path) -> None:
    """Apply every migration that the database has not seen. Two processes may try at once: one waits."""
    config = Config()
    config.set_main_option("script_location", str(migrations))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7203)")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def run_migrations(metadata: Any) -> None:
    """The body of a service's ``migrations/env.py``."""
    from alembic import context

    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        render_as_batch=True,
        transactional_ddl=False,  # the transaction is the caller's
    )
    context.run_migrations()


def upsert(table: Table, engine: Engine) -> Any:
    """An INSERT that can say ``on_conflict_do_update`` or ``on_conflict_do_nothing`` in this engine's dialect."""
    return sqlite.insert(table) if engine.dialect.name == "sqlite" else postgresql.insert(table)


def _durable_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions on its own: see _begin_immediate
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    # A deferred transaction that reads and then writes can fail at its first write; an immediate one waits its turn.
    reads_only = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
