"""Whatever is done to the ledger behind our back is found, and the place is named."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from services.payout import audit, chain, invariants, ledger
from services.payout.chain import Head
from services.payout.database import open_database, snapshot
from tests.payout.office import FINAL, Office

LINK = "'" + "a" * 64 + "'"
PUT_IN = (
    "INSERT INTO journals (key, fingerprint, booked_at, sequence, chain) "
    f"SELECT 'new', fingerprint, booked_at, {{}}, {LINK} FROM journals WHERE sequence = 1"
)


def booked(office: Office, number: int = 6) -> None:
    """Some journals, in more than one transaction."""
    for first in (0, number // 2):
        entries = [ledger.transfer(f"j{n}", "a", "b", 100 + n, "EUR") for n in range(first, first + number // 2)]
        with office.engine.begin() as connection:
            ledger.book(connection, entries, FINAL + timedelta(microseconds=first))


def tamper(office: Office, *statements: str) -> None:
    """Change rows as somebody does who owns the database: without triggers, without foreign keys."""
    with office.engine.connect() as connection:
        sqlite = office.engine.dialect.name == "sqlite"
        if sqlite:
            connection.commit()
            connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]
        with connection.begin():
            for table in ("journals", "postings"):
                if sqlite:
                    for action in ("update", "delete"):
                        connection.execute(text(f"DROP TRIGGER {table}_no_{action}"))
                else:
                    connection.execute(text(f"DROP TRIGGER {table}_append_only ON {table}"))
            if not sqlite:
                connection.execute(text("DROP TRIGGER postings_balance ON postings"))
                connection.execute(text("ALTER TABLE postings DROP CONSTRAINT postings_journal_fkey"))
            for statement in statements:
                connection.execute(text(statement))


def differences(office: Office, noted: Head | None = None) -> Sequence[str]:
    with snapshot(office.engine) as connection:
        return audit.verify(connection, noted).differences


def head(office: Office) -> Head:
    with snapshot(office.engine) as connection:
        return chain.head(connection)


def test_what_was_booked_is_one_chain_without_a_gap(office: Office) -> None:
    booked(office)
    with snapshot(office.engine) as connection:
        found = audit.verify(connection)
    assert (found.journals, found.head.sequence, found.balance, found.differences) == (6, 6, {"EUR": 0}, [])


def test_an_empty_ledger_is_what_was_booked(office: Office) -> None:
    assert head(office) == chain.START
    assert differences(office) == []


def test_the_chain_is_the_one_that_its_description_says() -> None:
    # Worked out by hand from the module's docstring, so that it never changes in silence.
    first = chain.after(chain.START, "k", FINAL, [("a", 5, "EUR"), ("b", -5, "EUR")])
    assert first == Head(1, "27096ab262bf0bbcfa224de0c03f393386aed1762ad454dfe001180a1b4cba78")


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (["UPDATE postings SET amount_minor = amount_minor * 2 WHERE journal = 'j2'"], "breaks at journal 3 (j2)"),
        (["UPDATE postings SET account = 'c' WHERE journal = 'j0' AND position = 1"], "breaks at journal 1 (j0)"),
        (["UPDATE journals SET booked_at = '2026-01-01 00:00:00' WHERE key = 'j4'"], "breaks at journal 5 (j4)"),
        ([f"UPDATE journals SET chain = {LINK} WHERE key = 'j1'"], "breaks at journal 2 (j1)"),
        (
            [
                "UPDATE postings SET journal = 'x' WHERE journal = 'j1'",
                "UPDATE journals SET key = 'x' WHERE key = 'j1'",
            ],
            "breaks at journal 2 (x)",
        ),
        (["DELETE FROM postings WHERE journal = 'j3'"], "breaks at journal 4 (j3)"),
        (
            ["DELETE FROM postings WHERE journal = 'j3'", "DELETE FROM journals WHERE key = 'j3'"],
            "journal 4 is missing",
        ),
        (["DELETE FROM journals WHERE sequence IN (2, 3)"], "journals 2 to 3 are missing"),
        (["DELETE FROM journals WHERE sequence = 6"], "ends at journal 5, and its head says that it ends at 6"),
        ([PUT_IN.format(7)], "breaks at journal 7 (new)"),
        (["UPDATE journals SET sequence = sequence + 10 WHERE sequence > 3", PUT_IN.format(4)], "breaks at journal 4"),
        (
            [
                "UPDATE journals SET sequence = 99 WHERE sequence = 3",
                "UPDATE journals SET sequence = 3 WHERE sequence = 4",
                "UPDATE journals SET sequence = 4 WHERE sequence = 99",
            ],
            "breaks at journal 3 (j3)",
        ),
        (["UPDATE chain_head SET sequence = 5"], "ends at journal 6, and its head says that it ends at 5"),
        ([f"UPDATE chain_head SET chain = {LINK}"], "journal 6 is not the one that the ledger's head names"),
        (["DELETE FROM chain_head"], "the row that says where the ledger ends is gone"),
    ],
)
def test_an_edited_missing_added_or_moved_journal_is_named(office: Office, statements: list[str], named: str) -> None:
    booked(office)
    tamper(office, *statements)
    assert named in differences(office)[0]


def test_the_sums_are_looked_at_as_well(office: Office) -> None:
    booked(office)
    tamper(office, "UPDATE postings SET amount_minor = 1 WHERE journal = 'j2' AND position = 0")
    found = differences(office)
    assert "the postings of journal 3 (j2) do not sum to zero" in found
    assert "the postings of journal 3 (j2) are not those of its fingerprint" in found
    assert "the trial balance is -101 EUR cents, not 0" in found


def test_postings_without_a_journal_are_found(office: Office) -> None:
    booked(office)
    tamper(office, "INSERT INTO postings VALUES ('nobody', 0, 'a', 1, 'EUR')")
    assert differences(office) == ["1 postings belong to no journal"]


def test_much_that_differs_is_told_in_short(office: Office) -> None:
    booked(office, 60)
    tamper(office, "UPDATE postings SET amount_minor = 0")
    found = differences(office)
    assert len(found) == 21
    assert found[-1] == "and 100 more"


def test_a_chain_computed_anew_is_found_out_by_a_head_noted_before(office: Office) -> None:
    booked(office)
    noted = head(office)
    assert differences(office, noted) == []
    # As thorough as can be: the journal, all hashes behind it, and the head.
    statements, last = ["UPDATE postings SET amount_minor = 2 * amount_minor WHERE journal = 'j2'"], chain.START
    with snapshot(office.engine) as connection:
        for entry in audit._journals(connection):
            factor = 2 if entry.journal.key == "j2" else 1
            postings = tuple(p._replace(amount_minor=factor * p.amount_minor) for p in entry.journal.postings)
            last = chain.after(last, entry.journal.key, entry.row.booked_at, postings)
            fingerprint = ledger.Journal(entry.journal.key, postings).fingerprint
            statements.append(
                f"UPDATE journals SET chain = '{last.chain}', fingerprint = '{fingerprint}' "
                f"WHERE sequence = {last.sequence}"
            )
    tamper(office, *statements, f"UPDATE chain_head SET chain = '{last.chain}'")
    assert differences(office) == []
    assert differences(office, noted) == ["journal 6 is gone or is not the one that was noted"]


def test_a_head_noted_early_is_still_held_when_more_was_booked(office: Office) -> None:
    booked(office)
    noted = head(office)
    with office.engine.begin() as connection:
        ledger.book(connection, [ledger.transfer("later", "a", "b", 1, "EUR")], FINAL)
    assert differences(office, noted) == []
    assert differences(office, chain.START) == []


@pytest.mark.parametrize(
    "statements",
    [
        ["DELETE FROM postings WHERE journal = 'j5'", "DELETE FROM journals WHERE key = 'j5'"],
        ["DELETE FROM chain_head"],
    ],
)
def test_a_journal_that_was_removed_is_noticed_by_the_service_within_a_minute(
    office: Office, statements: list[str]
) -> None:
    booked(office)
    with office.engine.connect() as connection:
        assert invariants.violations(connection) == []
    tamper(office, *statements)
    with office.engine.connect() as connection:
        assert invariants.violations(connection) == ["1 chains whose head is not the last journal"]


def test_a_transaction_that_is_taken_back_leaves_no_gap(office: Office) -> None:
    booked(office)
    with office.engine.connect() as connection, connection.begin() as transaction:
        ledger.book(connection, [ledger.transfer("gone", "a", "b", 1, "EUR")], FINAL)
        transaction.rollback()
    booked(office, 8)
    assert head(office).sequence == 8
    assert differences(office) == []


def test_two_who_book_at_once_make_one_chain(office: Office) -> None:
    engines = [open_database(office.settings) for _ in range(2)]

    def book(number: int) -> None:
        for n in range(20):
            with engines[number].begin() as connection:
                mine = [ledger.transfer(f"{number}-{n}", "a", "b", 1, "EUR")]
                both = [ledger.transfer(f"both-{n}", "a", "b", 1, "EUR")]
                ledger.book(connection, mine + both, FINAL)

    threads = [threading.Thread(target=book, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine in engines:
        engine.dispose()
    assert head(office).sequence == 60
    assert differences(office) == []


@given(st.lists(st.lists(st.integers(0, 40), max_size=8), max_size=6))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_it_was_booked_the_chain_holds(office: Office, batches: list[list[int]]) -> None:
    for numbers in batches:
        with office.engine.begin() as connection:
            ledger.book(connection, [ledger.transfer(f"k{n}", "a", "b", n, "EUR") for n in numbers], FINAL)
    assert differences(office) == []


@pytest.mark.parametrize("wrong", ["", "7", "7:abc", f"x:{'a' * 64}", f"1:{'A' * 64}", f"-1:{'a' * 64}"])
def test_a_head_is_written_and_read_in_one_way(wrong: str) -> None:
    assert Head.parse(str(Head(7, "a" * 64))) == Head(7, "a" * 64)
    with pytest.raises(ValueError, match="is not the head of a ledger"):
        Head.parse(wrong)
