"""The check at the demo's end: content with what is right, and sees each kind of difference."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from deploy.demo.check import Found, closed_account, compare, paid_by_iban, payments_due
from deploy.demo.quarter import CURTAIN, FINAL, Role
from deploy.demo.recount import Expected, recount
from deploy.demo.scenario import Scenario, make


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return make(1, 60)


@pytest.fixture
def right(scenario: Scenario) -> Found:
    """What a stack finds that makes no mistake."""
    expected = recount(scenario.registered, scenario.moments)
    closed = closed_account(scenario)
    due = {details: cents for details, cents in payments_due(scenario) if cents}
    return Found(
        standings=expected,
        payable_minor={id_: e.rebate_minor for (id_, quarter), e in expected.items() if quarter == "2026Q4"},
        paid_minor={details.iban: cents for details, cents in due.items()},
        arrived_minor={details.partner_id: cents for details, cents in due.items() if details != closed},
        came_back_minor={closed.partner_id: due[closed]},
        dead_letters=6,
        mails_twice=0,
    )


def test_what_is_right_has_no_differences(scenario: Scenario, right: Found) -> None:
    assert compare(scenario, right) == (60, 60, ())


def test_a_partner_who_is_not_known_at_all_stands_at_nothing(scenario: Scenario, right: Found) -> None:
    standings = {**right.standings, (scenario.named(Role.STRANGER).id, "2026Q4"): Expected()}
    assert compare(scenario, right._replace(standings=standings)).differences == ()


def test_a_wrong_or_missing_standing_is_seen(scenario: Scenario, right: Found) -> None:
    key = scenario.named(Role.CLAWBACK).id, "2026Q4"
    wrong = compare(scenario, right._replace(standings={**right.standings, key: Expected(50, 50, 75_000)}))
    missing = compare(scenario, right._replace(standings={k: v for k, v in right.standings.items() if k != key}))
    assert wrong.right == missing.right == 59
    assert len(wrong.differences) == len(missing.differences) == 1
    assert wrong.differences[0].startswith(key[0])


def test_a_close_that_makes_too_much_payable_is_seen(scenario: Scenario, right: Found) -> None:
    paid = scenario.named(Role.CLAWBACK).id
    found = compare(scenario, right._replace(payable_minor={**right.payable_minor, paid: 75_000}))
    assert found.differences == (f"{paid}: 49000 cents owed, 75000 made payable",)


def test_a_payment_made_twice_or_to_nobodys_account_is_seen(scenario: Scenario, right: Found) -> None:
    iban, cents = next(iter(right.paid_minor.items()))
    assert len(compare(scenario, right._replace(paid_minor={**right.paid_minor, iban: 2 * cents})).differences) == 1
    assert len(compare(scenario, right._replace(paid_minor={**right.paid_minor, "XX00": 1})).differences) == 1


def test_money_that_the_bank_did_not_pay_or_that_did_not_come_back_is_seen(scenario: Scenario, right: Found) -> None:
    paid = scenario.named(Role.CLAWBACK).id
    arrived = {**right.arrived_minor, paid: 0}
    found = compare(scenario, right._replace(arrived_minor=arrived))
    assert found.differences == (f"{paid}: 75000 cents to arrive, 0 did",)
    lost = compare(scenario, right._replace(came_back_minor={}))
    assert len(lost.differences) == 1
    assert "to come back, 0 did" in lost.differences[0]
    kept = compare(scenario, right._replace(came_back_minor={**right.came_back_minor, paid: 75_000}))
    assert kept.differences == (f"{paid}: 0 cents to come back, 75000 did",)


@pytest.mark.parametrize("seed", range(5))
def test_the_closed_account_is_of_somebody_who_is_paid_little_and_once(seed: int) -> None:
    made = make(seed, 60)
    due = dict(payments_due(made))
    closed = closed_account(made)
    assert sum(cents > 0 for cents in due.values()) >= 10
    assert 0 < due[closed] < 20_000
    assert next(actor for actor in made.actors if actor.id == closed.partner_id).role is Role.ORDINARY
    before, at_last = (
        recount(made.registered, [moment for moment in made.moments if moment.at < until])
        for until in (FINAL, CURTAIN + timedelta(days=1))
    )
    assert before[closed.partner_id, "2026Q4"] == at_last[closed.partner_id, "2026Q4"]


def test_what_was_paid_before_the_late_return_stays_paid(scenario: Scenario) -> None:
    paid = scenario.named(Role.CLAWBACK).id
    assert [cents for details, cents in payments_due(scenario) if details.partner_id == paid] == [75_000]


def test_a_lost_dead_letter_and_a_mail_sent_twice_are_seen(scenario: Scenario, right: Found) -> None:
    assert len(compare(scenario, right._replace(dead_letters=5)).differences) == 1
    assert len(compare(scenario, right._replace(mails_twice=2)).differences) == 1


def test_payment_files_are_summed_by_account(tmp_path: Path) -> None:
    payment = (
        "<CdtTrfTxInf><Amt><InstdAmt Ccy='EUR'>{}</InstdAmt></Amt>"
        "<CdtrAcct><Id><IBAN>{}</IBAN></Id></CdtrAcct></CdtTrfTxInf>"
    )
    for name, amounts in (("a.xml", ("750.00", "5.5")), ("b.xml", ("0.07",))):
        body = "".join(payment.format(amount, "DE1") for amount in amounts)
        (tmp_path / name).write_text(f"<Document xmlns='urn:x'>{body}</Document>", "utf-8")
    assert paid_by_iban(sorted(tmp_path.iterdir())) == {"DE1": 75_557}
