"""When the bank contradicts itself, on both databases: nobody is paid again because of it, and somebody is told."""

from __future__ import annotations

import pytest

from schemas.events import PayoutStatus
from services.payout.bank_days import next_bank_day
from tests.payout.answers.bank import (
    Movement,
    back,
    balances,
    ids_of,
    obligation_states,
    paid,
    payment_states,
    report,
    run_id,
    run_states,
    says,
    sound,
    statement,
    unmatched,
)
from tests.payout.office import FRIDAY, Office

EXPENSE = 75_000


def test_a_debit_after_a_rejection_is_a_payment_that_somebody_must_look_at(office: Office) -> None:
    id_ = paid(office, "P1")["P1"]
    says(office, report(run_id(office), "RJCT", "AM04"))
    office.recount()
    says(office, statement([Movement(id_)]))
    assert payment_states(office) == {"P1": ("settled", None)}
    assert unmatched(office) == [("rejected-and-debited", id_)]
    assert balances(office) == {"asset:bank": -75_000, "expense:rebate": EXPENSE}
    assert office.statuses("P1")[-1] == (PayoutStatus.PAID, None)
    assert office.pay(next_bank_day(FRIDAY)) is None
    assert sound(office) == []


def test_a_rejection_after_the_debit_pays_nobody_again(office: Office) -> None:
    id_ = paid(office, "P1")["P1"]
    says(office, statement([Movement(id_)]))
    says(office, report(run_id(office), "RJCT", "AM04"))
    assert payment_states(office) == {"P1": ("settled", None)}
    assert unmatched(office) == [("rejected-and-debited", id_)]
    office.recount()
    assert office.pay(next_bank_day(FRIDAY)) is None


def test_a_debit_of_what_was_paid_again_is_not_booked_and_shown(office: Office) -> None:
    id_ = paid(office, "P1")["P1"]
    says(office, report(run_id(office), "RJCT", "AM04"))
    office.recount()
    assert office.pay(next_bank_day(FRIDAY)) is not None
    again = ids_of(office)["P1"]
    says(office, statement([Movement(id_), Movement(again)]))
    assert {why for why, _ in unmatched(office)} == {"rejected-and-debited", "debited-after-retry"}
    assert balances(office) == {"asset:bank": -75_000, "expense:rebate": EXPENSE}
    assert sound(office) == []
    says(office, statement([back(id_)], statement_id="S2"))
    assert obligation_states(office, "P1") == [(75_000, "paid")]
    assert sound(office) == []


def test_if_the_second_payment_fails_the_debited_first_one_has_paid(office: Office) -> None:
    id_ = paid(office, "P1")["P1"]
    says(office, report(run_id(office), "RJCT", "AM04"))
    office.recount()
    made = office.pay(next_bank_day(FRIDAY))
    assert made is not None
    says(office, statement([Movement(id_)]))
    says(office, report(made.msg_id, "RJCT", "AM04", message_id="PSR-2"))
    assert unmatched(office) == [("rejected-and-debited", id_)]
    assert obligation_states(office, "P1") == [(75_000, "paid")]
    assert run_states(office) == ["accepted", "rejected"]
    assert balances(office) == {"asset:bank": -75_000, "expense:rebate": EXPENSE}
    office.recount()
    assert office.pay(next_bank_day(next_bank_day(FRIDAY))) is None
    assert sound(office) == []


def test_of_two_refused_attempts_that_were_both_debited_one_has_paid(office: Office) -> None:
    first = paid(office, "P1")["P1"]
    says(office, report(run_id(office), "RJCT", "AM04"))
    office.recount()
    made = office.pay(next_bank_day(FRIDAY))
    assert made is not None
    says(office, report(made.msg_id, "RJCT", "AM04", message_id="PSR-2"))
    second = ids_of(office)["P1"]
    says(office, statement([Movement(first), Movement(second)]))
    assert balances(office) == {"asset:bank": -75_000, "expense:rebate": EXPENSE}
    assert sorted(why for why, _ in unmatched(office)) == [
        "debited-after-retry",
        "rejected-and-debited",
        "rejected-and-debited",
    ]
    assert sound(office) == []


@pytest.mark.parametrize("code", ["DUPL", "AM05"])
def test_a_file_that_the_bank_has_had_before_is_not_rejected(office: Office, code: str) -> None:
    id_ = paid(office, "P1")["P1"]
    says(office, report(run_id(office), "RJCT", code))
    says(office, report(run_id(office), transactions=[(id_, "RJCT", code)], message_id="PSR-2"))
    assert payment_states(office) == {"P1": ("released", None)}
    assert unmatched(office) == [("duplicate", run_id(office)), ("duplicate", id_)]


def test_a_report_on_what_we_never_sent_is_shown(office: Office) -> None:
    id_ = paid(office, "P1")["P1"]
    says(office, report("NOTPROVIDED", "RJCT", "FF01"))
    says(office, report("RB-20270128-ABCD", "ACCP", message_id="PSR-2"))
    says(office, report(run_id(office), transactions=[("270129-AAAAAAAAA", "RJCT", "AC04")], message_id="PSR-3"))
    says(office, report(run_id(office), "CANC", message_id="PSR-4"))
    assert unmatched(office) == [
        ("unknown-payment", ""),
        ("unknown-payment", "RB-20270128-ABCD"),
        ("unknown-payment", "270129-AAAAAAAAA"),
        ("unknown-status", run_id(office)),
    ]
    assert payment_states(office) == {"P1": ("released", None)}
    assert id_
