"""The addresses that a partner had until recently: they hear of changed bank details too."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from services.kit.database import upsert
from services.notification.tables import former_addresses, partners

KEPT = timedelta(days=90)


class Former(NamedTuple):
    """An address that was a partner's until then."""

    email: str
    until: datetime

    def is_recent(self, at: datetime) -> bool:
        """Whether he was reached there within the last ninety days."""
        return self.until >= at - KEPT


class Change(NamedTuple):
    """What a record of ``partners`` says: the address from now on, or None for a partner who was erased."""

    partner_id: str
    email: str | None
    at: datetime


def remember(connection: Connection, before: Mapping[str, str], changes: Collection[Change]) -> None:
    """Keep each address that these changes replace, in their order. ``before`` is what they find: one a partner."""
    present, replaced = dict(before), dict[tuple[str, str], datetime]()
    for change in changes:
        left = present.pop(change.partner_id, "")
        if change.email is None:
            continue
        present[change.partner_id] = change.email
        if left and left != change.email:
            replaced[change.partner_id, left] = change.at
    oldest = max(change.at for change in changes) - KEPT
    connection.execute(delete(former_addresses).where(former_addresses.c.until < oldest))
    if not replaced:
        return
    statement = upsert(former_addresses, connection.engine)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["partner_id", "email"], set_={"until": statement.excluded.until}
        ),
        [{"partner_id": id_, "email": email, "until": until} for (id_, email), until in replaced.items()],
    )


def addresses(connection: Connection, partner_ids: Collection[str]) -> dict[str, list[Former]]:
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
