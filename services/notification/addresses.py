"""The addresses that a partner had until recently: they hear of changed bank details too."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from schemas.events import Partner
from services.kit.consumer import Batch
from services.kit.database import upsert
from services.notification.tables import former_addresses, partners

KEPT = timedelta(days=90)
_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")


def one_line(text: str) -> str:
    """What comes from outside, without the characters that mean something to a mail or a database."""
    return _CONTROL.sub(" ", text).strip()[:200]


def remember(batch: Batch, before: Mapping[str, str]) -> None:
    """Keep each address that these records of ``partners`` replace. ``before`` is what they find: one a partner."""
    present, replaced = dict(before), dict[tuple[str, str], datetime]()
    for record in batch.received:
        left = present.pop(record.key, "")
        if not isinstance(record.event, Partner):
            continue  # erased
        present[record.key] = one_line(record.event.email)
        if left and left != present[record.key]:
            replaced[record.key, left] = record.recorded_at
    if not replaced:
        return
    statement = upsert(former_addresses, batch.connection.engine)
    batch.connection.execute(
        statement.on_conflict_do_update(
            index_elements=["partner_id", "email"], set_={"until": statement.excluded.until}
        ),
        [{"partner_id": id_, "email": email, "until": until} for (id_, email), until in replaced.items()],
    )
    oldest = max(replaced.values()) - KEPT
    batch.connection.execute(delete(former_addresses).where(former_addresses.c.until < oldest))


class Former(NamedTuple):
    """An address that was a partner's until then."""

    email: str
    until: datetime

    def is_recent(self, at: datetime) -> bool:
        """Whether he was reached there within the last ninety days."""
        return self.until >= at - KEPT


def former(connection: Connection, partner_ids: Collection[str]) -> dict[str, list[Former]]:
    """The addresses that are kept of these partners and are not the present one, the latest first."""
    rows = connection.execute(
        select(former_addresses)
        .join(partners, partners.c.partner_id == former_addresses.c.partner_id)
        .where(former_addresses.c.partner_id.in_(partner_ids), former_addresses.c.email != partners.c.email)
        .order_by(former_addresses.c.until.desc(), former_addresses.c.email)
    )
    found: dict[str, list[Former]] = {}
    for row in rows:
        found.setdefault(row.partner_id, []).append(Former(row.email, row.until))
    return found


def forget(connection: Connection, partner_ids: Collection[str]) -> None:
    """Of who is erased, nothing is kept."""
    connection.execute(delete(former_addresses).where(former_addresses.c.partner_id.in_(partner_ids)))
