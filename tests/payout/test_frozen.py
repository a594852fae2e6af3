"""An amount remembers what it was counted from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select, update

from services.payout import inputs
from services.payout.bank_days import next_bank_day
from services.payout.states import State
from services.payout.tables import obligations
from tests.payout.office import FINAL, FRIDAY, QUARTER, Office


def rows(office: Office) -> list[Row[Any]]:
    with office.engine.connect() as connection:
        return list(connection.execute(select(obligations).order_by(obligations.c.revision)).all())


def matches(office: Office, row: Row[Any]) -> bool | None:
    with office.engine.connect() as connection:
        return inputs.matches(connection, row)


def ready(office: Office, details: bool = True) -> None:
    if details:
        office.details("P1")
    for sale_id, units in (("b", 20), ("a", 5), ("ä", 25), ("none", 0)):
        office.sells("P1", units, sale_id=sale_id)
    office.closes("P1", 75_000, units=50)
    office.recount()


def test_the_hash_is_that_of_what_counted_when_it_became_payable(office: Office) -> None:
    ready(office)
    (row,) = rows(office)
    counted = [("ä", 25), ("a", 5), ("b", 20)]
    assert row.inputs_hash == inputs.inputs_hash("topseller", "P1", QUARTER, 1, "2026-1", counted)
    assert row.terms_version == "2026-1"
    assert matches(office, row) is True


def test_every_fact_is_in_the_hash_and_the_order_of_lines_is_not() -> None:
    facts = ("topseller", "P1", QUARTER, 1, "2026-1", [("a", 5), ("b", 20)])
    hashed = inputs.inputs_hash(*facts)  # type: ignore[arg-type]
    assert hashed == "3d604c16198707af217090ed5667b51988b36fafe2e582deec0e4f167b7e1529"
    others = ("other", "P2", "2026Q3", 2, "2026-2", [("a", 20), ("b", 5)])
    for place, other in enumerate(others):
        changed = [*facts[:place], other, *facts[place + 1 :]]
        assert inputs.inputs_hash(*changed) != hashed  # type: ignore[arg-type]
    assert inputs.inputs_hash(*facts[:5], [("b", 20), ("a", 5)]) == hashed  # type: ignore[arg-type]


def test_what_waits_or_is_held_is_not_frozen_until_it_can_be_paid(office: Office) -> None:
    ready(office, details=False)
    (row,) = rows(office)
    assert (row.state, row.inputs_hash) == (State.WAITING, None)
    assert matches(office, row) is None
    office.details("P1")
    office.recount()
    assert rows(office)[0].inputs_hash is not None


def test_lines_that_change_without_a_revision_leave_the_hash_and_show(office: Office) -> None:
    ready(office)
    before = rows(office)[0].inputs_hash
    office.sells("P1", 24, sale_id="ä")
    office.sells("P1", 1, sale_id="new")
    office.recount()
    (row,) = rows(office)
    assert row.inputs_hash == before
    assert matches(office, row) is False


def test_each_revision_is_frozen_with_its_own_lines(office: Office) -> None:
    ready(office)
    office.pay()
    office.sells("P1", 24, sale_id="ä")
    office.closes("P1", 75_000, 49_000, units=49)
    office.recount()
    first, second = rows(office)
    assert first.inputs_hash != second.inputs_hash
    assert (matches(office, first), matches(office, second)) == (False, True)


def test_a_bank_return_does_not_freeze_anew(office: Office) -> None:
    ready(office)
    office.pay()
    before = rows(office)[0].inputs_hash
    with office.engine.begin() as connection:
        connection.execute(update(obligations).values(state=State.RETURNED))
    office.sells("P1", 51, sale_id="a")
    office.recount(FINAL + timedelta(days=3))
    assert rows(office)[0].inputs_hash == before
    assert office.pay(next_bank_day(FRIDAY)) is None
