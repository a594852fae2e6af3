"""The commands about the bank's answers, as somebody in treasury calls them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded, load
from tests.cli.calling import call, succeed
from tests.databases import sqlite_url
from tests.payout.answers.bank import Movement, back, paid, report, run_id, says, statement
from tests.payout.office import Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    opened = Office(tmp_path, sqlite_url(tmp_path))
    yield opened
    opened.engine.dispose()


@pytest.fixture
def loaded(office: Office, tmp_path: Path) -> Loaded:
    """The settings of the office, on a clock a week after its run."""
    return load(
        {
            "data": tmp_path,
            "payout_db_url": office.settings.payout_db_url,
            "bank_key": "a key for tests",
            "clock": "2027-02-05T12:00:00Z",
        },
        {},
    )


def write(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def test_files_are_imported_and_a_bad_one_does_not_stop_the_others(
    office: Office, loaded: Loaded, tmp_path: Path
) -> None:
    ids = paid(office, "P1", "P2")
    taken = write(tmp_path, "002.xml", report(run_id(office), "ACCP"))
    bad = write(tmp_path, "pacs.xml", b"<Document><PmtRtr/></Document>")
    lines = [Movement(ids["P1"]), Movement(ids["P2"], "1.00"), Movement("SALARY", "9.00")]
    booked = write(tmp_path, "053.xml", statement(lines))

    dry = call(loaded, "bank", "import", booked, "--dry-run")
    assert dry.out == (
        f"dry run: {booked}: camt.053 M-S1: 1 settled, 1 not matched (./staffel bank unmatched), "
        "1 line of other business\n"
    )
    assert call(loaded, "bank", "status", "--json").object["runs"][0]["payments"] == {"released": 2}

    done = call(loaded, "bank", "import", taken, bad, booked)
    assert done.code == Exit.REFUSED
    assert done.out.splitlines()[0] == f"{taken}: pain.002 PSR-1: 2 accepted"
    assert done.err.startswith(f"{bad}: refused: the file is no status report")
    again = succeed(loaded, "bank", "import", taken)
    assert again == {
        "file": taken,
        "dry_run": False,
        "kind": "pain.002",
        "message": "PSR-1",
        "repeated": True,
        "payments": {},
        "unmatched": 0,
        "foreign": 0,
    }


def test_the_status_shows_runs_silence_and_gaps_until_they_are_cleared(office: Office, loaded: Loaded) -> None:
    nothing = call(loaded, "bank", "status")
    assert (nothing.code, nothing.out) == (Exit.OK, "no run was given to the bank yet\n")
    ids = paid(office, "P1", "P2", "P3")
    says(office, statement([Movement(ids["P1"]), back(ids["P1"])], opening=0, closing=5))
    shown = call(loaded, "bank", "status")
    assert shown.code == Exit.DIFFERS
    head, run, gap, _, silent = shown.out.splitlines()
    columns = "run state amount released accepted settled rejected returned waiting"
    assert head.split() == columns.split()
    assert run.split() == [run_id(office), "released", "2,250.00", "EUR", "2", "1", "120", "h"]
    assert gap == "gap at statement S1 of 2027-02-01: movement-missing, 0.05 EUR"
    assert silent == "no answer for too long: 2 payments; accepted and not debited: 0"
    found = call(loaded, "bank", "status", "--json").object
    assert (found["silent"], found["unmatched"], len(found["gaps"])) == ({"answer": 2, "debit": 0}, 0, 1)
    says(office, report(run_id(office), "ACCP"))
    assert call(loaded, "bank", "clear", "S1", "--because", "the bank has looked").out == "S1 is cleared\n"
    says(office, statement([Movement(ids["P2"]), Movement(ids["P3"])], "camt.054"))
    assert call(loaded, "bank", "status").code == Exit.OK


def test_what_fits_nothing_is_shown_without_names_and_cleared_with_a_reason(office: Office, loaded: Loaded) -> None:
    assert call(loaded, "bank", "unmatched").out == "everything that the bank said is matched\n"
    id_ = paid(office, "P1")["P1"]
    says(office, statement([Movement(id_, "1.00"), back("")]))
    says(office, report(run_id(office), "RJCT", "DUPL"))
    shown = call(loaded, "bank", "unmatched")
    assert [line.split() for line in shown.out.splitlines()[1:]] == [
        ["1", "amount-differs", "-1.00", "EUR", "2027-02-01", id_, "camt.053", "S1"],
        ["2", "unknown-return", "+750.00", "EUR", "2027-02-01", "camt.053", "S1", "AC04"],
        ["3", "duplicate", run_id(office), "pain.002", "DUPL"],
    ]
    rows = succeed(loaded, "bank", "unmatched")["unmatched"]
    assert [row["reason"] for row in rows] == ["amount-differs", "unknown-return", "duplicate"]
    assert "Unverwechselbar" not in str(rows)
    assert call(loaded, "bank", "clear", "1", "--because", " ").code == Exit.USAGE
    assert call(loaded, "bank", "clear", "1", "--because", "a fee").code == Exit.OK
    once_more = call(loaded, "bank", "clear", "1", "--because", "a fee")
    assert (once_more.code, "nothing unmatched has the number 1" in once_more.err) == (Exit.FAILED, True)
    assert len(succeed(loaded, "bank", "unmatched")["unmatched"]) == 2


def test_a_file_that_is_not_there_stops_before_anything_is_read(office: Office, loaded: Loaded, tmp_path: Path) -> None:
    good = write(tmp_path, "002.xml", report("RB-20270129-ABCD", "ACCP"))
    done = call(loaded, "bank", "import", good, str(tmp_path / "none.xml"))
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert "none.xml" in done.err
