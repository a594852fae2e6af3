"""Bank details: checked, encrypted, never shown."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from deploy.runtime.errors import StaffelError
from schemas.events import BankDetailsChange, id_of
from services.payout.bank_checks import Row
from services.payout.bank_details import Outcome, Source, current, history, import_rows
from services.payout.tables import bank_details
from services.payout.vault import Vault
from tests.databases import sqlite_url
from tests.payout.office import FINAL, FRIDAY, Office, iban_of

IBAN = "DE02120300000000202051"


def test_details_are_new_then_unchanged_then_changed_and_every_version_is_kept(office: Office) -> None:
    assert office.details("P1", IBAN) == "new"
    assert office.details("P1", "de02 1203 0000 0000 2020 51", " Holder  of P1 ") == "unchanged"
    assert office.details("P1", IBAN, "Somebody else") == "changed"
    assert office.details("P1", iban_of("P1"), "Somebody else") == "changed"
    with office.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(bank_details)).scalar() == 3
        latest = current(connection, office.vault, ["P1", "P2"])
        assert latest["P1"][:3] == (3, "Somebody else", iban_of("P1"))
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
        (Row("P1", "A", IBAN, "BYLADE"), "bad-bic", "not a BIC"),
        (Row("P1", "A", IBAN, "BKAUATWW"), "bad-bic", "different countries"),
        (Row("P1", "A", IBAN, "COBADEFF"), "bad-bic", "not that of the IBAN's bank"),
        (Row("P1", "A", IBAN, "", "Zug"), "bad-address", "both"),
        (Row("P1", "A", IBAN, "", "Zug", "CHE"), "bad-address", "two-letter"),
        (Row("P1", "A", IBAN, "", "Z\x00g", "CH"), "bad-address", "town"),
        (Row("P1", "A", IBAN, "", "Z" * 36, "CH"), "bad-address", "town"),
    ],
)
def test_what_cannot_be_right_is_refused_without_repeating_it(office: Office, row: Row, code: str, words: str) -> None:
    good = Row("P2", "B", IBAN)
    refused, entered = import_rows(office.engine, office.settings, [row, good], FINAL)
    assert (refused.result, refused.code) == ("refused", code)
    assert words in refused.message
    assert row.iban == "" or row.iban[4:] not in refused.message
    assert entered == Outcome("new")


@pytest.mark.parametrize(
    ("iban", "bic"),
    [
        (IBAN, "byla de m1 001"),
        ("GB29NWBK60161331926819", "NWBKGB2L"),
        ("FR1420041010050500013M02606", "PSSTGPG1"),
        ("CH9300762011623852957", "KBBECH22"),
    ],
    ids=["Germany", "Britain", "overseas France", "a country whose banks nobody lists"],
)
def test_bic_and_iban_of_one_bank_go_together(office: Office, iban: str, bic: str) -> None:
    assert import_rows(office.engine, office.settings, [Row("P1", "A", iban, bic)], FINAL) == [Outcome("new")]


def test_a_file_without_bic_and_address_forgets_none_of_an_account_that_stays(office: Office) -> None:
    swiss = Row("P1", "A", "CH9300762011623852957", "KBBECH22", " Zug ", "ch")
    rows = [swiss, swiss[:3], Row("P1", "B", swiss.iban), Row("P1", "B", IBAN)]
    found = []
    for row in rows:
        found.append(import_rows(office.engine, office.settings, [Row(*row)], FINAL)[0].result)
        with office.engine.connect() as connection:
            latest = current(connection, office.vault, ["P1"])["P1"]
        if latest.version < 3:
            assert latest[2:] == (swiss.iban, "KBBECH22", "Zug", "CH")
    assert found == ["new", "unchanged", "changed", "changed"]
    assert latest[2:] == (IBAN, "", "", "")


def test_each_version_says_who_entered_it_when_and_whether_it_can_be_used(office: Office) -> None:
    rows = [Row("P1", "A", IBAN)]
    import_rows(office.engine, office.settings, rows, FINAL, by="A. Clerk")
    office.refused("P1", 1, "AC04", FINAL + timedelta(days=1))
    office.refused("P1", 1, "AC06", FINAL + timedelta(days=2))
    import_rows(office.engine, office.settings, rows, FINAL + timedelta(days=3), source=Source.PORTAL)
    with office.engine.connect() as connection:
        first, second = history(connection, "P1")
        assert history(connection, "P2") == []
    assert first == (1, "DE…2051", FINAL, "A. Clerk", "import", FRIDAY, FINAL + timedelta(days=1), "AC04")
    assert second[:1] + second[2:] == (2, FINAL + timedelta(days=3), "", "portal", date(2027, 2, 4), None, None)


def test_each_change_is_told_once_and_never_what_it_is(office: Office) -> None:
    office.details("P1", IBAN)
    office.details("P1", IBAN)
    office.details("P1", iban_of("P1"))
    office.refused("P1", 2)
    office.refused("P1", 2)
    changes = [(said.version, said.change, said.usable_on) for said in office.told()]
    assert changes == [
        (1, BankDetailsChange.ENTERED, FRIDAY),
        (2, BankDetailsChange.CHANGED, date(2027, 2, 3)),
        (2, BankDetailsChange.INVALID, None),
    ]
    assert len({id_of(said) for said in office.told()}) == 3
    assert not any(text in repr(office.told()) for text in (IBAN[-4:], "Holder"))


def test_a_dry_run_tells_nobody(office: Office) -> None:
    import_rows(office.engine, office.settings, [Row("P1", "A", IBAN)], FINAL, dry_run=True)
    assert office.told() == []


def test_only_what_was_entered_can_be_called_invalid(office: Office) -> None:
    with pytest.raises(IntegrityError):
        office.refused("P1", 1)


def test_two_who_enter_at_the_same_time_get_a_version_each(office: Office) -> None:
    ibans = [iban_of(f"x{number}") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(lambda iban: office.details("P1", iban), ibans)) == [*["changed"] * 3, "new"]
    with office.engine.connect() as connection:
        assert [version.version for version in history(connection, "P1")] == [1, 2, 3, 4]


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
