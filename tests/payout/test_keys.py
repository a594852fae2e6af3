"""A new key for bank details and payment files, while everything stays readable."""

from __future__ import annotations

from typing import NoReturn

import pytest
from sqlalchemy import Table, select
from sqlalchemy.exc import DatabaseError

from deploy.runtime.errors import StaffelError, UsageError
from services.payout import resealing
from services.payout.bank_details import current
from services.payout.resealing import SEALED, Census, Resealed, census, reseal
from services.payout.tables import bank_details, metadata, run_files
from services.payout.vault import Vault, keys_in
from tests.payout.office import FINAL, FRIDAY, Office, iban_of

OLD, NEW = "a key for tests", "another key for tests"
PARTNERS = [f"P{number}" for number in range(7)]


@pytest.fixture
def paid(office: Office) -> Office:
    """Seven partners with bank details, and a payment file."""
    for partner_id in PARTNERS:
        office.details(partner_id)
        office.sells(partner_id, 50)
        office.closes(partner_id, 75_000)
    office.recount()
    assert office.pay()
    return office


def counted(office: Office, vault: Vault) -> Census:
    with office.engine.connect() as connection:
        return census(connection, vault.key_id, vault.key_ids)


def test_after_resealing_the_old_key_can_be_dropped(paid: Office) -> None:
    with paid.engine.connect() as connection:
        before = connection.execute(select(run_files)).one()
    both = Vault(NEW, OLD)
    assert counted(paid, both) == Census(0, 8, 0)
    assert counted(paid, Vault(NEW)) == Census(0, 0, 8)
    assert reseal(paid.engine, both, lambda _: None) == Resealed(8, 0)
    assert counted(paid, Vault(NEW)) == Census(8, 0, 0)
    with paid.engine.connect() as connection:
        found = current(connection, Vault(NEW), PARTNERS)
        file = connection.execute(select(run_files)).one()
        with pytest.raises(StaffelError, match="can't be decrypted"):
            current(connection, Vault(OLD), PARTNERS)
    assert {partner_id: details.iban for partner_id, details in found.items()} == {
        id_: iban_of(id_) for id_ in PARTNERS
    }
    assert Vault(NEW).open(file.sealed, file.msg_id) == Vault(OLD).open(before.sealed, before.msg_id)
    assert reseal(paid.engine, both, lambda _: None) == Resealed(0, 0)


def test_resealing_that_is_stopped_goes_on_where_it_stood(paid: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resealing, "SEALED", tuple(sealed._replace(portion=2) for sealed in SEALED))

    def stop(_number: int) -> NoReturn:
        raise KeyboardInterrupt

    both = Vault(NEW, OLD)
    for left in (6, 4):
        with pytest.raises(KeyboardInterrupt):
            reseal(paid.engine, both, stop)
        assert counted(paid, both) == Census(8 - left, left, 0)
        with paid.engine.connect() as connection:
            assert len(current(connection, both, PARTNERS)) == 7, "everything opens in between"
    assert reseal(paid.engine, both, lambda _: None) == Resealed(4, 0)


def test_what_was_damaged_or_sealed_by_an_unknown_key_does_not_hold_up_the_others(paid: Office) -> None:
    wrong_label = Vault(OLD, NEW).seal(b"[]", "elsewhere/1")
    stranger = Vault("a third key").seal(b"[]", "P1/1")
    with paid.engine.begin() as connection:
        connection.execute(bank_details.insert().values(**_row("Q1", wrong_label)))
        connection.execute(bank_details.insert().values(**_row("Q2", stranger)))
    both = Vault(NEW, OLD)
    assert reseal(paid.engine, both, lambda _: None) == Resealed(8, 1)
    assert counted(paid, both) == Census(8, 1, 1)


@pytest.mark.parametrize("table", [bank_details, run_files], ids=lambda table: table.name)
def test_sealed_bytes_are_replaced_only_by_what_another_key_sealed(paid: Office, table: Table) -> None:
    again = Vault(OLD).seal(b"something else", "P1/1")
    with pytest.raises(DatabaseError, match="append-only"), paid.engine.begin() as connection:
        connection.execute(table.update().values(sealed=again))
    with paid.engine.begin() as connection:
        connection.execute(table.update().values(sealed=Vault(NEW).seal(b"something else", "P1/1")))


def test_every_sealed_column_is_resealed() -> None:
    sealed = {table.name for table in metadata.tables.values() if "sealed" in table.columns}
    assert sealed == {found.table.name for found in SEALED}


def test_the_first_key_seals_and_each_opens() -> None:
    old, both = Vault(OLD), Vault(NEW, OLD)
    assert both.open(old.seal(b"x", "l"), "l") == b"x"
    sealed = both.seal(b"x", "l")
    assert Vault(NEW).open(sealed, "l") == b"x"
    with pytest.raises(StaffelError, match="can't be decrypted"):
        old.open(sealed, "l")
    assert NEW.encode() not in sealed


@pytest.mark.parametrize("text", ["new,old", " new , old,", "new\nold\n", "new\r\n\r\nold"])
def test_keys_stand_behind_commas_or_on_lines(text: str) -> None:
    assert keys_in(text) == ("new", "old")


def test_no_key_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="no key"):
        keys_in(" , \n")


def _row(partner_id: str, sealed: bytes) -> dict[str, object]:
    return {
        "partner_id": partner_id,
        "version": 1,
        "sealed": sealed,
        "masked": "DE…0000",
        "sepa": True,
        "entered_at": FINAL,
        "entered_by": "",
        "source": "import",
        "usable_on": FRIDAY,
    }
