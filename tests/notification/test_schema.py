"""The migrations make the tables that the code believes in."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from services.notification.tables import metadata


def test_migrated_schema_is_the_metadata(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_sender_does_not_wait_for_the_disk_but_the_reader_does(engine: Engine, outgoing: Engine) -> None:
    question = "PRAGMA synchronous" if engine.dialect.name == "sqlite" else "SHOW synchronous_commit"
    answers = {"sqlite": (2, 1), "postgresql": ("off", "off")}  # the tests' PostgreSQL never waits
    found = []
    for opened in (engine, outgoing):
        with opened.connect() as connection:
            found.append(connection.exec_driver_sql(question).scalar())
    assert tuple(found) == answers[engine.dialect.name]
