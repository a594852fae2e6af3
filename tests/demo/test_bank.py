"""The demo's bank: our own reader understands what it says, and its books fit."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import select

from deploy.demo.bank import Bank, Order, Payment, read_order
from services.payout.answers.apply import take
from services.payout.answers.gaps import gaps
from services.payout.answers.messages import Answer, Statement
from services.payout.answers.reading import read
from services.payout.bank_days import bank_day_after
from services.payout.pain001 import Debtor, Transfer, render
from services.payout.pain001 import Order as PaymentFile
from services.payout.tables import runs
from tests.payout.answers.bank import balances, obligation_states, paid, payment_states, sound, unmatched
from tests.payout.answers.conftest import desk as desk
from tests.payout.office import FINAL, Office, iban_of

OUR = "DE02120300000000202051"
OPEN, CLOSED = "DE89370400440532013000", "FR1420041010050500013M02606"
FRIDAY, MONDAY, THURSDAY = date(2027, 1, 29), date(2027, 2, 1), date(2027, 2, 4)
PREPARED = datetime(2027, 1, 29, 9, tzinfo=UTC)


def payment_file(msg_id: str = "RB-20270129-ABCD", on: date = MONDAY) -> bytes:
    asked = [
        Transfer("270129-AAAAAAAAA", 75_000, "Rhön Computer GmbH", OPEN, "Topseller 2026Q4"),
        Transfer("270129-BBBBBBBBB", 5_007, "Loire Réseaux SARL", CLOSED, "Topseller 2026Q4"),
    ]
    return render(PaymentFile(msg_id, PREPARED, on, Debtor("Staffel Hardware GmbH", OUR, "Berlin", "DE"), asked))


class Branch:
    """The bank, where files are handed in and its answers are fetched."""

    def __init__(self, folder: Path, closed: str = CLOSED) -> None:
        self.orders, self.answers = folder / "payments", folder / "bank"
        self.orders.mkdir(parents=True)
        self.bank = Bank(self.orders, self.answers, closed)

    def hands_in(self, content: bytes, name: str = "first") -> None:
        (self.orders / f"{name}.xml").write_bytes(content)

    def passes(self, first: date, last: date) -> None:
        """The hours from the morning of one day to the night of another."""
        at, end = datetime.combine(first, time(6), UTC), datetime.combine(last, time(23), UTC)
        while at <= end:
            self.bank.step(at)
            at += timedelta(hours=1)

    def said(self) -> dict[str, Answer]:
        return {path.name: read(path.read_bytes()) for path in sorted(self.answers.glob("*"))}

    def statement(self, day: date) -> Statement:
        return self.said()[f"camt053-{day}.xml"].statements[0]


@pytest.fixture
def branch(tmp_path: Path) -> Branch:
    return Branch(tmp_path)


def test_it_reads_a_payment_file_as_it_was_meant() -> None:
    assert read_order(payment_file()) == Order(
        "RB-20270129-ABCD",
        OUR,
        MONDAY,
        [Payment("270129-AAAAAAAAA", 75_000, OPEN), Payment("270129-BBBBBBBBB", 5_007, CLOSED)],
    )


def test_it_takes_a_file_at_once_and_only_once(branch: Branch) -> None:
    branch.hands_in(payment_file())
    branch.passes(FRIDAY, FRIDAY)
    (said,) = branch.said().values()
    (report,) = said.reports
    assert (said.kind, report.original_id, report.verdict.status) == ("pain.002", "RB-20270129-ABCD", "ACCP")


def test_it_says_on_the_evening_of_the_day_that_it_has_paid(branch: Branch) -> None:
    branch.hands_in(payment_file())
    branch.passes(FRIDAY, MONDAY)
    found = branch.statement(MONDAY)
    assert [(line.end_to_end_id, line.debit, line.amount_minor, line.currency) for line in found.lines] == [
        ("270129-AAAAAAAAA", True, 75_000, "EUR"),
        ("270129-BBBBBBBBB", True, 5_007, "EUR"),
    ]
    assert {(line.booked_on, line.valued_on, line.problem) for line in found.lines} == {(MONDAY, MONDAY, None)}
    assert len({line.reference for line in found.lines}) == 2
    assert found.day == MONDAY


def test_money_comes_back_from_a_closed_account_days_later(branch: Branch) -> None:
    branch.hands_in(payment_file())
    branch.passes(FRIDAY, THURSDAY)
    assert list(branch.said()) == [f"camt053-{MONDAY}.xml", f"camt053-{THURSDAY}.xml", "pain002-RB-20270129-ABCD.xml"]
    (line,) = branch.statement(THURSDAY).lines
    assert (line.end_to_end_id, line.debit, line.returned, line.reason) == ("270129-BBBBBBBBB", False, True, "AC04")
    assert line.amount_minor == 5_007


def test_statements_follow_one_another_in_number_and_balance(branch: Branch) -> None:
    branch.hands_in(payment_file())
    branch.hands_in(payment_file("RB-20270201-ABCD", THURSDAY), "second")
    branch.passes(FRIDAY, THURSDAY + timedelta(days=7))
    found = [answer.statements[0] for answer in branch.said().values() if answer.statements]
    assert [statement.sequence for statement in found] == [1, 2, 3]
    for statement in found:
        assert statement.opening_minor is not None
        assert statement.closing_minor == statement.opening_minor + statement.net_minor
    assert all(before.closing_minor == after.opening_minor for before, after in pairwise(found))


def test_a_file_that_comes_after_its_day_is_paid_on_the_next(branch: Branch) -> None:
    branch.passes(FRIDAY, MONDAY)
    branch.hands_in(payment_file())
    branch.bank.step(datetime(2027, 2, 1, 20, tzinfo=UTC))
    branch.passes(bank_day_after(MONDAY, 1), bank_day_after(MONDAY, 1))
    assert branch.statement(bank_day_after(MONDAY, 1)).net_minor == -80_007


def test_nobody_sees_half_of_an_answer(branch: Branch) -> None:
    branch.hands_in(payment_file())
    branch.passes(FRIDAY, THURSDAY)
    assert {path.suffix for path in branch.answers.iterdir()} == {".xml"}


def test_by_what_it_says_one_partner_is_paid_and_the_other_owed_again(desk: Office, tmp_path: Path) -> None:
    paid(desk, "P1", "P2")
    branch = Branch(tmp_path / "branch", iban_of("P2"))
    branch.hands_in(next(desk.folder.glob("*.xml")).read_bytes())
    with desk.engine.connect() as connection:
        execution = connection.execute(select(runs.c.execution_date)).scalar_one()
    branch.passes(FRIDAY, bank_day_after(execution, 3))
    for path in branch.answers.iterdir():
        take(desk.engine, desk.vault, path.read_bytes(), path.name, FINAL)
    assert payment_states(desk) == {"P1": ("settled", None), "P2": ("returned", "AC04")}
    assert obligation_states(desk, "P1") == [(75_000, "paid")]
    assert obligation_states(desk, "P2") == [(75_000, "returned")]
    assert balances(desk) == {"asset:bank": -75_000, "expense:rebate": 150_000, "liability:payable:P2": -75_000}
    assert unmatched(desk) == []
    assert sound(desk) == []
    with desk.engine.connect() as connection:
        assert gaps(connection) == []
