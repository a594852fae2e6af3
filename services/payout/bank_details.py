"""Partners' bank details: checked, encrypted, every version kept.

For the command line: ``import_rows(open_database(settings), settings, rows, clock.now())`` answers one ``Outcome``
a row, in order. A dry run does the same and takes it back. No message here repeats an IBAN or a name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from schwifty import IBAN
from schwifty.exceptions import (
    InvalidChecksumDigits,
    InvalidCountryCode,
    InvalidLength,
    SchwiftyException,
)
from sqlalchemy import Connection, Engine, Select, func, insert, select

from deploy.runtime.settings import Settings
from schemas.values import PARTNER_ID
from services.kit.database import upsert
from services.payout.tables import bank_details, bank_details_invalid, checks
from services.payout.vault import Vault, open_vault

HOLDER_LENGTH_MAX = 140
_CHUNK = 1000


class Row(NamedTuple):
    """One row of an import, as read."""

    partner_id: str
    account_holder: str
    iban: str


class Outcome(NamedTuple):
    """What became of a row: ``new``, ``changed``, ``unchanged``, or ``refused`` with a code and a sentence."""

    result: str
    code: str = ""
    message: str = ""


class BankDetails(NamedTuple):
    """Where a partner's money goes."""

    version: int
    account_holder: str
    iban: str

    def __repr__(self) -> str:
        return f"BankDetails(version={self.version})"  # so that no traceback tells an IBAN


class BadDetails(ValueError):
    """The details can't be right. ``code`` is fit for a rejects file."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def import_rows(
    engine: Engine, settings: Settings, rows: Iterable[Row], at: datetime, dry_run: bool = False
) -> list[Outcome]:
    """Enter many details in one transaction. A bad row is refused and does not stop the others."""
    vault, waiting = open_vault(settings), iter(rows)
    outcomes: list[Outcome] = []
    with engine.connect() as connection, connection.begin() as transaction:
        while chunk := list(islice(waiting, _CHUNK)):
            outcomes += _enter(connection, vault, chunk, at)
        if dry_run:
            transaction.rollback()
    return outcomes


def _enter(connection: Connection, vault: Vault, rows: Sequence[Row], at: datetime) -> list[Outcome]:
    outcomes, versions = [], []
    known = current(connection, vault, [row.partner_id for row in rows])
    for row in rows:
        try:
            iban = _check(row)
        except BadDetails as bad:
            outcomes.append(Outcome("refused", bad.code, str(bad)))
            continue
        before = known.get(row.partner_id)
        after = BankDetails(before.version + 1 if before else 1, " ".join(row.account_holder.split()), str(iban))
        if before and before[1:] == after[1:]:
            outcomes.append(Outcome("unchanged"))
            continue
        known[row.partner_id] = after
        outcomes.append(Outcome("changed" if before else "new"))
        versions.append(
            {
                "partner_id": row.partner_id,
                "version": after.version,
                "sealed": vault.seal(json.dumps(after[1:]).encode(), _label(row.partner_id, after.version)),
                "masked": f"{iban.country_code}…{after.iban[-4:]}",
                "sepa": bool(iban.in_sepa_zone),
                "entered_at": at,
            }
        )
    if versions:
        connection.execute(insert(bank_details), versions)
        connection.execute(insert(checks), [{"partner_id": version["partner_id"]} for version in versions])
    return outcomes


def current(connection: Connection, vault: Vault, partner_ids: Sequence[str]) -> dict[str, BankDetails]:
    """The latest details of these partners, as far as there are any."""
    found = {}
    for row in connection.execute(_latest(partner_ids)):
        holder, iban = json.loads(vault.open(row.sealed, _label(row.partner_id, row.version)))
        found[row.partner_id] = BankDetails(row.version, holder, iban)
    return found


def in_sepa(connection: Connection, partner_ids: Sequence[str]) -> Mapping[str, bool]:
    """For each of these partners with details, whether his account can be paid by SEPA."""
    return {row.partner_id: row.sepa for row in connection.execute(_latest(partner_ids))}


def invalidate(connection: Connection, partner_id: str, version: int, reason: str, at: datetime) -> None:
    """Note that the bank could not pay to this version of a partner's details. The first reason stands."""
    connection.execute(
        upsert(bank_details_invalid, connection.engine)
        .values(partner_id=partner_id, version=version, reason=reason, at=at)
        .on_conflict_do_nothing()
    )


def _latest(partner_ids: Sequence[str]) -> Select[Any]:
    newest = (
        select(bank_details.c.partner_id, func.max(bank_details.c.version).label("version"))
        .where(bank_details.c.partner_id.in_(partner_ids))
        .group_by(bank_details.c.partner_id)
        .subquery()
    )
    return select(bank_details).join(
        newest,
        (bank_details.c.partner_id == newest.c.partner_id) & (bank_details.c.version == newest.c.version),
    )


def _check(row: Row) -> IBAN:
    if not PARTNER_ID.fullmatch(row.partner_id):
        raise BadDetails("bad-partner-id", "the partner id must be 1 to 64 of A-Z a-z 0-9 . _ -")
    holder = row.account_holder.strip()
    if not holder or not holder.isprintable() or len(holder) > HOLDER_LENGTH_MAX:
        raise BadDetails("bad-holder", f"the account holder must be 1 to {HOLDER_LENGTH_MAX} printable characters")
    text = "".join(row.iban.split()).upper()
    if not text:
        raise BadDetails("bad-iban", "the IBAN is missing")
    try:
        return IBAN(text)
    except InvalidCountryCode:
        raise BadDetails("bad-iban", "the IBAN begins with no country that has IBANs") from None
    except InvalidLength:
        raise BadDetails("bad-iban", "the IBAN has not the length of its country's") from None
    except InvalidChecksumDigits:
        raise BadDetails("bad-iban", "the IBAN's check digits don't fit: a digit is wrong or two are swapped") from None
    except SchwiftyException:
        raise BadDetails("bad-iban", "this is not an IBAN") from None


def _label(partner_id: str, version: int) -> str:
    return f"{partner_id}/{version}"
