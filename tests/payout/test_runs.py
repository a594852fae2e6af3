"""From what is payable to one payment, once."""

from __future__ import annotations

import os
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from sqlalchemy import event, select
from sqlalchemy.exc import DatabaseError, IntegrityError

from deploy.runtime.errors import StaffelError
from schemas.events import PayoutStatus
from services.payout import bank_details, files, holds, invariants, ledger, release, runs
from services.payout.bank_days import next_bank_day
from services.payout.pain001 import NAMESPACE
from services.payout.tables import (
    APPEND_ONLY,
    bank_files,
    hold_lifts,
    metadata,
    obligations,
    partner_accounts,
    payments,
    run_files,
    settlements,
)
from services.payout.vault import Vault
from streams.rules.terms import Terms
from tests.databases import sqlite_url
from tests.payout.office import FINAL, FRIDAY, PROGRAMME, Office

TERMS: Terms = PROGRAMME.terms[0]


def ready(office: Office, partner_id: str = "P1", units: int = 50) -> None:
    office.details(partner_id)
    office.sells(partner_id, units)
    office.closes(partner_id, TERMS.rebate_minor(units), units=units)
    office.recount()


def paid(office: Office) -> list[tuple[str, int]]:
    with office.engine.connect() as connection:
        rows = connection.execute(
            select(payments.c.partner_id, payments.c.amount_minor).order_by(payments.c.msg_id, payments.c.partner_id)
        )
        return [(partner_id, amount) for partner_id, amount in rows]


def sound(office: Office) -> bool:
    with office.engine.connect() as connection:
        return invariants.violations(connection) == []


def amounts(path: Path) -> list[str]:
    return [element.text or "" for element in etree.parse(path).iter(f"{{{NAMESPACE}}}InstdAmt")]


def test_a_run_pays_what_is_payable_and_says_so(office: Office) -> None:
    ready(office)
    made = office.pay()
    assert made is not None
    assert (made.payments, made.total_minor) == (1, 75_000)
    last = office.published()[-1]
    assert (last.status, last.run_id, last.execution_date) == (PayoutStatus.IN_PAYMENT, made.msg_id, date(2027, 2, 1))
    assert last.end_to_end_id is not None
    assert amounts(office.folder / f"{made.msg_id}.xml") == ["750.00"]
    with office.engine.connect() as connection:
        assert ledger.balances(connection)["liability:payable:P1", "EUR"] == 0
    assert sound(office)


def test_a_second_delivery_pays_nothing(office: Office) -> None:
    ready(office)
    office.pay()
    ready(office)
    assert office.pay(next_bank_day(FRIDAY)) is None
    assert paid(office) == [("P1", 75_000)]


def test_a_day_has_one_run(office: Office) -> None:
    ready(office)
    assert office.pay() is not None
    ready(office, "P2")
    assert office.pay() is None
    assert office.pay(next_bank_day(FRIDAY)) is not None
    assert paid(office) == [("P1", 75_000), ("P2", 75_000)]


def test_a_day_on_which_nothing_was_payable_is_over(office: Office) -> None:
    assert office.pay() is None
    ready(office)
    assert office.pay() is None
    assert runs.latest_day(office.engine) == FRIDAY


def test_held_and_waiting_obligations_are_left_out(office: Office) -> None:
    ready(office, "P1")
    office.sells("P2", 50)
    office.closes("P2", 75_000)
    office.details("P3")
    office.closes("P3", 75_000)
    office.recount()
    office.pay()
    assert paid(office) == [("P1", 75_000)]


def test_close_adjustment_and_clawback_are_paid_as_their_sum(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 49)
    office.closes("P1", 49_000, 75_000, 49_000)
    office.recount()
    office.pay()
    assert paid(office) == [("P1", 49_000)]
    assert [status for status, _ in office.statuses("P1")][3:] == [
        PayoutStatus.IN_PAYMENT,
        PayoutStatus.IN_PAYMENT,
        PayoutStatus.NETTED,
    ]
    assert sound(office)


def test_a_clawback_after_the_payment_is_carried_until_it_can_be_set_off(office: Office) -> None:
    ready(office)
    office.pay()
    office.sells("P1", 49)
    office.closes("P1", 75_000, 49_000)
    office.recount()
    monday = next_bank_day(FRIDAY)
    assert office.pay(monday) is None
    assert office.statuses("P1")[-1] == (PayoutStatus.PAYABLE, "clawback")
    office.sells("P1", 40, quarter="2026Q3")
    office.closes("P1", 40_000, quarter="2026Q3")
    office.recount()
    made = office.pay(next_bank_day(monday))
    assert made is not None
    assert paid(office) == [("P1", 75_000), ("P1", 14_000)]
    text_of = etree.parse(office.folder / f"{made.msg_id}.xml").findtext(f".//{{{NAMESPACE}}}Ustrd")
    assert text_of == "Topseller 2026Q3 400.00, 2026Q4 -260.00"
    assert sound(office)


def test_a_debt_larger_than_what_is_new_pays_nothing(office: Office) -> None:
    ready(office)
    office.pay()
    office.sells("P1", 0)
    office.closes("P1", 75_000, 0)
    office.sells("P1", 40, quarter="2026Q3")
    office.closes("P1", 40_000, quarter="2026Q3")
    office.recount()
    assert office.pay(next_bank_day(FRIDAY)) is None
    with office.engine.connect() as connection:
        assert ledger.balances(connection)["liability:payable:P1", "EUR"] == 35_000
    assert sound(office)


def test_the_file_on_disk_is_the_one_in_the_database(office: Office) -> None:
    ready(office)
    made = office.pay()
    assert made is not None
    with office.engine.connect() as connection:
        sealed = connection.execute(select(run_files.c.sealed)).scalar_one()
    path = office.folder / f"{made.msg_id}.xml"
    assert path.read_bytes() == office.vault.open(sealed, made.msg_id)
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_that_the_bank_took_away_is_not_written_again(office: Office) -> None:
    ready(office)
    made = office.pay()
    assert made is not None
    (office.folder / f"{made.msg_id}.xml").unlink()
    assert files.write_released(office.engine, office.vault, office.folder) == []


def test_a_file_of_a_run_we_do_not_know_is_noticed(office: Office) -> None:
    ready(office)
    made = office.pay()
    assert made is not None
    assert files.unknown(office.folder, {made.msg_id}) == []
    assert files.unknown(office.folder, set()) == [made.msg_id]


def test_another_key_opens_no_file(office: Office) -> None:
    ready(office)
    [run] = office.prepare()
    office.approve(run.msg_id)
    release.release(office.engine, office.vault, PROGRAMME, run.msg_id, "B. Approver", office.limits, FINAL)
    with pytest.raises(StaffelError, match="another key"):
        files.write_released(office.engine, Vault("another"), office.folder)
    assert list(office.folder.glob("*")) == []


def test_the_database_refuses_a_second_active_payment_of_an_obligation(office: Office) -> None:
    ready(office)
    office.pay()
    with office.engine.connect() as connection:
        settled = connection.execute(select(settlements)).one()
    ready(office, "P2")
    office.pay(next_bank_day(FRIDAY))
    with office.engine.connect() as connection:
        other = connection.execute(
            select(payments.c.end_to_end_id).where(payments.c.end_to_end_id != settled.end_to_end_id)
        ).scalar_one()
    with pytest.raises(IntegrityError), office.engine.begin() as connection:
        connection.execute(
            settlements.insert().values(end_to_end_id=other, obligation_id=settled.obligation_id, active=True)
        )


def decisions(office: Office) -> None:
    """A row in each table of what people and banks decided."""
    with office.engine.begin() as connection:
        bank_details.invalidate(connection, "P1", 1, "AC04", FINAL)
        connection.execute(
            bank_files.insert().values(
                sha256="0", name="a.xml", kind="camt.053", message_id="1", sealed=b"keykeyke" + b"0" * 40, read_at=FINAL
            )
        )
        connection.execute(partner_accounts.insert().values(partner_id="P1", number=0))
        holds.block(connection, "P1", "court order", "A. Clerk", FINAL)
        of = connection.execute(select(obligations.c.id)).scalars().first()
        connection.execute(
            hold_lifts.insert().values(
                obligation_id=of, reason="unusual-units", facts="0", note="seen", lifted_by="A", at=FINAL
            )
        )


@pytest.mark.parametrize("table", [name for name in APPEND_ONLY if not name.startswith("statement")])
def test_books_files_bank_details_and_decisions_can_only_be_added_to(office: Office, table: str) -> None:
    ready(office)
    office.pay()
    decisions(office)
    found = metadata.tables[table]
    for change in (found.delete(), *(found.update().values({column: column}) for column in found.columns)):
        with pytest.raises(DatabaseError, match="append-only"), office.engine.begin() as connection:
            connection.execute(change)


def test_an_edited_payment_is_a_violation(office: Office) -> None:
    ready(office)
    office.pay()
    with office.engine.begin() as connection:
        connection.execute(payments.update().values(amount_minor=75_001))
    with office.engine.connect() as connection:
        assert len(invariants.violations(connection)) == 4


def test_an_obligation_that_looks_unpaid_although_it_was_is_a_violation(office: Office) -> None:
    ready(office)
    office.pay()
    for state in ("payable", "in_payment"):
        with office.engine.begin() as connection:
            connection.execute(obligations.update().values(state=state))
        assert sound(office) is (state == "in_payment")
    with office.engine.begin() as connection:
        connection.execute(settlements.update().values(active=False))
    assert not sound(office)


def test_ids_fit_every_bank_and_differ(office: Office) -> None:
    ids = {runs.end_to_end_id("topseller", f"partner-{n}", FRIDAY) for n in range(5_000)}
    assert len(ids) == 5_000
    assert {len(id_) for id_ in ids} == {16}
    assert set("".join(ids)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
    assert len(runs.run_id("a programme with a very long name indeed", FRIDAY)) <= 35


class Crash(BaseException):
    """The process is killed."""


class Fuse:
    """Kills the process at the n-th statement, commit or sync of a file."""

    def __init__(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        for name in ("before_cursor_execute", "commit"):
            event.listen(office.engine, name, self._burn)
        self._sync = os.fsync
        monkeypatch.setattr(os, "fsync", self._burn_and_sync)

    def _burn_and_sync(self, handle: int) -> None:
        self._burn()
        self._sync(handle)

    def _burn(self, *_: Any) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Crash


def test_a_crash_at_any_point_leaves_one_payment(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    fuse = Fuse(office, monkeypatch)

    def quarter_end(partner_id: str, day: date, now: datetime) -> None:
        office.details(partner_id)
        office.sells(partner_id, 49)
        office.closes(partner_id, 75_000, 49_000)
        office.recount(now)
        office.pay(day, now)

    day, points = FRIDAY, 0
    while True:
        partner_id, now = f"P{points:04d}", FINAL + (day - FRIDAY)
        fuse.left = points
        try:
            quarter_end(partner_id, day, now)
            interrupted = False
        except Crash:
            interrupted = True
        fuse.left = None
        quarter_end(partner_id, day, now)
        if not interrupted:
            break
        day, points = next_bank_day(day), points + 1
    assert points > 50
    expected = [(f"P{number:04d}", 49_000) for number in range(points + 1)]
    assert sorted(paid(office)) == expected
    assert sound(office)
    assert len(list(office.folder.glob("*.xml"))) == points + 1
    for status in (PayoutStatus.IN_PAYMENT, PayoutStatus.NETTED):
        assert sum(e.status is status for e in office.published()) == points + 1
    numbered = [(e.partner_id, e.revision, e.sequence) for e in office.published()]
    assert len(numbered) == len(set(numbered))


histories = st.lists(
    st.tuples(st.sampled_from(["P1", "P2", "P3"]), st.integers(0, 120), st.booleans(), st.booleans()), max_size=10
)


@given(histories)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_what_is_paid_and_open_is_what_was_closed(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, int, bool, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("office")
    office = Office(folder, sqlite_url(folder))
    totals: dict[str, list[int]] = {}
    day = FRIDAY
    for partner_id, units, has_details, pays in history:
        if has_details:
            office.details(partner_id)
        office.sells(partner_id, units)
        before = totals.setdefault(partner_id, [])
        rebate = TERMS.rebate_minor(units)
        if rebate != (before[-1] if before else 0):
            before.append(rebate)
            office.closes(partner_id, *before)
        office.recount(FINAL + timedelta(days=30))
        if pays:
            office.pay(day)
            day = next_bank_day(day)
    assert sound(office)
    for partner_id, revisions in totals.items():
        got = sum(amount for his, amount in paid(office) if his == partner_id)
        with office.engine.connect() as connection:
            open_minor = -ledger.balances(connection).get((f"liability:payable:{partner_id}", "EUR"), 0)
        assert got + open_minor == (revisions[-1] if revisions else 0)
        assert got >= 0
    office.engine.dispose()
