"""From closes and lines to what may be paid."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from sqlalchemy import func, select

from schemas.events import CloseKind, PayoutStatus
from schemas.topics import QUARTER_CLOSES, SALE_LINES
from services.payout import ledger, recount
from services.payout.tables import journals, obligations
from tests.payout.office import FINAL, Office, closes, line


def test_a_final_close_that_agrees_with_the_lines_becomes_payable(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 50)
    office.closes("P1", 75_000)
    office.recount()
    assert office.statuses("P1") == [(PayoutStatus.PAYABLE, None)]
    with office.engine.connect() as connection:
        assert ledger.balances(connection) == {
            ("expense:rebate", "EUR"): 75_000,
            ("liability:payable:P1", "EUR"): -75_000,
        }


def test_a_provisional_close_makes_nothing_payable(office: Office) -> None:
    provisional = msgspec.structs.replace(closes("P1", 75_000)[0], kind=CloseKind.PROVISIONAL, revision=0)
    office.apply([provisional])
    office.recount()
    assert office.published() == []


def test_a_close_delivered_again_is_booked_once(office: Office) -> None:
    for _ in range(3):
        office.closes("P1", 75_000)
    with office.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(journals)).scalar() == 1
        assert connection.execute(select(func.sum(obligations.c.amount_minor))).scalar() == 75_000


def test_the_same_revision_with_other_money_holds_the_quarter(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 50)
    office.closes("P1", 75_000)
    office.closes("P1", 49_000)
    office.recount()
    assert office.statuses("P1") == [(PayoutStatus.HELD, "contradicting-closes")]


def test_two_contradicting_closes_in_one_batch_hold_the_quarter(office: Office) -> None:
    office.sells("P1", 50)
    office.deliver(QUARTER_CLOSES, [("P1", closes("P1", 75_000)[0]), ("P1", closes("P1", 49_000)[0])])
    office.recount()
    assert office.statuses("P1") == [(PayoutStatus.HELD, "contradicting-closes")]
    with office.engine.connect() as connection:
        assert connection.execute(select(obligations.c.amount_minor)).scalars().all() == [75_000]


def test_without_bank_details_it_waits_is_told_once_and_becomes_payable_with_them(office: Office) -> None:
    office.sells("P1", 50)
    office.closes("P1", 75_000)
    office.recount()
    office.sells("P1", 50)
    office.recount()
    assert office.statuses("P1") == [(PayoutStatus.WAITING, "no-bank-details")]
    office.details("P1")
    office.recount()
    assert office.statuses("P1")[1:] == [(PayoutStatus.PAYABLE, None)]


def test_a_recount_that_differs_holds_and_heals_when_the_line_arrives(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 49)
    office.closes("P1", 75_000, units=50)
    office.recount()
    with office.engine.connect() as connection:
        assert recount.units_in_doubt(connection) == 1
    office.sells("P1", 1, sale_id="late")
    office.recount()
    assert office.statuses("P1") == [(PayoutStatus.HELD, "recount-differs"), (PayoutStatus.PAYABLE, None)]
    with office.engine.connect() as connection:
        assert recount.units_in_doubt(connection) == 0


def test_other_units_with_the_same_rebate_are_no_difference(office: Office) -> None:
    office.sells("P1", 3)
    office.closes("P1", 5_000, 0, units=10)  # down from 10 units to 9 and then, without a close, to 3
    office.recount()
    assert {status for status, _ in office.statuses("P1")} == {PayoutStatus.NETTED}


def test_what_cancels_out_before_it_was_paid_is_settled_without_a_payment(office: Office) -> None:
    office.closes("P1", 5_000, 0)
    office.recount()
    assert office.statuses("P1") == [(PayoutStatus.NETTED, "set-off")] * 2
    office.details("P1")
    office.recount()
    assert office.pay() is None


def test_a_line_that_is_deleted_no_longer_counts(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 50, sale_id="a")
    office.sells("P1", 1, sale_id="b")
    office.deliver(SALE_LINES, [("P1/b", None)])
    office.closes("P1", 75_000)
    office.recount()
    assert office.statuses("P1") == [(PayoutStatus.PAYABLE, None)]


def test_of_two_states_of_a_line_in_one_batch_the_later_counts(office: Office) -> None:
    office.deliver(SALE_LINES, [("P1/S1", line("P1", 50)), ("P1/S1", line("P1", 49)), ("P1/S1", line("P1", 10))])
    office.details("P1")
    office.closes("P1", 5_000)
    office.recount()
    assert office.statuses("P1") == [(PayoutStatus.PAYABLE, None)]


def test_a_lost_close_is_noticed_from_the_total_of_the_next(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 50)
    office.apply(closes("P1", 49_000, 75_000)[1:])
    office.recount()
    assert office.statuses("P1") == [(PayoutStatus.HELD, "close-missing")]
    office.apply(closes("P1", 49_000, 75_000)[:1])
    office.recount()
    assert sorted(office.statuses("P1")[1:]) == [(PayoutStatus.PAYABLE, None)] * 2


def test_a_close_before_its_time_is_held_until_then(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 50)
    office.closes("P1", 75_000)
    office.recount(FINAL - timedelta(days=20))
    assert office.statuses("P1") == [(PayoutStatus.HELD, "closed-too-early")]


def test_another_programmes_close_is_held(office: Office) -> None:
    office.apply([msgspec.structs.replace(closes("P1", 75_000)[0], programme_id="else")])
    office.recount()
    assert office.statuses("P1") == [(PayoutStatus.HELD, "unknown-programme")]


def test_status_events_of_an_obligation_are_numbered(office: Office) -> None:
    office.sells("P1", 49)
    office.closes("P1", 75_000)
    office.recount()
    office.sells("P1", 50)
    office.recount()
    office.details("P1")
    office.recount()
    assert [event.sequence for event in office.published()] == [1, 2, 3]


def test_many_lines_are_projected_in_batches(office: Office) -> None:
    for start in range(0, 10_000, 2_000):
        sales = [line(f"P{n % 100}", 1, sale_id=f"S{n}") for n in range(start, start + 2_000)]
        office.deliver(SALE_LINES, [(f"{sale.partner_id}/{sale.sale_id}", sale) for sale in sales])
    office.details("P7")
    office.closes("P7", 150_000, units=100)
    office.recount()
    assert office.statuses("P7") == [(PayoutStatus.PAYABLE, None)]
