"""Bank details and holds as the staff works with them: on a payout database, without a broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded, load
from services.payout.tables import bank_details
from tests.cli.calling import Result, call, succeed
from tests.databases import sqlite_url
from tests.intake import files
from tests.payout.office import FINAL, Office, iban_of

HEADER = "partner_id,account_holder,iban"
OBLIGATION = "topseller/P-1/2026Q4/1"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """A payout office whose P-1 sold far more than usual."""
    opened = Office(tmp_path, sqlite_url(tmp_path))
    for quarter, units in (("2026Q2", 4), ("2026Q3", 6), ("2026Q4", 50)):
        opened.sells("P-1", units, quarter)
    opened.closes("P-1", 75_000)
    yield opened
    opened.engine.dispose()


def on(office: Office, **more: str) -> Loaded:
    """The settings of commands that work on this office."""
    said = {"data": office.settings.data, "payout_db_url": office.settings.payout_db_url, "clock": FINAL.isoformat()}
    return load({**said, "bank_key": office.settings.bank_key, **more}, {})


def enter(office: Office, folder: Path, iban: str, *flags: str) -> Result:
    path = files.write(folder / "bank.csv", HEADER, f"P-1,Rechner & Sohn,{iban}")
    return call(on(office), "bank-details", "import", path, *flags)


def test_the_history_says_who_entered_what_and_never_the_iban(office: Office, tmp_path: Path) -> None:
    assert enter(office, tmp_path, iban_of("a"), "--by", "A. Clerk").code == Exit.OK
    assert enter(office, tmp_path, iban_of("b")).code == Exit.OK
    found = succeed(on(office), "bank-details", "history", "P-1")
    assert [(v["version"], v["entered_by"], v["source"]) for v in found["versions"]] == [
        (1, "A. Clerk", "import"),
        (2, "", "import"),
    ]
    assert [v["usable_on"] for v in found["versions"]] == ["2027-01-29", "2027-02-03"]
    told = call(on(office), "bank-details", "history", "P-1")
    assert "A. Clerk" in told.out
    assert "not said" in told.out
    assert not any(iban_of(x)[4:-4] in told.out + str(found) for x in "ab")
    assert '"unknown-partner"' in call(on(office), "bank-details", "history", "P-9", "--json").err


def test_the_operator_of_the_settings_is_who_entered_it(office: Office, tmp_path: Path) -> None:
    path = files.write(tmp_path / "bank.csv", HEADER, f"P-1,R,{iban_of('a')}")
    succeed(on(office, operator="B. Clerk"), "bank-details", "import", path)
    assert succeed(on(office), "bank-details", "history", "P-1")["versions"][0]["entered_by"] == "B. Clerk"


def test_a_key_is_changed_in_three_steps(office: Office, tmp_path: Path) -> None:
    enter(office, tmp_path, iban_of("a"))
    old = office.settings.bank_key
    both = on(office, bank_key=f"new,{old}")
    assert call(both, "doctor").out.count("1 of 1 sealed rows still need an older key") == 1
    assert succeed(both, "bank-details", "reseal", "--dry-run") == {
        "dry_run": True,
        "resealed": 1,
        "unchanged": 0,
        "opened_by_no_key": 0,
    }
    lost = call(on(office, bank_key="new"), "bank-details", "reseal")
    assert (lost.code, "1 no key opens" in lost.out) == (Exit.DIFFERS, True)
    assert (
        "sealed bank details and payment files are opened by no key" in call(on(office, bank_key="new"), "doctor").out
    )
    assert call(both, "bank-details", "reseal").out.startswith("1 resealed")
    assert "opens all 1 sealed" in call(on(office, bank_key="new"), "doctor").out
    assert enter(office, tmp_path, iban_of("a")).code == Exit.FAILED, "the old key opens nothing any more"


def test_what_is_held_is_listed_explained_and_lifted(office: Office, tmp_path: Path) -> None:
    enter(office, tmp_path, iban_of("a"))
    office.recount()
    told = call(on(office), "holds", "list")
    assert told.code == Exit.OK
    assert [cell in told.out for cell in (OBLIGATION, "750.00 EUR", "2027-01-29", "unusual-units", "holds lift")] == [
        True
    ] * 5
    assert "1 held up, 750.00 EUR in all" in told.out
    assert succeed(on(office), "holds", "list")["holds"][0]["ends"] == "holds lift"
    shown = call(on(office), "holds", "show", OBLIGATION).out
    assert "he sold far more than in an average quarter" in shown
    assert "50, of these 0 in the last two days" in shown
    assert "4, 6" in shown
    assert succeed(on(office), "holds", "show", OBLIGATION)["units"] == 50

    unnamed = call(on(office), "holds", "lift", OBLIGATION, "--note", "invoices seen")
    assert (unnamed.code, "--by NAME" in unnamed.err) == (Exit.USAGE, True)
    lifted = call(on(office), "holds", "lift", OBLIGATION, "--note", "invoices seen", "--by", "A. Clerk")
    assert lifted.out.startswith(f"{OBLIGATION}: unusual-units is lifted")
    office.recount()
    assert call(on(office), "holds", "list").out == "nothing is held up\n"
    assert "unusual-units lifted by A. Clerk: invoices seen" in call(on(office), "holds", "show", OBLIGATION).out
    again = call(on(office), "holds", "lift", OBLIGATION, "--note", "x", "--by", "A. Clerk", "--json")
    assert again.code == Exit.USAGE, "it is no reading command"
    again = call(on(office), "holds", "lift", OBLIGATION, "--note", "x", "--by", "A. Clerk")
    assert (again.code, "nothing to be lifted" in again.err) == (Exit.FAILED, True)


def test_a_partner_is_blocked_and_unblocked_under_a_name(office: Office, tmp_path: Path) -> None:
    enter(office, tmp_path, iban_of("a"))
    named = on(office, operator="A. Clerk")
    assert call(named, "holds", "block", "P-1", "--reason", "court order 17").out == "P-1 is blocked now\n"
    assert (
        call(named, "holds", "block", "P-1", "--reason", "again").out == "P-1 was blocked before; nothing was changed\n"
    )
    office.recount()
    assert succeed(named, "holds", "list")["holds"][0]["code"] == "partner-blocked"
    assert "blocked by A. Clerk: court order 17" in call(named, "holds", "show", OBLIGATION).out
    assert call(named, "holds", "unblock", "P-1").out == "P-1 is blocked no more\n"
    assert call(named, "holds", "block", "P/1", "--reason", "x").code == Exit.USAGE
    assert call(named, "holds", "block", "P-1", "--reason", " ").code == Exit.USAGE


def test_nothing_is_made_where_payout_never_ran(tmp_path: Path) -> None:
    alone = load({"data": tmp_path / "data", "port_base": 31_990}, {})
    for command in (("holds", "list"), ("holds", "show", "x"), ("bank-details", "history", "P-1")):
        found = call(alone, *command)
        assert (found.code, "no payout database" in found.err) == (Exit.NOT_READY, True)
    assert "nothing is sealed yet" in call(alone, "doctor").out
    assert not alone.settings.data.exists()


def test_the_database_holds_who_and_when_beside_what_is_sealed(office: Office, tmp_path: Path) -> None:
    enter(office, tmp_path, iban_of("a"), "--by", "A. Clerk")
    with office.engine.connect() as connection:
        row = connection.execute(bank_details.select()).one()
    assert (row.entered_by, row.source, row.entered_at.date().isoformat()) == ("A. Clerk", "import", "2027-01-29")
