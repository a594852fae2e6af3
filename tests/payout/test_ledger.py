"""Double entry, on both databases."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from services.payout import ledger
from services.payout.ledger import Journal, KeyReused, Posting, Unbalanced
from services.payout.tables import journals, metadata, postings
from tests.payout.office import FINAL, Office

entries = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(-(2**62), 2**62)),
    max_size=20,
)


@given(entries)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_booked_the_trial_balance_is_zero(office: Office, some: list[tuple[int, str, str, int]]) -> None:
    for number, debit, credit, amount in some:
        try:
            with office.engine.begin() as connection:
                ledger.book(connection, [ledger.transfer(f"j{number}", debit, credit, amount, "EUR")], FINAL)
        except KeyReused:
            pass
    with office.engine.connect() as connection:
        sums = connection.execute(select(postings.c.journal, postings.c.amount_minor)).all()
    by_journal: dict[str, int] = {}
    for journal, amount in sums:
        by_journal[journal] = by_journal.get(journal, 0) + amount
    assert set(by_journal.values()) <= {0}


def test_the_same_journal_is_booked_once(office: Office) -> None:
    journal = ledger.transfer("k", "a", "b", 5, "EUR")
    with office.engine.begin() as connection:
        assert ledger.book(connection, [journal, journal], FINAL) == 1
    with office.engine.begin() as connection:
        assert ledger.book(connection, [journal], FINAL) == 0
        assert ledger.trial_balance(connection) == {"EUR": 0}
        assert ledger.balances(connection) == {("a", "EUR"): 5, ("b", "EUR"): -5}


@pytest.mark.parametrize("apart", [True, False])
def test_a_known_key_with_other_content_is_an_error(office: Office, apart: bool) -> None:
    one, other = ledger.transfer("k", "a", "b", 5, "EUR"), ledger.transfer("k", "a", "b", 6, "EUR")
    if apart:
        with office.engine.begin() as connection:
            ledger.book(connection, [one], FINAL)
    with pytest.raises(KeyReused), office.engine.begin() as connection:
        ledger.book(connection, [other] if apart else [one, other], FINAL)
    with office.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(journals)).scalar() == int(apart)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (Posting("a", 1, "EUR"),),
        (Posting("a", 1, "EUR"), Posting("b", -2, "EUR")),
        (Posting("a", 1, "EUR"), Posting("b", -1, "SEK")),
    ],
)
def test_a_journal_out_of_balance_is_refused(office: Office, lines: tuple[Posting, ...]) -> None:
    with pytest.raises(Unbalanced), office.engine.begin() as connection:
        ledger.book(connection, [Journal("k", lines)], FINAL)


def test_the_migrated_tables_are_those_of_the_metadata(office: Office) -> None:
    with office.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
