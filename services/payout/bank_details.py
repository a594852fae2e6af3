"""Partners' bank details: checked, encrypted, every version kept.

For the command line: ``import_rows(open_database(settings), settings, rows, clock.now())`` answers one ``Outcome``
a row, in order. A dry run does the same and takes it back. No message here repeats an IBAN or a name.

Changed details are what a thief would change: money goes there only some bank days later, so that the partner, who is
told of the change, can object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from enum import StrEnum
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Select, func, insert, select

from deploy.runtime.programme import read_programme
from deploy.runtime.settings import Settings
from schemas.events import BankDetailsChange, BankDetailsChanged
from schemas.topics import BANK_DETAILS
from services.kit.database import upsert
from services.kit.relay import post
from services.payout.bank_checks import BadDetails, Checked, Row, check
from services.payout.bank_days import bank_day_after
from services.payout.tables import bank_details, bank_details_invalid, checks, outbox
from services.payout.vault import Vault, open_vault
from streams.rules.terms import parse

_CHUNK = 1000


class Source(StrEnum):
    """Where details came from."""

    IMPORT = "import"
    PORTAL = "portal"


class Outcome(NamedTuple):
    """What became of a row: ``new``, ``changed``, ``unchanged``, or ``refused`` with a code and a sentence."""

    result: str
    code: str = ""
    message: str = ""


class BankDetails(NamedTuple):
    """Where a partner's money goes. BIC, town and country are empty where nobody said them."""

    version: int
    account_holder: str
    iban: str
    bic: str = ""
    town: str = ""
    country: str = ""

    def __repr__(self) -> str:
        return f"BankDetails(version={self.version})"  # so that no traceback tells an IBAN


class Account(NamedTuple):
    """What may be known of a partner's latest details without opening them."""

    version: int
    masked: str
    sepa: bool
    usable_on: date
    """First day, programme time, on which money may go there."""
    invalid: bool
    """A bank sent money back because of them."""


class Version(NamedTuple):
    """One version of a partner's details, for whoever must know who changed what."""

    version: int
    masked: str
    entered_at: datetime
    entered_by: str
    source: str
    usable_on: date
    invalid_since: datetime | None
    invalid_reason: str | None


class _Entry(NamedTuple):
    """What an import is told by whoever started it."""

    at: datetime
    today: date
    by: str
    source: Source
    days: int
    days_first: int


_Known = dict[str, tuple[BankDetails, Account]]


def import_rows(
    engine: Engine,
    settings: Settings,
    rows: Iterable[Row],
    at: datetime,
    dry_run: bool = False,
    *,
    by: str = "",
    source: Source = Source.IMPORT,
) -> list[Outcome]:
    """Enter many details in one transaction. A bad row is refused and does not stop the others."""
    vault, waiting = open_vault(settings), iter(rows)
    entry = _entry(settings, at, by, source)
    outcomes: list[Outcome] = []
    with engine.connect() as connection, connection.begin() as transaction:
        _one_at_a_time(connection)
        while chunk := list(islice(waiting, _CHUNK)):
            outcomes += _enter(connection, vault, chunk, entry)
        if dry_run:
            transaction.rollback()
    return outcomes


def rehearse(
    engine: Engine, settings: Settings, row: Row, at: datetime, *, by: str = ""
) -> tuple[Outcome, Account | None]:
    """What entering this row would do, and what would be known of the account then. Changes nothing."""
    entry = _entry(settings, at, by, Source.PORTAL)
    with engine.connect() as connection, connection.begin() as transaction:
        _one_at_a_time(connection)
        (outcome,) = _enter(connection, open_vault(settings), [row], entry)
        account = accounts(connection, [row.partner_id]).get(row.partner_id)
        transaction.rollback()
    return outcome, account


def invalidate(connection: Connection, partner_id: str, version: int, reason: str, at: datetime) -> None:
    """Nothing is paid to this version from now on: a bank gave this code for it. Again changes nothing."""
    _one_at_a_time(connection)
    fresh = connection.execute(
        upsert(bank_details_invalid, connection.engine)
        .values(partner_id=partner_id, version=version, reason=reason, at=at)
        .on_conflict_do_nothing()
        .returning(bank_details_invalid.c.version)
    )
    if fresh.first() is not None:
        post(connection, outbox, BANK_DETAILS, [_event(partner_id, version, BankDetailsChange.INVALID, None, at)], at)
        connection.execute(insert(checks).values(partner_id=partner_id))


def current(connection: Connection, vault: Vault, partner_ids: Sequence[str]) -> dict[str, BankDetails]:
    """The latest details of these partners, as far as there are any."""
    return {row.partner_id: _opened(vault, row) for row in connection.execute(_latest(partner_ids))}


def accounts(connection: Connection, partner_ids: Sequence[str]) -> dict[str, Account]:
    """What may be known of the latest details of these partners, as far as there are any."""
    return {row.partner_id: _account(row) for row in connection.execute(_latest(partner_ids))}


def history(connection: Connection, partner_id: str) -> list[Version]:
    """Every version of a partner's details, the first one first. Empty if he never had any."""
    rows = connection.execute(
        _with_validity().where(bank_details.c.partner_id == partner_id).order_by(bank_details.c.version)
    )
    return [
        Version(
            row.version,
            row.masked,
            row.entered_at,
            row.entered_by,
            row.source,
            row.usable_on,
            row.invalid_since,
            row.invalid_reason,
        )
        for row in rows
    ]


def label(partner_id: str, version: int) -> str:
    """What a version's sealed bytes are bound to."""
    return f"{partner_id}/{version}"


def _entry(settings: Settings, at: datetime, by: str, source: Source) -> _Entry:
    today = at.astimezone(read_programme(settings, parse).zone).date()
    return _Entry(at, today, by, source, settings.bank_details_days, settings.bank_details_days_first)


def _one_at_a_time(connection: Connection) -> None:
    # Versions are counted up, and what is new depends on what is invalid. SQLite lets in one at a time anyway.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7204)")


def _enter(connection: Connection, vault: Vault, rows: Sequence[Row], entry: _Entry) -> list[Outcome]:
    outcomes, versions, events = [], [], []
    known = _known(connection, vault, [row.partner_id for row in rows])
    for row in rows:
        try:
            checked = check(row)
        except BadDetails as bad:
            outcomes.append(Outcome("refused", bad.code, str(bad)))
            continue
        before = known.get(row.partner_id)
        details = _next(before, checked)
        if before and before[0][1:] == details[1:] and not before[1].invalid:
            outcomes.append(Outcome("unchanged"))
            continue
        account = _next_account(before, details, checked, entry)
        known[row.partner_id] = details, account
        outcomes.append(Outcome("changed" if before else "new"))
        versions.append(_row(vault, row.partner_id, details, account, entry))
        change = BankDetailsChange.CHANGED if before else BankDetailsChange.ENTERED
        events.append(_event(row.partner_id, details.version, change, account.usable_on, entry.at))
    if versions:
        connection.execute(insert(bank_details), versions)
        connection.execute(insert(checks), [{"partner_id": version["partner_id"]} for version in versions])
        post(connection, outbox, BANK_DETAILS, events, entry.at)
    return outcomes


def _known(connection: Connection, vault: Vault, partner_ids: Sequence[str]) -> _Known:
    rows = connection.execute(_latest(partner_ids))
    return {row.partner_id: (_opened(vault, row), _account(row)) for row in rows}


def _next(before: tuple[BankDetails, Account] | None, checked: Checked) -> BankDetails:
    """The next version. What a row does not say of an account that stays the same is as it was."""
    details = BankDetails(1, checked.account_holder, str(checked.iban), *checked[2:])
    if before is None:
        return details
    details = details._replace(version=before[0].version + 1)
    if before[0].iban != details.iban:
        return details
    said = {name: value for name, value in details._asdict().items() if value}
    return before[0]._replace(**said)


def _next_account(
    before: tuple[BankDetails, Account] | None, details: BankDetails, checked: Checked, entry: _Entry
) -> Account:
    iban = checked.iban
    masked = f"{iban.country_code}…{details.iban[-4:]}"
    if before is None:
        usable_on = bank_day_after(entry.today, entry.days_first)
    else:
        earlier, account = before
        elsewhere = (earlier.account_holder, earlier.iban) != (details.account_holder, details.iban)
        wait = entry.days if elsewhere or account.invalid else 0  # a town or BIC moves no money elsewhere
        usable_on = max(account.usable_on, bank_day_after(entry.today, wait))
    return Account(details.version, masked, bool(iban.in_sepa_zone), usable_on, invalid=False)


def _row(vault: Vault, partner_id: str, details: BankDetails, account: Account, entry: _Entry) -> dict[str, Any]:
    return {
        "partner_id": partner_id,
        "version": details.version,
        "sealed": vault.seal(json.dumps(details[1:]).encode(), label(partner_id, details.version)),
        "masked": account.masked,
        "sepa": account.sepa,
        "entered_at": entry.at,
        "entered_by": entry.by,
        "source": entry.source,
        "usable_on": account.usable_on,
    }


def _opened(vault: Vault, row: Any) -> BankDetails:
    return BankDetails(row.version, *json.loads(vault.open(row.sealed, label(row.partner_id, row.version))))


def _account(row: Any) -> Account:
    return Account(row.version, row.masked, row.sepa, row.usable_on, row.invalid_since is not None)


def _event(
    partner_id: str, version: int, change: BankDetailsChange, usable_on: date | None, at: datetime
) -> BankDetailsChanged:
    return BankDetailsChanged(partner_id, version, change, usable_on, at)


def _with_validity() -> Select[Any]:
    of_version = (bank_details_invalid.c.partner_id == bank_details.c.partner_id) & (
        bank_details_invalid.c.version == bank_details.c.version
    )
    return select(
        bank_details,
        bank_details_invalid.c.at.label("invalid_since"),
        bank_details_invalid.c.reason.label("invalid_reason"),
    ).join(bank_details_invalid, of_version, isouter=True)


def _latest(partner_ids: Sequence[str]) -> Select[Any]:
    newest = (
        select(bank_details.c.partner_id, func.max(bank_details.c.version).label("version"))
        .where(bank_details.c.partner_id.in_(partner_ids))
        .group_by(bank_details.c.partner_id)
        .subquery()
    )
    return _with_validity().join(
        newest,
        (bank_details.c.partner_id == newest.c.partner_id) & (bank_details.c.version == newest.c.version),
    )
