"""The ``statements`` commands on a database with a few."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded, load
from services.kit.statements import Form
from tests.cli.calling import call, succeed
from tests.databases import sqlite_url
from tests.payout.office import Office
from tests.payout.papers import earns, issued, paid, registered


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[tuple[Loaded, Office]]:
    """A data folder with three statements: two payments and a clawback that is carried forward."""
    office = Office(tmp_path, sqlite_url(tmp_path))
    for partner_id in ("P1", "P2"):
        registered(office, partner_id, name=f"{partner_id} Systemhaus GmbH")
    paid(office, "P1", "P2")
    issued(office)
    earns(office, "P1", 49, revision=2)
    office.recount()
    issued(office)
    yield load({"data": tmp_path, "payout_db_url": office.settings.payout_db_url}, {}), office
    office.engine.dispose()


def test_they_are_listed_by_number_of_all_partners_or_of_one(stack: tuple[Loaded, Office]) -> None:
    loaded, _ = stack
    assert [line.split() for line in call(loaded, "statements", "list").out.splitlines()] == [
        ["NUMBER", "DATE", "PARTNER", "KIND", "AMOUNT"],
        ["BA-2027-000001", "2027-01-29", "P1", "payment", "750.00", "EUR"],
        ["BA-2027-000002", "2027-01-29", "P2", "payment", "750.00", "EUR"],
        ["BA-2027-000003", "2027-01-29", "P1", "carried", "-260.00", "EUR"],
    ]
    own = succeed(loaded, "statements", "list", "--partner", "P2")["statements"]
    assert [(row["number"], row["amount_minor"]) for row in own] == [("BA-2027-000002", 75_000)]
    nobody = call(loaded, "statements", "list", "--partner", "P3")
    assert (nobody.code, nobody.out) == (0, "")
    assert "no statement was issued" in nobody.err


def test_one_is_shown_in_short_and_with_all_that_it_was_made_of(stack: tuple[Loaded, Office]) -> None:
    loaded, office = stack
    out = call(loaded, "statements", "show", "BA-2027-000001").out
    first = issued(office)[0]
    for part in ("P1 Systemhaus GmbH", "750.00 EUR", first.facts.document_id, "net 630.25 EUR, tax 119.75 EUR"):
        assert part in out
    assert first.pdf_sha256 in out
    assert "adjustment 1, 49 units: -260.00 EUR" in call(loaded, "statements", "show", "BA-2027-000003").out
    frozen = json.loads(call(loaded, "statements", "show", "BA-2027-000001", "--json").out)
    assert frozen["quarters"][0]["lines"][0]["sale_id"] == "P1-2026Q4"


def test_export_writes_the_bytes_that_were_issued(stack: tuple[Loaded, Office], tmp_path: Path) -> None:
    loaded, office = stack
    first = issued(office)[0]
    for form in Form:
        path = tmp_path / f"mine.{form}"
        for _ in range(2):
            assert call(loaded, "statements", "export", first.facts.number, "--out", str(path)).code == 0
            assert path.read_bytes() == first.content(form)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("show", "BA-2027-000099"), Exit.FAILED, "there is no statement"),
        (("export", "BA-2027-000099", "--out", "x.pdf"), Exit.FAILED, "there is no statement"),
        (("export", "BA-2027-000001", "--out", "x.docx"), Exit.USAGE, "can't be had as .docx"),
        (("export", "BA-2027-000001", "--out", "/no/such/folder/x.pdf"), Exit.FAILED, "can't write /no/such"),
    ],
)
def test_a_slip_is_told_with_a_way_out(
    stack: tuple[Loaded, Office], words: tuple[str, ...], code: Exit, message: str
) -> None:
    found = call(stack[0], "statements", *words)
    assert (found.code, found.out) == (code, "")
    assert message in found.err
    assert "Traceback" not in found.err


def test_verify_says_what_is_wrong_and_ends_with_its_own_code(stack: tuple[Loaded, Office]) -> None:
    loaded, office = stack
    assert call(loaded, "statements", "verify").out == "3 statements, 0 faults\n"
    (Path(office.settings.statements) / "P2" / "BA-2027-000002.csv").unlink()
    found = call(loaded, "statements", "verify")
    assert found.code == Exit.DIFFERS
    assert found.out == (
        "BA-2027-000002: the csv in the folder is missing or not what was issued\n3 statements, 1 faults\n"
    )
    assert call(loaded, "statements", "verify", "--json").object["statements"] == 3
