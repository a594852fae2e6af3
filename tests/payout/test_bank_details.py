"""Bank details: checked, encrypted, never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from deploy.runtime.errors import StaffelError
from services.payout.bank_details import Outcome, Row, current, import_rows
from services.payout.tables import bank_details
from services.payout.vault import Vault
from tests.databases import sqlite_url
from tests.payout.office import FINAL, Office, iban_of

IBAN = "DE02120300000000202051"


def test_details_are_new_then_unchanged_then_changed_and_every_version_is_kept(office: Office) -> None:
    assert office.details("P1", IBAN) == "new"
    assert office.details("P1", "de02 1203 0000 0000 2020 51", " Holder  of P1 ") == "unchanged"
    assert office.details("P1", IBAN, "Somebody else") == "changed"
    assert office.details("P1", iban_of("P1"), "Somebody else") == "changed"
    with office.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(bank_details)).scalar() == 3
        latest = current(connection, office.vault, ["P1", "P2"])
        assert latest["P1"][:] == (3, "Somebody else", iban_of("P1"))
        assert list(latest) == ["P1"]


@pytest.mark.parametrize(
    ("row", "code", "words"),
    [
        (Row("P1", "A", "DE02120300000000202052"), "bad-iban", "check digits"),
        (Row("P1", "A", "DE0212030000000020205"), "bad-iban", "length"),
        (Row("P1", "A", "US02120300000000202051"), "bad-iban", "country"),
        (Row("P1", "A", "DE02120300000000!02051"), "bad-iban", "not an IBAN"),
        (Row("P1", "A", ""), "bad-iban", "missing"),
        (Row("P1", " ", IBAN), "bad-holder", "holder"),
        (Row("P1", "A\x00B", IBAN), "bad-holder", "holder"),
        (Row("P1", "A" * 141, IBAN), "bad-holder", "holder"),
        (Row("P/1", "A", IBAN), "bad-partner-id", "partner id"),
    ],
)
def test_what_cannot_be_right_is_refused_without_repeating_it(office: Office, row: Row, code: str, words: str) -> None:
    good = Row("P2", "B", IBAN)
    refused, entered = import_rows(office.engine, office.settings, [row, good], FINAL)
    assert (refused.result, refused.code) == ("refused", code)
    assert words in refused.message
    assert row.iban == "" or row.iban[4:] not in refused.message
    assert entered == Outcome("new")


def test_a_dry_run_says_the_same_and_enters_nothing(office: Office) -> None:
    rows = [Row("P1", "A", IBAN), Row("P1", "A", IBAN), Row("P1", "B", IBAN)]
    dry = import_rows(office.engine, office.settings, rows, FINAL, dry_run=True)
    with office.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(bank_details)).scalar() == 0
    assert dry == import_rows(office.engine, office.settings, rows, FINAL)
    assert [outcome.result for outcome in dry] == ["new", "unchanged", "changed"]


def test_no_file_of_the_database_holds_an_iban_or_a_holder(tmp_path: Path) -> None:
    office = Office(tmp_path, sqlite_url(tmp_path))
    office.details("P1", IBAN, "Ottilie Unverwechselbar")
    office.sells("P1", 50)
    office.closes("P1", 75_000)
    office.recount()
    made = office.pay()
    assert made is not None
    assert IBAN in (office.folder / f"{made.msg_id}.xml").read_text("utf-8")
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("*.db*"))
    assert b"P1" in stored
    for secret in (IBAN, IBAN[4:], "Unverwechselbar"):
        assert secret.encode() not in stored
    office.engine.dispose()


def test_sealed_details_open_only_in_their_own_row_and_with_their_own_key() -> None:
    vault = Vault("key")
    sealed = vault.seal(b"secret", "P1/1")
    assert vault.open(sealed, "P1/1") == b"secret"
    assert vault.seal(b"secret", "P1/1") != sealed
    for opened_by, label in ((vault, "P2/1"), (Vault("other"), "P1/1")):
        with pytest.raises(StaffelError, match="can't be decrypted"):
            opened_by.open(sealed, label)
