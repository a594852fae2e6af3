"""The vendor's work lists: conflicts and how one ends, what does not count, and what a close needs."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import Engine

from schemas.events import CloseKind, LineStatus, PayoutStatus, SaleReturned
from schemas.values import Quarter
from services.portal.audit import Wanted as Entries
from services.portal.audit import entries
from services.portal.auth import Role
from services.portal.lists.conflicts import Kind, Outcome, Wanted, conflicts, enter_return, number_of
from services.portal.overview import Overview
from streams.rules.terms import Programme
from tests.portal.claiming import claim, staff, told
from tests.portal.conftest import Site, mark_in
from tests.portal.feeding import NOON, a_close, a_line, a_partner, a_payout, a_return, a_tally, feed
from tests.portal.test_exports import cells
from tests.portal.test_pages import words

SERIAL = Wanted("P1", "S-1", "MP0001", "wrong-partner", "", "anna")


def conflicting(engine: Engine, programme: Programme) -> None:
    """One serial number with two partners, one twice with one, and one sale id with two."""
    feed(engine, a_partner("P1"), a_partner("P2", name="Muster Datentechnik GmbH"))
    feed(
        engine,
        a_line("P1", "S-1", 50, serial_numbers=("MP0001", "MP0009")),
        a_line("P1", "S-2", 1, serial_numbers=("MP0009",)),
        a_line("P2", "S-9", 1, serial_numbers=("MP0001",)),
        a_line("P2", "S-1", 3),
        a_line("P2", "S-8", 1, status=LineStatus.RETURNED, units=0, serial_numbers=("MP0009",)),
        a_tally(programme, "P1", 50, counted=2),
        a_tally(programme, "P2", 4, counted=2),
    )


def test_a_conflict_names_its_sales_and_what_they_are_worth(engine: Engine, programme: Programme) -> None:
    conflicting(engine, programme)
    with engine.connect() as connection:
        serials = conflicts(connection, programme, Kind.SERIAL, 1)
        sales = conflicts(connection, programme, Kind.SALE, 1)
        assert (number_of(connection, Kind.SERIAL), number_of(connection, Kind.SALE)) == (2, 1)
    found = {one.what: [(side.line.partner_id, side.line.sale_id) for side in one.sides] for one in serials.rows}
    assert found == {"MP0001": [("P1", "S-1"), ("P2", "S-9")], "MP0009": [("P1", "S-1"), ("P1", "S-2")]}
    # The fiftieth unit lifts all of them to the next tier: without it 49 × 10 € are left of 50 × 15 €.
    assert [side.worth_minor for side in serials.rows[0].sides] == [26_000, 0]
    assert [(side.units, side.worth_minor, side.name) for side in sales.rows[0].sides] == [
        (50, 75_000, "Beispiel Systemhaus GmbH"),
        (3, 0, "Muster Datentechnik GmbH"),
    ]


def test_a_return_ends_a_conflict_at_once_and_is_told_and_noted(engine: Engine, programme: Programme) -> None:
    conflicting(engine, programme)
    assert enter_return(engine, programme, SERIAL, NOON) is Outcome.DONE
    ((topic, event),) = told(engine)
    assert topic == "sales:SaleReturned"
    said = msgspec.json.decode(event, type=SaleReturned)
    assert (said.sale_id, said.partner_id, said.quantity, said.serial_numbers) == ("S-1", "P1", 1, ("MP0001",))
    assert (said.returned_on, said.reported_at, said.reported_by) == (date(2026, 11, 24), NOON, "staff")
    with engine.connect() as connection:
        assert [one.what for one in conflicts(connection, programme, Kind.SERIAL, 1).rows] == ["MP0009"]
        assert [row.what for row in Overview(connection, programme.id, Quarter(2026, 4)).serial_conflicts()] == []
        ((who, what),) = [(row.who, row.what) for row in entries(connection, Entries()).rows]
    assert (who, what) == ("staff anna", "return-entered")
    # The line comes back with the return in it and still counts 49: the serial number stays settled.
    feed(engine, a_line("P1", "S-1", 50, units=49, serial_numbers=("MP0001", "MP0009")))
    assert enter_return(engine, programme, SERIAL, NOON) is Outcome.GONE


def test_a_whole_sale_is_given_back_with_what_is_left_of_it(engine: Engine, programme: Programme) -> None:
    conflicting(engine, programme)
    feed(engine, a_line("P2", "S-1", 3, units=2, returns=(a_return(1, date(2026, 11, 5)),)))
    whole = Wanted("P2", "S-1", "", "wrong-partner", "", "anna")
    assert enter_return(engine, programme, whole, NOON) is Outcome.DONE
    assert msgspec.json.decode(told(engine)[0][1], type=SaleReturned).quantity == 2
    with engine.connect() as connection:
        assert number_of(connection, Kind.SALE) == 0


def test_the_same_return_twice_at_once_is_entered_once(engine: Engine, programme: Programme) -> None:
    conflicting(engine, programme)
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: enter_return(engine, programme, SERIAL, NOON), range(4)))
    assert sorted(outcomes) == [Outcome.DONE, *[Outcome.GONE] * 3]
    assert len(told(engine)) == 1


@pytest.mark.parametrize(
    "other",
    [
        SERIAL._replace(serial_number="MP9999"),
        SERIAL._replace(sale_id="S-7"),
        SERIAL._replace(partner_id="P3"),
        SERIAL._replace(partner_id="P2", sale_id="S-8", serial_number="MP0009"),
    ],
)
def test_what_is_not_open_is_not_given_back(engine: Engine, programme: Programme, other: Wanted) -> None:
    conflicting(engine, programme)
    assert enter_return(engine, programme, other, NOON) is Outcome.GONE
    assert enter_return(engine, programme, SERIAL, NOON + timedelta(days=300)) is Outcome.TOO_LATE
    assert told(engine) == []


def test_staff_ends_a_conflict_on_the_page_and_a_viewer_does_not(site: Site) -> None:
    conflicting(site.engine, site.programme)
    anna = staff(site)
    page = anna.get("/conflicts")
    said = words(page.text)
    assert "Serial number MP0001" in said
    assert "Beispiel Systemhaus GmbH P1 S-1 2 November 2026 3 November 2026 1 €260 Counted" in said
    form = SERIAL._asdict() | {"mark": mark_in(page.text)}
    answer = anna.post("/conflicts?kind=serial", data=form)
    assert answer.headers["location"] == "/conflicts?kind=serial&done=1"
    assert "The return is on its way to the count." in words(anna.get(answer.headers["location"]).text)
    again = anna.post("/conflicts?kind=serial", data=form)
    assert again.status_code == 409
    assert "Somebody was quicker" in words(again.text)
    assert anna.post("/conflicts", data=form | {"reason": "x"}).status_code == 403
    viewer = site.staff(Role.VIEWER, "vera")
    assert "Enter a return" not in viewer.get("/conflicts").text
    assert viewer.post("/conflicts", data=form | {"mark": site.mark(viewer)}).status_code == 404


def test_conflicts_as_files_have_a_row_for_each_sale(site: Site) -> None:
    conflicting(site.engine, site.programme)
    text = staff(site).get("/conflicts.csv?kind=serial").content.decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))
    assert rows[1][:4] == ["MP0001", "P1", "Beispiel Systemhaus GmbH", "S-1"]
    assert rows[1][8:] == ["1", "260,00", "EUR"]
    assert len(rows) == 5
    assert len(cells(staff(site).get("/conflicts.xlsx?kind=sale").content)) == 3
    assert staff(site).get("/conflicts?kind=x").status_code == 404


def test_many_conflicts_have_pages_and_files_hold_all(site: Site) -> None:
    for number in range(60):
        serial = (f"Z{number:03}",)
        feed(site.engine, a_line("P1", f"A-{number}", 1, serial_numbers=serial))
        feed(site.engine, a_line("P2", f"B-{number}", 1, serial_numbers=serial))
    assert "Page 3 of 3" in words(staff(site).get("/conflicts?page=3").text)
    assert staff(site).get("/conflicts.csv").text.count("\r\n") == 121


def test_what_does_not_count_is_counted_by_reason_and_listed(site: Site) -> None:
    feed(
        site.engine,
        a_line("P2", "X-20", 4, status=LineStatus.REJECTED, reason="product-not-in-programme", units=0),
        a_line("P3", "S-21", 5, status=LineStatus.PENDING, reason="partner-not-registered", units=0),
        a_line("P3", "=S", 1, status=LineStatus.REJECTED, reason="some-later-reason", units=0),
    )
    anna = staff(site)
    said = words(anna.get("/rejected").text)
    assert "Product not in the programme Not counted 2 6 2" in said
    assert "Partner not registered Waiting 1 5 1" in said
    assert "Another reason Not counted 1 1 1" in said
    one = words(anna.get("/rejected?quarter=2026Q4&reason=partner-not-registered").text)
    assert "S-21" in one
    assert "X-20" not in one
    text = anna.get("/rejected.csv?quarter=2026Q4").content.decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))
    assert {row[3] for row in rows[1:]} == {"S-3", "X-20", "S-21", "'=S"}
    assert len(cells(anna.get("/rejected.xlsx?quarter=2026Q4&reason=some-later-reason").content)) == 2
    for address in ("/rejected?quarter=2020Q1", "/rejected?quarter=x", "/rejected.csv?quarter=x", "/rejected?page=x"):
        assert anna.get(address).status_code == 404


def test_the_checklist_of_a_close_says_what_is_to_do(site: Site) -> None:
    anna = staff(site)
    said = words(anna.get("/closing").text)
    assert "Not due yet The quarter ends on 1 January 2027, 00:00." in said
    assert "Done No claim waits for a decision." in said
    assert "Done No sale waits." in said
    claim(site.signed_in("P1"))
    feed(
        site.engine,
        a_line("P1", "S-4", 1, status="pending", reason="return-before-sale", units=0),
        a_line("P2", "S-5", 1, serial_numbers=("MP0001",)),
    )
    said = words(anna.get("/closing").text)
    assert "3 things are to do now." in said
    assert "To do 1 claim waits for a decision." in said
    assert "To do 2 sales are in a conflict of serial numbers." in said
    assert "To do 1 sale waits:" in said


def test_the_checklist_follows_a_quarter_to_its_payment(site: Site) -> None:
    feed(
        site.engine,
        a_tally(site.programme, "P1", 31, "2026Q3", phase="final", as_of=datetime(2026, 9, 30, tzinfo=UTC)),
        a_tally(site.programme, "P2", 5, "2026Q3", phase="final", as_of=None),
        a_tally(site.programme, "P1", 48, as_of=NOON - timedelta(days=20)),
        a_tally(site.programme, "P2", 1, as_of=None),
        a_close(site.programme, "P1", CloseKind.PROVISIONAL, 0, 31, 0, 0),
        a_close(site.programme, "P2", CloseKind.PROVISIONAL, 0, 5, 0, 0),
        a_close(site.programme, "P1", CloseKind.FINAL, 1, 31, 31000, 31000),
        a_payout("P1", 1, 1, PayoutStatus.WAITING, 31000, "no-bank-details"),
    )
    anna = staff(site)
    said = words(anna.get("/closing?quarter=2026Q3").text)
    assert "Done Provisional results: 2 of 2 partners." in said
    assert "To do Final results: 1 of 2 partners." in said
    assert "To do Payouts paid or set off: 0 of 1." in said
    assert "To do The latest report came in on 4 November 2026, 12:00. Distributors report weekly: ask them." in said
    feed(
        site.engine,
        a_close(site.programme, "P2", CloseKind.FINAL, 1, 5, 0, 0),
        a_payout("P1", 1, 2, PayoutStatus.PAID, 31000),
        a_tally(site.programme, "P1", 48),
    )
    said = words(anna.get("/closing?quarter=2026Q3").text)
    assert "Nothing is to do now." in said
    assert "Done Payouts paid or set off: 1 of 1." in said
