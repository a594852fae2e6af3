"""Whatever happens to bank details, money goes to the latest ones, old enough and not refused, of who is not blocked.

Held against a page that shares nothing with the product: versions as a list, bank days as weekdays (the time that the
histories take has no holidays).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from deploy.runtime.errors import StaffelError
from services.payout.states import State
from services.payout.tables import obligations, payments
from tests.databases import drop, postgres_url, sqlite_url
from tests.payout.office import FINAL, PROGRAMME, Office, closes, iban_of, line

PARTNERS = ("P1", "P2")
QUARTERS = ("2026Q1", "2026Q2", "2026Q3", "2026Q4")
WAIT = 3


class Page:
    """What must hold for one partner."""

    def __init__(self) -> None:
        self.versions: list[dict[str, Any]] = []
        self.blocked = False

    def enters(self, iban: str, today: date) -> None:
        last = self.versions[-1] if self.versions else None
        if last is None or last["refused"] or last["iban"] != iban:
            usable = today if last is None else max(last["usable"], after(today, WAIT))
            self.versions.append({"iban": iban, "usable": usable, "refused": False})

    def may_receive(self, version: int, today: date) -> bool:
        last = self.versions[-1] if self.versions else {"refused": True}
        return (
            version == len(self.versions) and not self.blocked and not last["refused"] and bool(last["usable"] <= today)
        )


def after(day: date, weekdays: int) -> date:
    while weekdays:
        day += timedelta(days=1)
        weekdays -= day.weekday() < 5
    return day


@contextmanager
def office_at(folder: Path, url: str) -> Iterator[Office]:
    office = Office(folder, url)
    try:
        yield office
    finally:
        office.engine.dispose()
        if url.startswith("postgresql"):
            drop(url)


LOOKS, PAYS = ("looks", "", None), ("pays", "", None)
partner = st.sampled_from(PARTNERS)
steps = st.one_of(
    st.tuples(st.just("details"), partner, st.integers(0, 1)),
    st.tuples(st.just("sells"), partner, st.sampled_from(QUARTERS)),
    st.tuples(st.just("refused"), partner, st.integers(0, 2)),
    st.tuples(st.just("blocked"), partner, st.booleans()),
    st.tuples(st.just("lifted"), partner, st.sampled_from(QUARTERS)),
    st.tuples(st.just("days"), st.just(""), st.integers(1, 4)),
    st.just(LOOKS),
    st.just(LOOKS),
    st.just(PAYS),
)


@pytest.mark.parametrize("make_url", [sqlite_url, lambda _folder: postgres_url()], ids=["sqlite", "postgresql"])
@given(st.lists(steps, min_size=10, max_size=40))
@example([("details", "P1", 0), ("sells", "P1", "2026Q4"), LOOKS, ("details", "P1", 1), PAYS])
@example([("details", "P1", 0), ("sells", "P1", "2026Q4"), LOOKS, ("refused", "P1", 0), PAYS])
@example([("details", "P1", 0), ("sells", "P1", "2026Q4"), ("blocked", "P1", True), LOOKS, PAYS])
@example([("details", "P1", 0), ("sells", "P1", "2026Q4"), ("refused", "P1", 0), LOOKS, ("details", "P1", 0), LOOKS])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_ever_payable_where_it_must_not_go(
    tmp_path_factory: pytest.TempPathFactory, make_url: Callable[[Path], str], history: list[tuple[str, str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("office")
    pages = {partner_id: Page() for partner_id in PARTNERS}
    now, paid, sold = FINAL, set[str](), set[tuple[str, str]]()
    with office_at(folder, make_url(folder)) as office:
        for kind, who, what in history:
            today = now.astimezone(PROGRAMME.zone).date()
            match kind:
                case "details":
                    iban = iban_of(f"{who}-{what}")
                    office.details(who, iban, at=now)
                    pages[who].enters(iban, today)
                case "refused" if what < len(pages[who].versions):
                    office.refused(who, what + 1, at=now)
                    pages[who].versions[what]["refused"] = True
                case "blocked":
                    office.blocks(who, what, at=now)
                    pages[who].blocked = what
                case "lifted":
                    with suppress(StaffelError):  # there is nothing to be lifted
                        office.lifts(f"topseller/{who}/{what}/1", at=now)
                case "sells" if (who, what) not in sold:
                    sold.add((who, what))
                    units = 10 * 4 ** QUARTERS.index(what)
                    rate = {10: 500, 40: 1000}.get(units, 1500)
                    office.apply([line(who, units, what, what), *closes(who, units * rate, quarter=what)])
                case "days":
                    now += timedelta(days=what)
                case "looks":
                    office.passes(now)
                    for row in found(office, select(obligations).where(obligations.c.state == State.PAYABLE)):
                        assert pages[row.partner_id].may_receive(len(pages[row.partner_id].versions), today), row
                case "pays":
                    office.pay(today, now)
                    for row in found(office, select(payments)):
                        fresh = row.end_to_end_id not in paid
                        assert not fresh or pages[row.partner_id].may_receive(row.bank_version, today), row
                        paid.add(row.end_to_end_id)
        _what_may_go_goes(office, pages, now)


def _what_may_go_goes(office: Office, pages: dict[str, Page], now: Any) -> None:
    """Nothing is stuck: once the waits are over, whoever may be paid has all that is not held for other reasons."""
    later = now + timedelta(days=14)
    office.passes(later)
    for row in found(office, select(obligations).where(obligations.c.state.in_([State.HELD, State.WAITING]))):
        page = pages[row.partner_id]
        fine = page.versions and page.may_receive(len(page.versions), later.date())
        assert not fine or row.reason == "unusual-units", row


def found(office: Office, query: Any) -> list[Any]:
    with office.engine.connect() as connection:
        return list(connection.execute(query))
