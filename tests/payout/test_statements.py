"""Which statements are issued, what they say, and that each is issued once under a number without a gap."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DatabaseError

from deploy.runtime.settings import ROOT
from schemas.events import PayoutStatus, PreferencesChanged, PreferenceSource
from schemas.topics import PARTNERS, PREFERENCES
from services.kit.statements import Form
from services.payout.answers import effects
from services.payout.bank_days import next_bank_day
from services.payout.database import open_database
from services.payout.statements import stored
from services.payout.statements.desk import Desk
from services.payout.statements.facts import Kind
from services.payout.states import PaymentState
from services.payout.tables import payments, statement_years, statements
from tests.payout.office import FINAL, FRIDAY, PROGRAMME, Office, closes, iban_of
from tests.payout.papers import Still, close, desk, earns, issued, paid, read, registered, sale, says, shelf
from tests.waiting import until

MONDAY = next_bank_day(FRIDAY)
TUESDAY = next_bank_day(MONDAY)


def numbers(office: Office) -> list[str]:
    with office.engine.connect() as connection:
        return stored.numbers(connection)


def came_back(office: Office, state: PaymentState, returned_on: date | None) -> None:
    """The bank did not keep what it was given, and the money is payable again."""
    with office.engine.begin() as connection:
        told = [effects.Told(row, "MD07", returned_on) for row in connection.execute(select(payments))]
        (effects.give_back if state is PaymentState.RETURNED else effects.reject)(connection, told, FINAL)
    office.recount()


def test_a_released_payment_has_one_statement_that_explains_it(office: Office) -> None:
    registered(office, "P1")
    office.apply([sale("P1", "S1", 40, date(2026, 10, 5)), sale("P1", "S2", 12, date(2026, 12, 1), returned=2)])
    office.apply([close(office, "P1", 50)])
    office.details("P1")
    office.recount()
    assert issued(office) == []
    office.pay()
    (found,) = issued(office)
    assert issued(office) == [found]
    facts = found.facts
    with office.engine.connect() as connection:
        reference = connection.execute(select(payments.c.end_to_end_id)).scalar_one()
    assert (facts.kind, facts.number, facts.document_id) == (Kind.PAYMENT, "BA-2027-000001", reference)
    assert facts.total_minor == 75_000
    masked = f"DE…{iban_of('P1')[-4:]}"
    assert not says(
        read(found.pdf),
        *("Bonusabrechnung", "Nummer BA-2027-000001", "Datum 29. Januar 2027", "Partner P1", "Programm Topseller"),
        *("Bedingungen 2026-1", "Müller & Söhne GmbH", "Deutschland", "Staffel Hardware GmbH · Berlin"),
        *("Auszahlung an Sie 750,00 €", f"Auf Konto {masked}", "Ausführung am 1. Februar 2027", reference),
        *("4. Quartal 2026, Endergebnis 50 750,00 € 0,00 € 750,00 €", "Auszahlung an Sie 750,00 €"),
        *("19 % 630,25 € 119,75 € 750,00 €", "Distributor", "§ 17 Abs. 1 UStG"),
        *("Ab 50 Stück bringt jedes Stück des Quartals 15,00 €: 50 × 15,00 € = 750,00 €.",),
        *("TS-100 Notebook 14, entry 40 0 10 50", "Summe 40 0 10 50"),
        *("05.10.26 S1 TS-100 40 0 40", "01.12.26 S2 TS-100 12 2 10"),
    )
    assert iban_of("P1") not in read(found.pdf)
    assert "Gutschrift" not in read(found.pdf)


def test_what_moves_no_money_has_no_statement(office: Office) -> None:
    for partner_id in ("P1", "P2"):
        office.details(partner_id)
    earns(office, "P1", 9)
    office.sells("P2", 50)
    office.apply([close(office, "P2", 49)])  # held: the recount says something else
    earns(office, "P3", 50)  # waits for bank details
    office.recount()
    office.pay()
    assert issued(office) == []


def test_a_payment_that_is_only_prepared_has_none(office: Office) -> None:
    paid(office, "P1")
    with office.engine.begin() as connection:
        connection.execute(update(payments).values(state=PaymentState.PREPARED))
    assert issued(office) == []


def test_a_clawback_is_carried_forward_and_then_set_off(office: Office) -> None:
    registered(office, "P1", language="en", country="IE")
    paid(office, "P1")
    earns(office, "P1", 49, revision=2)
    office.recount()
    assert [found.facts.kind for found in issued(office)] == [Kind.PAYMENT, Kind.CARRIED]
    earns(office, "P1", 10, "2026Q3")
    office.recount()
    office.pay(MONDAY)
    earns(office, "P1", 40, "2026Q2")
    office.recount()
    office.pay(TUESDAY)

    _, first, last = issued(office)
    assert not says(
        read(first.pdf),
        *("Carried forward -€260.00", "There is nothing for you to pay.", "Value added tax is dealt with once"),
        *("Q4 2026, Adjustment 1 49 €490.00 €750.00 -€260.00", "Opening balance €0.00"),
        *("New in this statement -€260.00", "Paid out €0.00", "Closing balance -€260.00"),
    )
    assert last.facts.kind is Kind.PAYMENT
    assert not says(
        read(last.pdf),
        *("Payment to you €190.00", "Q4 2026, Adjustment 1 carried forward on BA-2027-000002 49 €490.00"),
        *("Q3 2026, Final result 10 €50.00 €0.00 €50.00", "Q2 2026, Final result 40 €400.00 €0.00 €400.00"),
        *("Opening balance -€260.00", "New in this statement €450.00", "Paid out -€190.00", "Closing balance €0.00"),
    )
    assert [position.carried_on for position in last.facts.positions] == ["", "", "BA-2027-000002"]


def test_what_is_earned_while_more_is_owed_is_stated_with_opening_and_closing_balance(office: Office) -> None:
    paid(office, "P1")
    earns(office, "P1", 0, revision=2)
    office.recount()
    issued(office)
    earns(office, "P1", 10, "2026Q3")
    office.recount()
    _, first, second = issued(office)
    assert (first.facts.total_minor, first.facts.opening_minor) == (-75_000, 0)
    assert (second.facts.total_minor, second.facts.opening_minor) == (-70_000, -75_000)
    assert [position.carried_on for position in second.facts.positions] == ["", "BA-2027-000002"]
    assert [found.facts.kind for found in issued(office)] == [Kind.PAYMENT, Kind.CARRIED, Kind.CARRIED]


def test_what_is_set_off_to_zero_is_stated_without_a_payment(office: Office) -> None:
    registered(office, "P1", language="en", country="IE")
    paid(office, "P1")
    earns(office, "P1", 49, revision=2)
    office.recount()
    issued(office)
    earns(office, "P1", 26, "2026Q3")
    office.recount()
    _, _, found = issued(office)
    assert found.facts.kind is Kind.SET_OFF
    assert (found.facts.total_minor, found.facts.opening_minor, found.facts.vat) == (0, -26_000, ())
    assert not says(read(found.pdf), "Set off €0.00", "Nothing is paid.", "Closing balance €0.00")
    assert len(issued(office)) == 3


@pytest.mark.parametrize(
    ("state", "returned_on", "sentence"),
    [
        (PaymentState.RETURNED, date(2027, 2, 1), "came back on 1 February 2027. The rebate counts once."),
        (PaymentState.REJECTED, None, "was not executed by the bank. The rebate counts once."),
    ],
)
def test_the_statement_of_a_second_payment_replaces_that_of_the_first(
    office: Office, state: PaymentState, returned_on: date | None, sentence: str
) -> None:
    registered(office, "P1", language="en", country="IE")
    paid(office, "P1")
    (first,) = issued(office)
    came_back(office, state, returned_on)
    assert len(issued(office)) == 1
    office.pay(MONDAY)
    _, second = issued(office)
    assert second.facts.document_id != first.facts.document_id
    assert [said.number for said in second.facts.replaces] == [first.facts.number]
    assert not says(read(second.pdf), f"Replaces BA-2027-000001: its payment {first.facts.document_id} {sentence}")


def test_reports_since_the_result_are_pointed_out(office: Office) -> None:
    registered(office, "P1", language="en", country="IE")
    paid(office, "P1")
    office.sells("P1", 3, sale_id="late")
    (found,) = issued(office)
    assert found.facts.quarters[0].later_units == 3
    assert not says(read(found.pdf), "have changed the quarter by +3 units. A later statement settles them.")


def test_a_partner_who_was_forgotten_still_has_his_statement(office: Office) -> None:
    registered(office, "P1")
    paid(office, "P1")
    office.deliver(PARTNERS, [("P1", None)])
    (found,) = issued(office)
    assert (found.facts.partner.name, found.facts.language) == ("P1", "en")
    assert "Rebate statement" in read(found.pdf)


@pytest.mark.parametrize(("chosen", "written"), [("de", "de"), ("fr", "fr"), ("", "en"), ("xx", "en")])
def test_a_statement_speaks_the_chosen_language_if_there_is_such_a_one(
    office: Office, chosen: str, written: str
) -> None:
    registered(office, "P1", language="en", country="IE")
    choice = PreferencesChanged("P1", True, PreferenceSource.PORTAL, FINAL, chosen)
    office.deliver(PREFERENCES, [("P1", choice)])
    paid(office, "P1")
    (found,) = issued(office)
    assert found.facts.language == written


def test_numbers_begin_again_with_each_year(office: Office) -> None:
    paid(office, "P1")
    issued(office, Still(datetime(2027, 12, 31, 22, 59, tzinfo=UTC)))
    office.details("P2")
    earns(office, "P2", 50)
    office.recount()
    office.pay(MONDAY)
    issued(office, Still(datetime(2027, 12, 31, 23, 0, tzinfo=UTC)))  # midnight in the programme's zone
    assert numbers(office) == ["BA-2027-000001", "BA-2028-000001"]


def test_what_does_not_add_up_is_not_issued_and_holds_up_nothing(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("P1", "P2", "P3")
    for partner_id in names:
        registered(office, partner_id, name="Geheim GmbH")
    paid(office, *names)
    wrong = payments.c.partner_id == "P2"
    with office.engine.begin() as connection:
        connection.execute(update(payments).where(wrong).values(amount_minor=75_001))
    with caplog.at_level(logging.DEBUG):
        found = issued(office)
    assert [one.facts.partner_id for one in found] == ["P1", "P3"]
    assert "a payment is not the sum of what it covers" in caplog.text
    assert "Geheim" not in caplog.text
    with office.engine.begin() as connection:
        connection.execute(update(payments).where(wrong).values(amount_minor=75_000))
    assert [one.facts.partner_id for one in issued(office)] == ["P1", "P3", "P2"]


def test_no_statement_is_made_for_what_cannot_be_the_name_of_a_folder(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    for total in ([75_000], [75_000, 0]):
        office.apply(closes("../P1", *total))
    office.recount()
    assert office.statuses("../P1")[-1] == (PayoutStatus.NETTED, "set-off")
    assert issued(office) == []
    assert "whose id can't be one" in caplog.text
    assert "../P1" not in caplog.text


def test_two_processes_leave_no_gap_and_state_nothing_twice(office: Office) -> None:
    paid(office, *(f"P{n}" for n in range(12)))
    engines = [open_database(office.settings) for _ in range(2)]
    desks = [Desk(engine, office.settings, PROGRAMME, Still()) for engine in engines]
    threads = [threading.Thread(target=lambda at=at: [at.step() for _ in range(12)]) for at in desks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine in engines:
        engine.dispose()
    found = issued(office)
    assert numbers(office) == [f"BA-2027-{n:06d}" for n in range(1, 13)]
    assert len({one.facts.document_id for one in found}) == 12


AT_WORK = """
import sys
from sqlalchemy import event
from deploy.runtime.settings import load
from services.payout.database import open_database
from services.payout.statements.desk import Desk
from tests.payout.office import PROGRAMME
from tests.payout.papers import Still
settings = load({"data": sys.argv[1], "payout_db_url": sys.argv[2], "bank_key": "a key for tests"}, {}).settings
desk = Desk(open_database(settings), settings, PROGRAMME, Still())
while True:
    desk.step()
"""


@pytest.mark.parametrize("stated", [1, 4])
def test_whoever_is_killed_in_the_middle_leaves_neither_gap_nor_half_a_statement(office: Office, stated: int) -> None:
    paid(office, *(f"P{n}" for n in range(8)))
    working = subprocess.Popen(
        [sys.executable, "-c", AT_WORK, str(office.settings.data), office.settings.payout_db_url], cwd=ROOT
    )
    until(lambda: working.poll() is None and len(numbers(office)) >= stated, 60, "some statements were issued")
    working.send_signal(signal.SIGKILL)
    working.wait()
    with office.engine.connect() as connection:
        done = connection.execute(select(statement_years.c.issued)).scalar_one()
        assert done == len(stored.numbers(connection))
    assert len(issued(office)) == 8


@pytest.mark.parametrize("table", ["statements", "statement_items"])
def test_statements_can_only_be_added_to(office: Office, table: str) -> None:
    paid(office, "P1")
    issued(office)
    for change in (f"DELETE FROM {table}", f"UPDATE {table} SET number = 'BA-2027-000002'"):
        with pytest.raises(DatabaseError, match="append-only"), office.engine.begin() as connection:
            connection.execute(text(change))


def test_changed_bytes_and_missing_numbers_are_found(office: Office) -> None:
    paid(office, "P1")
    issued(office)
    row = {column.name: b"changed" if column.name == "pdf" else None for column in statements.c}
    with office.engine.begin() as connection:
        known = connection.execute(select(statements)).one()._mapping
        changed = {name: known[name] if value is None else value for name, value in row.items()}
        connection.execute(statements.insert().values(changed | {"number": "BA-2027-000003", "document_id": "another"}))
        connection.execute(update(statement_years).values(issued=3))
    with office.engine.connect() as connection:
        faults = list(stored.faults(connection, shelf(office)))
    assert faults == [
        "BA-2027-000002 is missing: it was allotted",
        "BA-2027-000003: the stored pdf is not what was issued",
        *(f"BA-2027-000003: the {form} in the folder is missing or not what was issued" for form in Form),
    ]


def test_the_folder_is_made_anew_from_the_database(office: Office) -> None:
    paid(office, "P1")
    (found,) = issued(office)
    folder = Path(office.settings.statements)
    for path in folder.glob("*/*"):
        path.unlink()
    assert shelf(office).of_partner("P1") == []
    issued(office)
    assert shelf(office).read("P1", found.facts.number, Form.PDF) == found.pdf


def test_a_folder_that_cannot_be_written_holds_up_only_the_folder(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(office.settings.statements)
    folder.write_text("in the way", "utf-8")
    paid(office, "P1")
    at_work = desk(office)
    at_work.step()
    assert numbers(office) == ["BA-2027-000001"]
    assert "statements can't be written into their folder" in caplog.text
    folder.unlink()
    at_work.step()
    assert shelf(office).numbers() == {"BA-2027-000001"}


def test_a_database_that_has_forgotten_a_statement_issues_none_and_says_why(office: Office, tmp_path: Path) -> None:
    paid(office, "P1")
    issued(office)
    assert desk(office).missing is None
    empty = Office(tmp_path, f"sqlite:///{tmp_path / 'older.db'}")
    paid(empty, "P1")
    at_work = desk(empty)
    assert "BA-2027-000001" in (at_work.missing or "")
    at_work.step()
    assert numbers(empty) == []
    empty.engine.dispose()
