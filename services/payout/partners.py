"""The projection of ``partners``, and of what they chose: who a statement is addressed to, and in what language; and
what a verdict needs to know of him."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from schemas.events import Partner, PreferencesChanged
from services.kit.consumer import Batch
from services.kit.database import upsert
from services.kit.speech import known_language
from services.payout.tables import languages, partners

_COLUMNS = ("name", "language", "country", "registered_on", "left_on")


def project(batch: Batch) -> None:
    """Handle a batch of ``partners``. Who is to be forgotten is forgotten here too; documents issued to him stay."""
    latest = {record.key: record.event for record in batch.received}
    rows = [
        {"partner_id": key} | {name: _storable(getattr(event, name)) for name in _COLUMNS}
        for key, event in sorted(latest.items())
        if isinstance(event, Partner)
    ]
    gone = [key for key, event in latest.items() if event is None]
    if rows:
        statement = upsert(partners, batch.connection.engine)
        new = {name: statement.excluded[name] for name in _COLUMNS}
        batch.connection.execute(statement.on_conflict_do_update(index_elements=["partner_id"], set_=new), rows)
    if gone:
        for table in (partners, languages):
            batch.connection.execute(delete(table).where(table.c.partner_id.in_(gone)))


def choose(batch: Batch) -> None:
    """Handle a batch of ``preferences``: what language a partner chose. Of what else he chose, nothing concerns us."""
    latest = {record.key: record.event for record in batch.received}
    rows = [
        {"partner_id": key, "language": known_language(event.chosen_language)}
        for key, event in sorted(latest.items())
        if isinstance(event, PreferencesChanged)
    ]
    if rows:
        statement = upsert(languages, batch.connection.engine)
        new = {"language": statement.excluded.language}
        batch.connection.execute(statement.on_conflict_do_update(index_elements=["partner_id"], set_=new), rows)


def _storable(value: Any) -> Any:
    return value.replace("\0", " ") if isinstance(value, str) else value  # PostgreSQL keeps no NUL in a text


def known(connection: Connection, partner_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """What is known of these partners, as far as anything is. ``chosen_language``: None or empty if there is none."""
    rows: Sequence[Row[Any]] = connection.execute(
        select(partners, languages.c.language.label("chosen_language"))
        .select_from(partners.outerjoin(languages, languages.c.partner_id == partners.c.partner_id))
        .where(partners.c.partner_id.in_(partner_ids))
    ).all()
    return {row.partner_id: row for row in rows}
