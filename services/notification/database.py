"""The database as the sender opens it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

from services.kit.database import open_engine


def open_for_sending(url: str) -> Engine:
    """The service's database, with commits that outlive a crash of the process but need not outlive a power cut.

    "Sent" is written between two mails. Without waiting for the disk the moment in which a crash repeats a mail is a
    fraction of a millisecond; after a power cut the last mails go out again, under the Message-IDs that they had.
    """
    engine = open_engine(url)
    engine.dispose()  # a connection made before the next line would not know
    event.listen(engine, "connect", _hasty_sqlite if engine.dialect.name == "sqlite" else _hasty_postgresql)
    return engine


def _hasty_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL").close()


def _hasty_postgresql(connection: Any, _record: Any) -> None:
    connection.execute("SET synchronous_commit TO off").close()
    connection.commit()
