"""Change of the key that seals bank details, payment files and answers, row by row, while everything stays readable.

Each portion is a transaction of its own, and a row says itself which key sealed it: stopped anywhere, the next run goes
on with what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, LargeBinary, Table, func, select, tuple_, update

from deploy.runtime.errors import StaffelError
from services.payout.bank_details import label
from services.payout.tables import bank_details, bank_files, run_files
from services.payout.vault import KEY_ID_BYTES, Vault


class Sealed(NamedTuple):
    """A table with a column ``sealed``, what its bytes are bound to, and how many rows are taken at a time."""

    table: Table
    label: Callable[[Any], str]
    portion: int


SEALED = (
    Sealed(bank_details, lambda row: label(row.partner_id, row.version), 500),
    Sealed(run_files, lambda row: str(row.msg_id), 1),  # a file may be large
    Sealed(bank_files, lambda row: f"bank/{row.sha256}", 1),
)


class Census(NamedTuple):
    """How many rows are sealed under which kind of key."""

    first: int
    """Under the key that seals."""
    other: int
    """Under another that opens."""
    unknown: int
    """Under none that is here."""


class Resealed(NamedTuple):
    """How a change of the key went."""

    resealed: int
    damaged: int
    """Rows whose key is known and which don't open all the same: somebody changed them."""


def census(connection: Connection, key_id: bytes, key_ids: frozenset[bytes]) -> Census:
    """Count the sealed rows by their keys' ids. ``key_id`` is the first key's, ``key_ids`` are those of all."""
    counted: dict[bytes, int] = {}
    for sealed in SEALED:
        by = _key_of(sealed.table)
        for found, number in connection.execute(select(by, func.count()).group_by(by)):
            counted[bytes(found)] = counted.get(bytes(found), 0) + number
    first = counted.pop(key_id, 0)
    other = sum(number for found, number in counted.items() if found in key_ids)
    return Census(first, other, sum(counted.values()) - other)


def reseal(engine: Engine, vault: Vault, tell: Callable[[int], None]) -> Resealed:
    """Seal under the first key whatever another one sealed. ``tell`` hears, portion by portion, how many are done."""
    done = damaged = 0
    for sealed in SEALED:
        after: tuple[Any, ...] | None = None
        while True:
            with engine.begin() as connection:
                after, resealed, failed = _portion(connection, vault, sealed, after)
            done, damaged = done + resealed, damaged + failed
            if after is None:
                break
            tell(done)
    return Resealed(done, damaged)


def _portion(
    connection: Connection, vault: Vault, sealed: Sealed, after: tuple[Any, ...] | None
) -> tuple[tuple[Any, ...] | None, int, int]:
    table = sealed.table
    key = tuple_(*table.primary_key.columns)
    others = sorted(vault.key_ids - {vault.key_id})
    chosen = select(table).where(_key_of(table).in_(others)).order_by(*table.primary_key.columns).limit(sealed.portion)
    rows = connection.execute(chosen if after is None else chosen.where(key > after)).all()
    done = 0
    for row in rows:
        try:
            content = vault.open(row.sealed, sealed.label(row))
        except StaffelError:
            continue  # the others must not wait for what somebody damaged
        again = vault.seal(content, sealed.label(row))
        connection.execute(update(table).where(key == _key(table, row)).values(sealed=again))
        done += 1
    return (_key(table, rows[-1]) if rows else None), done, len(rows) - done


def _key(table: Table, row: Any) -> tuple[Any, ...]:
    return tuple(getattr(row, column.name) for column in table.primary_key.columns)


def _key_of(table: Table) -> Any:
    return func.substr(table.c.sealed, 1, KEY_ID_BYTES, type_=LargeBinary)
