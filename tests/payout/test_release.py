"""Four eyes, and the last look before money leaves."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from lxml import etree
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError, IntegrityError

from deploy.runtime.errors import StaffelError
from schemas.events import PayoutStatus
from services.payout import bank_details, holds, invariants, ledger, release, runs, runs_view
from services.payout.pain001 import NAMESPACE
from services.payout.release import AUTOMATIC, Limits
from services.payout.states import PaymentState, RunKind, RunState
from services.payout.tables import approvals, journals, payments, run_files, settlements
from services.payout.tables import runs as run_rows
from tests.payout.office import FINAL, FRIDAY, Office, iban_of

PERSONS = Limits(automatic_minor=0, second_minor=10_000_00)


def ready(office: Office, *partner_ids: str, units: int = 50) -> None:
    for partner_id in partner_ids:
        office.details(partner_id)
        office.sells(partner_id, units)
        office.closes(partner_id, units * 1500, units=units)
    office.recount()


def state(office: Office, msg_id: str) -> tuple[str, str | None]:
    with office.engine.connect() as connection:
        row = connection.execute(select(run_rows).where(run_rows.c.msg_id == msg_id)).one()
        return row.state, row.reason


def booked(office: Office) -> set[str]:
    with office.engine.connect() as connection:
        return {key for key in connection.execute(select(journals.c.key)).scalars() if key.startswith("payment:")}


def sound(office: Office) -> bool:
    with office.engine.connect() as connection:
        return invariants.violations(connection) == []


@pytest.fixture
def careful(office: Office) -> Office:
    """An office in which nothing is released without people."""
    office.limits = PERSONS
    return office


def test_a_prepared_run_has_paid_nothing_and_told_nobody(careful: Office) -> None:
    ready(careful, "P1")
    [run] = careful.prepare()
    assert state(careful, run.msg_id) == (RunState.DRAFT, None)
    assert careful.statuses("P1") == [(PayoutStatus.PAYABLE, None)]
    assert booked(careful) == set()
    assert list(careful.folder.glob("*")) == []
    assert sound(careful)
    assert careful.prepare() == []


def test_prepared_approved_by_another_and_released_it_is_paid_with_the_bytes_that_were_approved(
    careful: Office,
) -> None:
    ready(careful, "P1", "P2")
    [run] = careful.prepare()
    with careful.engine.connect() as connection:
        sha256 = connection.execute(select(run_files.c.sha256)).scalar_one()
        content = careful.vault.open(connection.execute(select(run_files.c.sealed)).scalar_one(), run.msg_id)
    assert careful.approve(run.msg_id) == 0
    assert careful.release(run.msg_id, now=FINAL + timedelta(hours=2)).payments == 2
    assert (careful.folder / f"{run.msg_id}.xml").read_bytes() == content
    with careful.engine.connect() as connection:
        approval = connection.execute(select(approvals)).one()
    assert (approval.approved_by, approval.prepared_by, approval.sha256) == ("B. Approver", "A. Preparer", sha256)
    assert careful.statuses("P1")[-1][0] is PayoutStatus.IN_PAYMENT
    assert len(booked(careful)) == 2
    assert sound(careful)


def test_who_prepared_it_cannot_approve_it_neither_by_command_nor_in_the_database(careful: Office) -> None:
    ready(careful, "P1")
    [run] = careful.prepare(by="A")
    with pytest.raises(StaffelError, match="A has prepared"):
        careful.approve(run.msg_id, by="A")
    with careful.engine.connect() as connection:
        sha256 = connection.execute(select(run_files.c.sha256)).scalar_one()
    row = {"msg_id": run.msg_id, "approved_by": "A", "prepared_by": "A", "sha256": sha256, "at": FINAL}
    for forged in ({}, {"prepared_by": "somebody else"}, {"approved_by": "B", "sha256": "0" * 64}):
        with pytest.raises(IntegrityError), careful.engine.begin() as connection:
            connection.execute(approvals.insert().values(row | forged))


def test_without_an_approval_nothing_is_released(careful: Office) -> None:
    ready(careful, "P1")
    [run] = careful.prepare()
    with pytest.raises(StaffelError, match="must be approved"):
        careful.release(run.msg_id)
    assert booked(careful) == set()


@pytest.mark.parametrize(("partners", "missing"), [(13, 0), (14, 1)])
def test_above_the_limit_a_second_person_must_approve(careful: Office, partners: int, missing: int) -> None:
    ready(careful, *(f"P{n}" for n in range(partners)))  # 750 euros each
    [run] = careful.prepare()
    assert careful.approve(run.msg_id, by="B") == missing
    if missing:
        with pytest.raises(StaffelError, match="must be approved"):
            careful.release(run.msg_id, by="B")
        with pytest.raises(StaffelError, match=r"has approved run .* already"):
            careful.approve(run.msg_id, by="B")
        assert careful.approve(run.msg_id, by="C") == 0
    assert careful.release(run.msg_id).payments == partners


@pytest.mark.parametrize(("limit", "released"), [(75_000, True), (74_999, False)])
def test_up_to_the_limit_the_system_releases_what_it_prepared(office: Office, limit: int, released: bool) -> None:
    office.limits = Limits(limit, 0)
    ready(office, "P1")
    assert (office.pay() is not None) is released
    with office.engine.connect() as connection:
        found = connection.execute(select(approvals.c.approved_by)).scalars().all()
    assert found == ([AUTOMATIC] if released else [])


def test_what_a_person_prepared_waits_for_a_person(office: Office) -> None:
    ready(office, "P1")
    [run] = office.prepare()
    assert release.waiting_for_nobody(office.engine, office.limits) == []
    assert office.approve(run.msg_id, by="B") == 0


CHANGES: dict[str, Callable[[Office], object]] = {
    "is held by now": lambda o: (block(o, "P1"), o.recount()),
    "nothing may be paid": lambda o: block(o, "P1"),
    "bank details of P1 have changed": lambda o: o.details("P1", iban_of("P9")),
    "is held": lambda o: (o.sells("P1", 1, sale_id="late"), o.recount()),
}


def block(office: Office, partner_id: str) -> None:
    with office.engine.begin() as connection:
        holds.block(connection, partner_id, "court order", "C. Clerk", FINAL)


@pytest.mark.parametrize("why", CHANGES)
def test_what_changed_since_the_approval_voids_the_run_and_pays_nothing(careful: Office, why: str) -> None:
    ready(careful, "P1", "P2")
    [run] = careful.prepare()
    careful.approve(run.msg_id)
    CHANGES[why](careful)
    with pytest.raises(StaffelError, match="given up, nothing was paid"):
        careful.release(run.msg_id)
    assert state(careful, run.msg_id)[0] == RunState.VOID
    assert why in str(state(careful, run.msg_id)[1])
    assert booked(careful) == set()
    careful.recount()
    [other] = careful.prepare()
    assert (other.msg_id, other.payments) == (f"{run.msg_id}-2", 1)
    careful.approve(other.msg_id)
    careful.release(other.msg_id)
    with careful.engine.connect() as connection:
        states = dict(connection.execute(select(payments.c.end_to_end_id, payments.c.state)).all())  # type: ignore[arg-type]
    assert sorted(states.values()) == [PaymentState.RELEASED, PaymentState.VOID, PaymentState.VOID]
    assert sound(careful)


def test_bytes_that_were_exchanged_after_the_approval_are_not_released(careful: Office) -> None:
    ready(careful, "P1")
    [run] = careful.prepare()
    careful.approve(run.msg_id)
    forged = careful.vault.seal(b"<Document/>", run.msg_id)
    with careful.engine.begin() as connection:
        if careful.engine.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER run_files_no_reseal"))
        else:
            connection.execute(text("ALTER TABLE run_files DISABLE TRIGGER USER"))
        connection.execute(run_files.update().values(sealed=forged))
    with pytest.raises(StaffelError, match="not the one that was approved"):
        careful.release(run.msg_id)
    assert booked(careful) == set()


def test_a_run_whose_day_is_over_is_given_up_and_prepared_anew(careful: Office) -> None:
    ready(careful, "P1")
    [run] = careful.prepare()
    careful.approve(run.msg_id)
    monday = FRIDAY + timedelta(days=3)
    assert runs.give_up_late(careful.engine, FRIDAY + timedelta(days=2), FINAL) == []
    with pytest.raises(StaffelError, match="its day is over"):
        careful.release(run.msg_id, now=FINAL + timedelta(days=3))
    [later] = careful.prepare(day=monday, now=FINAL + timedelta(days=3))
    tuesday = FRIDAY + timedelta(days=4)
    assert runs.give_up_late(careful.engine, tuesday, FINAL + timedelta(days=4)) == [later.msg_id]
    assert state(careful, later.msg_id) == (RunState.VOID, "not released before its day")
    with pytest.raises(StaffelError, match="is void"):
        careful.approve(later.msg_id)
    assert careful.prepare(day=tuesday, now=FINAL + timedelta(days=4))
    assert sound(careful)


def test_a_run_can_be_given_up_until_it_is_released(careful: Office) -> None:
    ready(careful, "P1")
    [run] = careful.prepare()
    runs.give_up(careful.engine, run.msg_id, "a mistake", "A. Preparer", FINAL)
    assert state(careful, run.msg_id) == (RunState.VOID, "a mistake")
    [again] = careful.prepare()
    careful.approve(again.msg_id)
    careful.release(again.msg_id)
    with pytest.raises(StaffelError, match="is released"):
        runs.give_up(careful.engine, again.msg_id, "too late", "A. Preparer", FINAL)
    assert len(booked(careful)) == 1


def test_of_two_who_release_at_once_one_does(careful: Office) -> None:
    ready(careful, *(f"P{n}" for n in range(5)))
    [run] = careful.prepare()
    careful.approve(run.msg_id)

    def attempt(name: str) -> bool:
        try:
            careful.release(run.msg_id, by=name)
        except StaffelError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(attempt, "BCDE")) == [False, False, False, True]
    assert len(booked(careful)) == 5
    assert sum(said.status is PayoutStatus.IN_PAYMENT for said in careful.published()) == 5
    assert sound(careful)


def test_an_account_outside_sepa_is_paid_by_a_list_with_the_same_life(careful: Office) -> None:
    ready(careful, "P1")
    careful.details("P2", iban="TR330006100519786457841326", holder="=Bayi A.Ş.")
    careful.sells("P2", 10)
    careful.closes("P2", 5_000, units=10)
    careful.recount()
    sepa, foreign = careful.prepare()
    assert (sepa.kind, sepa.payments, foreign.kind, foreign.payments) == (RunKind.SEPA, 1, RunKind.CSV, 1)
    assert foreign.msg_id != sepa.msg_id
    careful.approve(foreign.msg_id)
    careful.release(foreign.msg_id)
    content = (careful.folder / f"{foreign.msg_id}.csv").read_bytes().decode()
    [row] = csv.DictReader(io.StringIO(content))
    assert (row["account"], row["amount"], row["currency"]) == ("TR330006100519786457841326", "50.00", "EUR")
    assert row["account_holder"] == "'=Bayi A.Ş."
    assert not (careful.folder / f"{sepa.msg_id}.xml").exists()
    assert sound(careful)


def test_an_address_goes_along_only_where_an_account_is_outside_the_eea(careful: Office) -> None:
    careful.details("P1", town="Zürich", country="CH", iban="CH9300762011623852957")
    careful.details("P2", town="Wien", country="AT")
    for partner_id in ("P1", "P2"):
        careful.sells(partner_id, 50)
        careful.closes(partner_id, 75_000)
    careful.recount()
    [run] = careful.prepare()
    careful.approve(run.msg_id)
    careful.release(run.msg_id)
    tree = etree.parse(careful.folder / f"{run.msg_id}.xml")
    towns = [e.findtext(f".//{{{NAMESPACE}}}TwnNm") for e in tree.iter(f"{{{NAMESPACE}}}Cdtr")]
    assert sorted(map(str, towns)) == ["None", "Zurich"]
    with careful.engine.connect() as connection:
        shown = runs_view.described(connection, run.msg_id, PERSONS)
    assert any("outside the EEA" in warning for warning in shown["warnings"])
    assert "CH9300762011623852957" not in str(shown)


def test_a_journal_is_taken_back_once_and_a_reversal_is_not(office: Office) -> None:
    entry = ledger.transfer("k", ledger.EXPENSE, ledger.payable("P1"), 500, "EUR")
    with office.engine.begin() as connection:
        ledger.book(connection, [entry], FINAL)
        for _ in range(2):  # the same again changes nothing
            ledger.reverse(connection, "k", "r", FINAL)
        assert set(ledger.balances(connection).values()) == {0}
    with pytest.raises(IntegrityError), office.engine.begin() as connection:
        ledger.reverse(connection, "k", "r2", FINAL)
    with pytest.raises(ledger.Unbalanced, match="takes back k"), office.engine.begin() as connection:
        ledger.reverse(connection, "r", "rr", FINAL)
    with pytest.raises(LookupError), office.engine.begin() as connection:
        ledger.reverse(connection, "unknown", "x", FINAL)


def test_what_the_application_did_not_check_postgresql_does(office: Office) -> None:
    entry = ledger.transfer("k", ledger.EXPENSE, ledger.payable("P1"), 500, "EUR")
    with office.engine.begin() as connection:
        ledger.book(connection, [entry], FINAL)
    lonely = text("INSERT INTO postings VALUES ('k', 2, 'expense:rebate', 1, 'EUR')")
    if office.engine.dialect.name == "postgresql":
        with pytest.raises(DatabaseError, match="out of balance"), office.engine.begin() as connection:
            connection.execute(lonely)
    else:
        with office.engine.begin() as connection:
            connection.execute(lonely)
        with office.engine.connect() as connection:
            assert any("do not sum to zero" in violation for violation in invariants.violations(connection))


def test_nothing_that_covers_is_covered_twice(careful: Office) -> None:
    ready(careful, "P1")
    [run] = careful.prepare()
    with careful.engine.connect() as connection:
        row = connection.execute(select(settlements)).one()
        account = bank_details.accounts(connection, ["P1"])["P1"]
    assert account.version == 1
    ready(careful, "P2")
    [other] = careful.prepare()
    with careful.engine.connect() as connection:
        id_ = connection.execute(select(payments.c.end_to_end_id).where(payments.c.msg_id == other.msg_id)).scalar_one()
    with pytest.raises(IntegrityError), careful.engine.begin() as connection:
        connection.execute(settlements.insert().values(end_to_end_id=id_, obligation_id=row.obligation_id, active=True))
    assert run.msg_id != other.msg_id
