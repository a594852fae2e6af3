"""What follows from the bank's answers, on both databases."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import func, select

from schemas.events import PayoutStatus
from schemas.topics import QUARTER_CLOSES, SALE_LINES
from schemas.values import line_key
from services.payout.answers.apply import take
from services.payout.answers.matching import END_TO_END_ID, RUN_ID
from services.payout.bank_days import next_bank_day
from services.payout.runs import end_to_end_id
from services.payout.runs import run_id as new_run_id
from services.payout.tables import bank_details_invalid, bank_files, payments
from tests.payout.answers.bank import (
    DAY,
    WAITED,
    Movement,
    back,
    balances,
    batch_debit,
    batch_with_details,
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
from tests.payout.office import FINAL, FRIDAY, PROGRAMME, Office, closes, line

EXPENSE = 75_000


@pytest.mark.parametrize("status", ["ACCP", "ACTC", "ACSP", "ACSC", "ACWC"])
@pytest.mark.parametrize("level", ["group", "batch", "transaction"])
def test_accepted_is_not_paid(desk: Office, status: str, level: str) -> None:
    id_ = paid(desk, "P1")["P1"]
    said = {
        "group": report(run_id(desk), group=status),
        "batch": report(run_id(desk), batch=status),
        "transaction": report(run_id(desk), transactions=[(id_, status, "")]),
    }
    says(desk, said[level])
    assert payment_states(desk) == {"P1": ("accepted", None)}
    assert obligation_states(desk, "P1") == [(75_000, "in_payment")]
    assert run_states(desk) == ["accepted"]
    assert balances(desk) == {"asset:bank:in_transit": -75_000, "expense:rebate": EXPENSE}
    assert sound(desk) == []


def test_a_debit_settles(office: Office) -> None:
    id_ = paid(office, "P1")["P1"]
    outcome = says(office, statement([Movement(id_)]))
    assert dict(outcome.payments) == {("settled", None): 1}
    assert payment_states(office) == {"P1": ("settled", None)}
    assert balances(office) == {"asset:bank": -75_000, "expense:rebate": EXPENSE}
    last = office.published()[-1]
    assert (last.status, last.execution_date, last.end_to_end_id) == (PayoutStatus.PAID, DAY, id_)
    assert run_states(office) == ["accepted"]
    assert sound(office) == []


def test_a_rejected_payment_is_owed_again_and_the_next_run_pays_it_under_another_id(office: Office) -> None:
    ids = paid(office, "P1", "P2")
    says(office, report(run_id(office), "PART", transactions=[(ids["P1"], "RJCT", "AC04"), (ids["P2"], "ACCP", "")]))
    assert payment_states(office) == {"P1": ("rejected", "AC04"), "P2": ("accepted", None)}
    assert run_states(office) == ["partly"]
    assert office.statuses("P1")[-1] == (PayoutStatus.RETURNED, "AC04")
    assert balances(office) == {
        "asset:bank:in_transit": -75_000,
        "expense:rebate": 150_000,
        "liability:payable:P1": -75_000,
    }
    assert sound(office) == []
    with office.engine.connect() as connection:
        bad = connection.execute(select(bank_details_invalid)).one()
    assert (bad.partner_id, bad.version, bad.reason) == ("P1", 1, "AC04")

    office.details("P1", holder="Holder with another account")
    office.passes(WAITED)
    assert office.pay(WAITED.date(), WAITED) is not None
    again = ids_of(office)["P1"]
    assert again != ids["P1"]
    says(office, statement([Movement(again), Movement(ids["P2"])]))
    assert obligation_states(office, "P1") == [(75_000, "paid")]
    assert run_states(office) == ["partly", "accepted"]
    assert balances(office) == {"asset:bank": -150_000, "expense:rebate": 150_000}
    assert unmatched(office) == []
    assert sound(office) == []


def test_a_file_rejected_as_a_whole_rejects_every_payment_in_it(office: Office) -> None:
    paid(office, "P1", "P2")
    says(office, report(run_id(office), "RJCT", "FF01"))
    assert payment_states(office) == {"P1": ("rejected", "FF01"), "P2": ("rejected", "FF01")}
    assert run_states(office) == ["rejected"]
    assert sound(office) == []
    with office.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(bank_details_invalid)).scalar() == 0


def test_money_that_comes_back_days_later_is_owed_again(office: Office) -> None:
    id_ = paid(office, "P1")["P1"]
    says(office, statement([Movement(id_)]))
    says(office, statement([back(id_, "MD07", day=date(2027, 2, 4))], statement_id="S2"))
    assert payment_states(office) == {"P1": ("returned", "MD07")}
    assert office.statuses("P1")[-2:] == [(PayoutStatus.PAID, None), (PayoutStatus.RETURNED, "MD07")]
    assert balances(office) == {"expense:rebate": EXPENSE, "liability:payable:P1": -75_000}
    assert sound(office) == []
    with office.engine.connect() as connection:
        row = connection.execute(select(payments)).one()
    assert (row.settled_on, row.returned_on) == (DAY, date(2027, 2, 4))
    office.recount()
    assert office.pay(next_bank_day(FRIDAY)) is not None


def test_a_clawback_set_off_in_a_returned_payment_is_open_again(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 49)
    office.closes("P1", 75_000, 49_000)
    office.recount()
    office.pay()
    id_ = ids_of(office)["P1"]
    says(office, statement([Movement(id_, "490.00")]))
    assert obligation_states(office, "P1") == [(75_000, "paid"), (-26_000, "netted")]
    assert [status for status, _ in office.statuses("P1")].count(PayoutStatus.NETTED) == 1
    says(office, statement([back(id_, amount="490.00")], statement_id="S2"))
    assert obligation_states(office, "P1") == [(75_000, "returned"), (-26_000, "returned")]
    assert sound(office) == []
    office.details("P1", holder="Another")
    office.passes(WAITED)
    made = office.pay(WAITED.date(), WAITED)
    assert made is not None
    assert made.total_minor == 49_000


def test_a_return_before_its_debit_ends_where_the_right_order_does(office: Office) -> None:
    id_ = paid(office, "P1")["P1"]
    says(office, statement([back(id_)], statement_id="S2"))
    assert balances(office) == {"expense:rebate": EXPENSE, "liability:payable:P1": -75_000}
    says(office, statement([Movement(id_)]))
    assert payment_states(office) == {"P1": ("returned", "AC04")}
    with office.engine.connect() as connection:
        assert connection.execute(select(payments.c.settled_on)).scalar() == DAY
    assert unmatched(office) == []
    assert sound(office) == []


def test_the_same_file_changes_nothing_and_neither_does_the_same_movement_elsewhere(office: Office) -> None:
    id_ = paid(office, "P1")["P1"]
    notice = statement([Movement(id_, reference="R1")], "camt.054", "N1")
    assert not says(office, notice).repeated
    assert says(office, notice).repeated
    told = len(office.published())
    for again in (
        statement([Movement(id_, reference="R1")]),
        statement([Movement(id_, reference="R1")], version="02"),
        statement([Movement(id_, reference="own")], "camt.052", "R1"),
        statement([Movement(id_)], statement_id="S9"),
    ):
        outcome = says(office, again)
        assert (dict(outcome.payments), outcome.unmatched) == ({}, 0)
    assert len(office.published()) == told
    assert unmatched(office) == []
    assert sound(office) == []


@pytest.mark.parametrize(
    "second",
    [
        statement([Movement("ID", reference="R1"), Movement("ID", reference="R2")]),
        statement([Movement("ID", reference="R2"), Movement("ID", reference="R1")]),
        statement([Movement("ID"), Movement("ID")]),
        statement([Movement("ID", reference="R2", day=date(2027, 2, 2))], statement_id="S2"),
        statement([Movement("ID", day=date(2027, 2, 2))], statement_id="S2"),
        statement([Movement("ID", reference="R2")], "camt.054", "N2"),
    ],
)
def test_a_second_debit_is_shown_and_not_booked(desk: Office, second: bytes) -> None:
    id_ = paid(desk, "P1")["P1"]
    says(desk, statement([Movement(id_, reference="R1")], "camt.054", "N1"))
    content = second.replace(b">ID<", f">{id_}<".encode())
    says(desk, content)
    assert unmatched(desk) == [("twice", id_)]
    says(desk, content + b"\n")
    assert unmatched(desk) == [("twice", id_)]
    assert balances(desk) == {"asset:bank": -75_000, "expense:rebate": EXPENSE}


@pytest.mark.parametrize(
    ("movement", "reason"),
    [
        (Movement("ID", "750.01"), "amount-differs"),
        (Movement("ID", "75000"), "amount-differs"),
        (Movement("ID", currency="CHF"), "currency-differs"),
        (Movement("ID", "seven"), "amount-unreadable"),
        (Movement("ID", "750.005"), "amount-unreadable"),
        (Movement("ID", "-750.00"), "amount-unreadable"),
        (Movement("ID", debit=False), "credit-unexplained"),
        (back("ID", amount="749.00"), "amount-differs"),
        (Movement("270129-AAAAAAAAA"), "unknown-payment"),
        (back(""), "unknown-return"),
        (Movement(msg_id="RB-20270128-ABCD"), "unknown-payment"),
    ],
)
def test_what_does_not_fit_is_shown_and_never_guessed_at(desk: Office, movement: Movement, reason: str) -> None:
    id_ = paid(desk, "P1")["P1"]
    before = balances(desk)
    outcome = says(desk, statement([movement._replace(end_to_end_id=movement.end_to_end_id.replace("ID", id_))]))
    assert [why for why, _ in unmatched(desk)] == [reason]
    assert outcome.unmatched == 1
    assert payment_states(desk) == {"P1": ("released", None)}
    assert balances(desk) == before
    assert sound(desk) == []


RETURN_CODE = b"<BkTxCd><Domn><Fmly><SubFmlyCd>RRTN</SubFmlyCd></Fmly></Domn></BkTxCd>"


@pytest.mark.parametrize("sign", [b"<RvslInd>true</RvslInd>", RETURN_CODE])
def test_a_credit_that_reverses_a_debit_is_a_return_too(desk: Office, sign: bytes) -> None:
    id_ = paid(desk, "P1")["P1"]
    says(desk, statement([Movement(id_)]))
    says(desk, statement([Movement(id_, debit=False)], statement_id="S2").replace(b"<Sts>", sign + b"<Sts>"))
    assert payment_states(desk) == {"P1": ("returned", "other")}
    says(desk, statement([Movement(id_)], statement_id="S3").replace(b"<Sts>", b"<RvslInd>true</RvslInd><Sts>"))
    assert unmatched(desk) == [("reversal", id_)]
    assert sound(desk) == []


def test_other_business_on_the_account_is_counted_and_not_kept(desk: Office) -> None:
    paid(desk, "P1")
    salary = Movement("SALARY 01/27", "3000.00")
    outcome = says(desk, statement([salary, back("SALARY 01/27"), Movement(), Movement(debit=False)]))
    assert (outcome.foreign, outcome.unmatched) == (4, 0)


def test_what_is_only_pending_has_not_happened(desk: Office) -> None:
    id_ = paid(desk, "P1")["P1"]
    says(desk, statement([Movement(id_, status="PDNG")]))
    says(desk, statement([Movement(id_, status="PDNG")], version="02", statement_id="S2"))
    assert payment_states(desk) == {"P1": ("released", None)}


def test_one_debit_for_the_whole_batch_settles_all_of_it(office: Office) -> None:
    ids = paid(office, "P1", "P2")
    says(office, batch_debit(run_id(office), "1500.00"))
    assert set(payment_states(office).values()) == {("settled", None)}
    says(office, statement([Movement(ids["P1"]), Movement(ids["P2"])], "camt.054", "N1"))
    assert unmatched(office) == []
    assert sound(office) == []


def test_a_batch_that_lists_its_payments_settles_them(office: Office) -> None:
    ids = paid(office, "P1", "P2")
    says(office, batch_with_details([Movement(ids["P1"]), Movement(ids["P2"])], "1500.00"))
    assert set(payment_states(office).values()) == {("settled", None)}
    says(office, batch_debit(run_id(office), "1500.00", statement_id="S2"))
    assert unmatched(office) == []
    assert sound(office) == []


def test_payments_that_do_not_sum_to_their_batch_are_left_alone(office: Office) -> None:
    ids = paid(office, "P1", "P2")
    says(office, batch_with_details([Movement(ids["P1"]), Movement(ids["P2"])], "1500.01"))
    assert sorted(unmatched(office)) == sorted(("details-differ", id_) for id_ in ids.values())
    assert set(payment_states(office).values()) == {("released", None)}


def test_the_sum_of_a_batch_fits_once_it_is_known_what_the_bank_refused(office: Office) -> None:
    ids = paid(office, "P1", "P2")
    says(office, batch_debit(run_id(office), "750.00"))
    assert unmatched(office) == [("batch-differs", run_id(office))]
    says(office, report(run_id(office), "PART", transactions=[(ids["P2"], "RJCT", "AC01")]))
    assert payment_states(office) == {"P1": ("settled", None), "P2": ("rejected", "AC01")}
    assert unmatched(office) == []
    assert sound(office) == []


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"group": "RJCT", "reason": "AM04", "transactions": [("ID", "ACCP", "")]}, "accepted"),
        ({"group": "ACCP", "transactions": [("ID", "RJCT", "AC01")]}, "rejected"),
        ({"group": "PART", "batch": "RJCT", "transactions": []}, "rejected"),
        ({"group": "PART", "transactions": []}, "accepted"),
        ({"group": "PDNG", "transactions": [("ID", "PDNG", "")]}, "released"),
        ({"group": "RCVD", "transactions": []}, "released"),
    ],
)
def test_what_is_said_of_a_payment_counts_more_than_what_is_said_of_the_file(
    desk: Office, said: dict[str, object], state: str
) -> None:
    id_ = paid(desk, "P1")["P1"]
    content = report(run_id(desk), **said)  # type: ignore[arg-type]
    says(desk, content.replace(b">ID<", f">{id_}<".encode()))
    assert payment_states(desk)["P1"][0] == state


def test_a_dry_run_says_the_same_and_changes_nothing(office: Office) -> None:
    content = statement([Movement(paid(office, "P1")["P1"])])
    dry = take(office.engine, office.vault, content, "a.xml", FINAL, dry_run=True)
    assert payment_states(office) == {"P1": ("released", None)}
    assert dry == says(office, content)


def test_the_bytes_are_kept_sealed(office: Office) -> None:
    content = statement([Movement(paid(office, "P1")["P1"])])
    says(office, content)
    with office.engine.connect() as connection:
        row = connection.execute(select(bank_files)).one()
    assert b"Unverwechselbar" in content
    assert b"Unverwechselbar" not in row.sealed
    assert office.vault.open(row.sealed, f"bank/{row.sha256}") == content


def test_ids_of_our_form_are_those_that_we_make() -> None:
    for number in range(200):
        assert END_TO_END_ID.fullmatch(end_to_end_id(PROGRAMME.id, f"P{number}", FRIDAY, number % 3))
    assert RUN_ID.fullmatch(new_run_id(PROGRAMME.id, FRIDAY))


def test_many_payments_move_in_one_file(office: Office) -> None:
    partner_ids = [f"P{number:04d}" for number in range(1_100)]
    for partner_id in partner_ids:
        office.details(partner_id)
    office.deliver(SALE_LINES, [(line_key(p, "S1"), line(p, 50)) for p in partner_ids])
    office.deliver(QUARTER_CLOSES, [(p, closes(p, 75_000, units=50)[0]) for p in partner_ids])
    office.recount()
    office.pay()
    ids = ids_of(office)
    says(office, report(run_id(office), "ACCP"))
    says(office, statement([Movement(id_) for id_ in ids.values()]))
    says(office, statement([back(id_) for id_ in list(ids.values())[:50]], statement_id="S2"))
    assert sorted(state for state, _ in payment_states(office).values()) == ["returned"] * 50 + ["settled"] * 1_050
    assert sound(office) == []
