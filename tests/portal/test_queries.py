"""What may be asked of the read model, on both databases."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import Engine, event

from schemas.events import CloseKind, LineStatus, PayoutStatus, Phase
from schemas.values import Quarter
from services.portal.overview import Overview
from services.portal.queries import PAGE_SIZE, PartnerRows, Place, SalesFilter, snapshot, standing
from streams.rules.terms import Programme
from tests.portal.feeding import (
    NOON,
    a_close,
    a_line,
    a_partner,
    a_payout,
    a_return,
    a_tally,
    a_tier_change,
    feed,
)

Q4 = Quarter(2026, 4)


def test_standing_is_what_the_command_line_prints(engine: Engine, programme: Programme) -> None:
    feed(engine, a_partner("P1"), a_tally(programme, "P1", 48, counted=30, pending=1, rejected=2, returned=3))
    assert standing(engine, programme, "P1", Q4, NOON) == {
        "partner_id": "P1",
        "quarter": "2026Q4",
        "units": 48,
        "tier": 25,
        "rate_minor": 1000,
        "rebate_minor": 48000,
        "currency": "EUR",
        "next_tier": {"threshold": 50, "units_missing": 2, "gain_minor": 27000},
        "phase": "open",
        "revision": -1,
        "payable_minor": 0,
        "sales": {"counted": 30, "pending": 1, "rejected": 2, "returned": 3},
    }


def test_at_the_top_there_is_no_next_tier(engine: Engine, programme: Programme) -> None:
    feed(engine, a_tally(programme, "P1", 50, phase=Phase.FINAL, revision=1, payable_minor=75000))
    found = standing(engine, programme, "P1", Q4, NOON)
    assert found is not None
    assert (found["next_tier"], found["tier"], found["rebate_minor"]) == (None, 50, 75000)
    assert (found["phase"], found["revision"], found["payable_minor"]) == ("final", 1, 75000)


@pytest.mark.parametrize(("days", "phase"), [(0, "open"), (40, "provisional"), (70, "final")])
def test_who_sold_nothing_stands_at_zero_in_the_phase_of_the_calendar(
    engine: Engine, programme: Programme, days: int, phase: str
) -> None:
    feed(engine, a_partner("P1"))
    found = standing(engine, programme, "P1", Q4, NOON + timedelta(days=days))
    assert found is not None
    assert (found["units"], found["phase"], found["revision"], found["payable_minor"]) == (0, phase, -1, 0)


def test_nobody_knows_an_unknown_partner(engine: Engine, programme: Programme) -> None:
    feed(engine, a_partner("P1"))
    assert standing(engine, programme, "P2", Q4, NOON) is None


def test_sales_before_the_registration_are_seen(engine: Engine, programme: Programme) -> None:
    feed(engine, a_tally(programme, "P1", 0, pending=1))
    found = standing(engine, programme, "P1", Q4, NOON)
    assert found is not None
    assert found["sales"]["pending"] == 1


def test_a_partner_with_nothing_but_a_line_is_known(engine: Engine, programme: Programme) -> None:
    feed(engine, a_line("P1", "S-1", status=LineStatus.PENDING, reason="partner-not-registered", units=0))
    assert standing(engine, programme, "P1", Q4, NOON) is not None


def test_every_query_about_a_partner_binds_him_first(engine: Engine, programme: Programme) -> None:
    feed(engine, a_partner("P1"), a_partner("P2"))
    asked: list[tuple[str, object]] = []
    event.listen(engine, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))
    with snapshot(engine) as connection:
        rows = PartnerRows(connection, programme.id, "P1")
        rows.partner()
        rows.quarters()
        for query in (rows.tally, rows.sales_by_status, rows.units_by_day, rows.closes, rows.payouts):
            query(Q4)
        rows.sales(
            SalesFilter(Q4, LineStatus.COUNTED, "x", "TS-100", NOON.date(), NOON.date()),
            Place("2026Q4", NOON.date(), "S"),
        )
        list(rows.every_sale(SalesFilter(search="x")))
        rows.latest_sales(Q4, 5)
        rows.sale("S-1")
        rows.tier_changes(Q4)
        rows.standings()
        rows.payouts()
    selects = [(sql, bound) for sql, bound in asked if sql.startswith(("SELECT", "WITH"))]
    assert len(selects) == 20
    for sql, bound in selects:
        first = next(iter(bound.values() if isinstance(bound, dict) else bound))  # type: ignore[call-overload]
        assert first == "P1", sql


def test_sales_are_found_by_number_serial_and_verdict(engine: Engine, programme: Programme) -> None:
    feed(
        engine,
        a_line("P1", "RE-1", 1, serial_numbers=("MP100", "MP101")),
        a_line("P1", "RE-2", 1, status=LineStatus.REJECTED, units=0, product_id="KB-010"),
        a_line("P1", "50%_off", 1),
        a_line("P2", "RE-3", 1, serial_numbers=("MP100",)),
    )
    with snapshot(engine) as connection:
        rows = PartnerRows(connection, programme.id, "P1")

        def found(**wanted: object) -> list[str]:
            return sorted(row.sale_id for row in rows.sales(SalesFilter(Q4, **wanted)).rows)  # type: ignore[arg-type]

        assert found(search="re-") == ["RE-1", "RE-2"]
        assert found(search="mp101") == ["RE-1"]
        assert found(search="%_") == ["50%_off"]
        assert found(search="RE-3") == []
        assert found(status=LineStatus.REJECTED) == ["RE-2"]
        assert found(product_id="TS-200", since=date(2026, 11, 2), until=date(2026, 11, 2)) == ["50%_off", "RE-1"]
        assert found(since=date(2026, 11, 3)) == found(until=date(2026, 11, 1)) == []


def test_a_whole_number_is_found_alone_and_a_part_of_one_among_all(engine: Engine, programme: Programme) -> None:
    feed(engine, a_line("P1", "RE-1"), a_line("P1", "RE-10"), a_line("P1", "X", serial_numbers=("re-1-7",)))
    feed(engine, a_line("P1", "Y", status=LineStatus.RETURNED, units=0, serial_numbers=("MP7",)))
    with snapshot(engine) as connection:
        rows = PartnerRows(connection, programme.id, "P1")
        found = {
            search: sorted(row.sale_id for row in rows.sales(SalesFilter(search=search)).rows)
            for search in ("re-1", "e-1", "RE-1-7", "mp7")
        }
    assert found == {"re-1": ["RE-1"], "e-1": ["RE-1", "RE-10", "X"], "RE-1-7": ["X"], "mp7": ["Y"]}


def test_sales_are_counted_from_the_standings_and_a_return_alone_besides(engine: Engine, programme: Programme) -> None:
    alone = a_line(
        "P1", "S-3", 0, status=LineStatus.PENDING, units=0, sold_on=None, returns=(a_return(1, NOON.date()),)
    )
    feed(
        engine,
        alone,
        a_tally(programme, "P1", 9, counted=3, rejected=2),
        a_tally(programme, "P1", 1, "2026Q3", counted=1),
    )
    feed(engine, a_tally(programme, "P2", 9, counted=7))
    with snapshot(engine) as connection:
        rows = PartnerRows(connection, programme.id, "P1")
        assert rows.sales_by_status(Q4) == {"counted": 3, "rejected": 2, "pending": 1}
        assert rows.sales_by_status(Quarter(2026, 3)) == {"counted": 1}
        assert rows.sales_by_status() == {"counted": 4, "rejected": 2, "pending": 1}


@pytest.mark.parametrize("wanted", [SalesFilter(), SalesFilter(Q4), SalesFilter(Q4, LineStatus.COUNTED)])
def test_pages_of_sales_follow_each_other_newest_first_and_back(
    engine: Engine, programme: Programme, wanted: SalesFilter
) -> None:
    first, number = date(2026, 9 if wanted.quarter is None else 10, 1), 2 * PAGE_SIZE + 3
    feed(engine, *(a_line("P1", f"S-{n:03}", sold_on=first + timedelta(days=n % 60)) for n in range(number)))
    alone = a_line("P1", "ALONE", 0, units=0, sold_on=None, returns=(a_return(1, date(2026, 12, 24)),))
    feed(engine, alone, a_line("P2", "S-999"))
    with snapshot(engine) as connection:
        rows = PartnerRows(connection, programme.id, "P1")
        pages = [rows.sales(wanted)]
        while pages[-1].older_than is not None:
            pages.append(rows.sales(wanted, pages[-1].older_than))
        back = [pages[-1]]
        while back[-1].newer_than is not None:
            back.append(rows.sales(wanted, back[-1].newer_than, newer=True))
        everything = [row.sale_id for row in rows.every_sale(wanted)]
        latest = rows.latest_sales(Q4, 5)
    listed = [row.sale_id for page in pages for row in page.rows]
    assert [len(page.rows) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 4]
    assert listed == everything
    assert len(set(listed)) == number + 1
    assert listed[0] == "ALONE"
    days = [row.listed_on for page in pages for row in page.rows]
    assert days == sorted(days, reverse=True)
    assert [[row.sale_id for row in page.rows] for page in reversed(back)][1:] == [
        [row.sale_id for row in page.rows] for page in pages
    ][1:]
    assert pages[0].newer_than is None
    assert [row.sale_id for row in latest] == listed[:5]


def test_all_quarters_with_a_line_are_known(engine: Engine, programme: Programme) -> None:
    feed(engine, *(a_line("P1", f"S-{n}", sold_on=date(2025 + n // 4, 1 + n % 4 * 3, 5)) for n in (0, 2, 3, 5, 6)))
    feed(engine, a_tally(programme, "P1", 0, "2024Q1"), a_line("P2", "S-9", sold_on=date(2025, 4, 5)))
    with snapshot(engine) as connection:
        assert PartnerRows(connection, programme.id, "P1").quarters() == [
            *("2026Q3", "2026Q2", "2025Q4", "2025Q3", "2025Q1", "2024Q1"),
        ]
        assert PartnerRows(connection, programme.id, "P3").quarters() == []


def test_units_by_day_add_up_to_the_standing(engine: Engine, programme: Programme) -> None:
    feed(
        engine,
        a_line("P1", "S-1", 5, sold_on=date(2026, 10, 1)),
        a_line("P1", "S-2", 3, units=2, sold_on=date(2026, 10, 1)),
        a_line("P1", "S-3", 4, sold_on=date(2026, 11, 1)),
        a_line("P1", "S-4", 4, sold_on=date(2026, 9, 30)),
    )
    with snapshot(engine) as connection:
        assert PartnerRows(connection, programme.id, "P1").units_by_day(Q4) == [
            (date(2026, 10, 1), 7),
            (date(2026, 11, 1), 4),
        ]


def test_a_payout_shows_where_the_money_is_now(engine: Engine, programme: Programme) -> None:
    feed(
        engine,
        a_payout("P1", 1, 1, PayoutStatus.WAITING, 75000, "no-bank-details"),
        a_payout("P1", 1, 2, PayoutStatus.IN_PAYMENT, 75000),
        a_payout("P1", 2, 1, PayoutStatus.PAYABLE, -26000),
    )
    with snapshot(engine) as connection:
        found = PartnerRows(connection, programme.id, "P1").payouts(Quarter(2026, 3))
        whole = Overview(connection, programme.id, Quarter(2026, 3)).payouts()
    assert [(row.revision, row.status) for row in found] == [(1, "in_payment"), (2, "payable")]
    assert [(row.status, row.number, int(row.amount_minor)) for row in whole] == [
        ("in_payment", 1, 75000),
        ("payable", 1, -26000),
    ]


def test_the_overview_counts_every_registered_partner_once(engine: Engine, programme: Programme) -> None:
    feed(engine, *(a_partner(f"P{n}", country="FR" if n == 4 else "DE") for n in range(1, 5)))
    feed(engine, a_partner("P5", left_on=date(2026, 9, 1)), a_partner("P6", registered_on=date(2027, 1, 1)))
    feed(engine, a_tally(programme, "P1", 50), a_tally(programme, "P4", 12), a_tally(programme, "P9", 0, pending=1))
    with snapshot(engine) as connection:
        overview = Overview(connection, programme.id, Q4)
        tiers = [(r.tier, r.partners, r.selling, int(r.units), int(r.rebate_minor)) for r in overview.by_tier()]
        countries = [(r.country, r.partners, int(r.units)) for r in overview.by_country()]
    assert tiers == [(0, 2, 0, 0, 0), (10, 1, 1, 12, 6000), (50, 1, 1, 50, 75000)]
    assert countries == [("DE", 3, 50), ("FR", 1, 12)]


def test_the_overview_counts_who_registered_after_the_quarter_and_is_owed_for_it(
    engine: Engine, programme: Programme
) -> None:
    feed(engine, a_partner("P1"), a_partner("P2", registered_on=date(2027, 1, 15)))
    feed(engine, a_tally(programme, "P1", 10), a_tally(programme, "P2", 24))
    with snapshot(engine) as connection:
        tiers = [(row.partners, int(row.rebate_minor)) for row in Overview(connection, programme.id, Q4).by_tier()]
    assert tiers == [(2, 17_000)]


def test_the_overview_names_what_is_open_with_two_partners(engine: Engine, programme: Programme) -> None:
    feed(
        engine,
        a_line("P1", "S-1", serial_numbers=("A",)),
        a_line("P2", "S-1", status=LineStatus.PENDING, units=0, serial_numbers=("B",)),
        a_line("P3", "S-3", serial_numbers=("A",)),
        a_line("P4", "S-3", status=LineStatus.RETURNED, units=0),
        a_line("P1", "S-5", serial_numbers=("A",)),
    )
    with snapshot(engine) as connection:
        overview = Overview(connection, programme.id, Q4)
        assert [tuple(row) for row in overview.sale_conflicts()] == [("S-1", "P1", "P2", 2)]
        assert [tuple(row) for row in overview.serial_conflicts()] == [("A", "P1", "P3", 2)]


def test_the_overview_tells_changes_closes_and_verdicts(engine: Engine, programme: Programme) -> None:
    feed(engine, a_partner("P1"), a_tier_change(programme, "P1", 2, 9, 10), a_tier_change(programme, "P2", 1, 25, 24))
    feed(engine, a_close(programme, "P1", CloseKind.FINAL, 1, 50, 75000, 75000))
    feed(engine, a_line("P1", "S-1"), a_line("P1", "S-2", status=LineStatus.REJECTED, reason="sold-in-future", units=0))
    with snapshot(engine) as connection:
        overview = Overview(connection, programme.id, Q4)
        assert [(row.partner_id, row.name) for row in overview.latest_tier_changes()] == [
            ("P2", None),
            ("P1", "Beispiel Systemhaus GmbH"),
        ]
        assert {(row.status, row.reason, row.sales) for row in overview.by_verdict()} == {
            ("counted", None, 1),
            ("rejected", "sold-in-future", 1),
        }
        closed = Overview(connection, programme.id, Quarter(2026, 3)).closes()
    assert [(row.kind, row.number, int(row.payable_minor)) for row in closed] == [("final", 1, 75000)]


def test_a_page_is_read_while_a_batch_is_being_written(engine: Engine, programme: Programme) -> None:
    feed(engine, a_tally(programme, "P1", 9))
    with engine.begin() as writing:
        writing.exec_driver_sql("UPDATE tallies SET units = 10")
        found = standing(engine, programme, "P1", Q4, NOON)
    assert found is not None
    assert found["units"] == 9
