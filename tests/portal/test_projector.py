"""Events become rows, on both databases: latest state never goes back, and anything may be read twice."""

from __future__ import annotations

from datetime import date

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, select

from schemas.events import CloseKind, LineStatus, PayoutStatus
from schemas.topics import SALE_LINES, SETTLED_LINES
from services.portal.projector import SETTLED
from services.portal.tables import closes, metadata, open_serials, partners, payouts, sale_lines, tallies
from streams.rules.terms import Programme
from tests.portal.feeding import (
    NOON,
    a_close,
    a_line,
    a_partner,
    a_payout,
    a_return,
    a_tally,
    feed,
    feed_lines,
    feed_records,
)


def rows(engine: Engine, table: object) -> list[dict[str, object]]:
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(select(table))]  # type: ignore[call-overload]


def test_the_migrations_make_the_tables_that_the_code_knows(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_no_address_for_mail_is_kept(engine: Engine) -> None:
    feed(engine, a_partner("P1", email="einkauf@example.com"))
    assert "einkauf@example.com" not in str(rows(engine, partners))
    assert rows(engine, partners)[0]["name"] == "Beispiel Systemhaus GmbH"


def test_the_latest_record_of_a_key_stands_even_within_one_batch(engine: Engine, programme: Programme) -> None:
    feed(engine, a_tally(programme, "P1", 9), a_tally(programme, "P1", 10))
    assert [(row["units"], row["rebate_minor"]) for row in rows(engine, tallies)] == [(10, 5000)]


def test_an_older_record_read_again_changes_nothing(engine: Engine, programme: Programme) -> None:
    feed(engine, a_tally(programme, "P1", 10), offset=8)
    feed(engine, a_tally(programme, "P1", 9), offset=7)
    feed_records(engine, [("P1", a_partner())], offset=8)
    feed_records(engine, [("P1", None)], offset=7)
    assert rows(engine, tallies)[0]["units"] == 10
    assert len(rows(engine, partners)) == 1


def test_a_tombstone_removes_the_row(engine: Engine) -> None:
    feed(engine, a_partner("P1"), a_partner("P2"))
    assert feed_records(engine, [("P1", None)]) == {"P1"}
    assert [row["partner_id"] for row in rows(engine, partners)] == ["P2"]


@pytest.mark.parametrize("known_before", [True, False])
def test_a_line_that_moves_to_the_settled_ones_keeps_its_row(engine: Engine, known_before: bool) -> None:
    line, later = a_line("P1", "S-1", 5), a_line("P1", "S-1", 4)
    if known_before:
        feed_lines(engine, SALE_LINES, (line, False), (line, True), first_offset=7)
    feed_lines(engine, SETTLED_LINES, (line, False), first_offset=3)
    (row,) = rows(engine, sale_lines)
    assert (row["units"], row["source_offset"]) == (5, 7 if known_before else SETTLED + 3)
    # It is corrected: it passes through ``sale-lines``, for those who know it from there.
    feed_lines(engine, SETTLED_LINES, (later, False), first_offset=4)
    assert rows(engine, sale_lines)[0]["units"] == (5 if known_before else 4)
    feed_lines(engine, SALE_LINES, (later, False), (later, True), first_offset=9)
    feed_lines(engine, SETTLED_LINES, (line, False), first_offset=3)
    assert [row["units"] for row in rows(engine, sale_lines)] == [4]


def test_events_are_added_once(engine: Engine, programme: Programme) -> None:
    for _ in range(2):
        feed(engine, a_close(programme, "P1", CloseKind.FINAL, 1, 50, 75000, 75000))
        feed(engine, a_payout("P1", 1, 1, PayoutStatus.WAITING, 75000, "no-bank-details"))
    assert len(rows(engine, closes)) == 1
    assert len(rows(engine, payouts)) == 1


def test_a_line_keeps_what_its_partner_may_see(engine: Engine) -> None:
    back = a_return(1, date(2026, 11, 5))
    feed(engine, a_line("P1", "S-1", 3, units=2, serial_numbers=("A", "B"), returns=(back,), conflicts=("ff", "fe")))
    (row,) = rows(engine, sale_lines)
    assert row["serial_numbers"] == "A\nB"
    assert row["returns"] == [
        {
            "return_id": "R-1105",
            "quantity": 1,
            "returned_on": "2026-11-05",
            "recorded_at": NOON.isoformat(),
            "reason": None,
        }
    ]
    assert (row["quantity"], row["units"], row["conflicts"]) == (3, 2, 2)


def test_a_return_without_its_sale_lies_in_the_quarter_of_its_day(engine: Engine) -> None:
    back = a_return(1, date(2026, 11, 5))
    feed(engine, a_line("P1", "S-1", 0, status=LineStatus.PENDING, sold_on=None, returns=(back,)))
    (row,) = rows(engine, sale_lines)
    assert (row["quarter"], row["listed_on"]) == ("2026Q4", date(2026, 11, 5))


def test_only_sales_that_may_count_hold_their_serial_numbers(engine: Engine) -> None:
    feed(engine, a_line("P1", "S-1", 1, serial_numbers=("A", "A")), a_line("P1", "S-2", 1, serial_numbers=("B",)))
    feed(engine, a_line("P1", "S-2", 1, serial_numbers=("B",), status=LineStatus.RETURNED, units=0))
    assert [row["serial_number"] for row in rows(engine, open_serials)] == ["A"]


def test_a_character_that_a_database_refuses_does_not_stop_the_reading(engine: Engine) -> None:
    feed(engine, a_line("P1", "S-1", 1, product_id="TS\x00-100", serial_numbers=("A\x00",)))
    assert rows(engine, sale_lines)[0]["product_id"] == "TS\N{REPLACEMENT CHARACTER}-100"


def test_the_touched_partners_are_told(engine: Engine, programme: Programme) -> None:
    assert feed(engine, a_tally(programme, "P1", 1), a_line("P2", "S-1")) == {"P1", "P2"}
