"""How much waits for staff stands in the head of its pages; what takes long is not counted while a page is made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.portal.auth import STAFF, Role, Visitor
from services.portal.badges import Badges
from services.portal.offices import open_offices
from streams.rules.terms import Programme
from tests.portal.beside import Town, town
from tests.portal.claiming import claim, pdf
from tests.portal.feeding import a_line, a_partner, feed
from tests.waiting import until

VIEWER = Visitor(STAFF, "", "", "anna", Role.VIEWER)


@pytest.fixture
def beside(tmp_path: Path, programme: Programme) -> Iterator[Town]:
    """A portal beside payout. P1 is owed what cannot be paid, and shares a serial number with P2."""
    with town(tmp_path, programme, "payout") as made:
        feed(made.site.engine, a_partner("P1"), a_partner("P2"))
        feed(made.site.engine, *(a_line(f"P{n}", f"S-{n}", 1, serial_numbers=("MP0001",)) for n in (1, 2)))
        made.payout.sells("P1", 50)
        made.payout.closes("P1", 75_000, units=50)
        made.payout.recount()
        yield made


@pytest.fixture
def badges(beside: Town) -> Badges:
    return Badges(beside.site.engine, open_offices(beside.settings).payout)


def test_claims_are_counted_at_once_and_the_rest_as_it_was_counted_last(beside: Town, badges: Badges) -> None:
    assert badges.of(VIEWER) == {"/claims/desk": 0}
    assert claim(beside.site.signed_in("P1"), ("invoice.pdf", pdf())).status_code == 303
    assert badges.of(VIEWER) == {"/claims/desk": 1}
    badges.count()
    assert badges.of(VIEWER) == {"/claims/desk": 1, "/conflicts": 1, "/holds": 1}
    feed(beside.site.engine, a_line("P2", "S-2", 1, serial_numbers=()))
    assert badges.of(VIEWER)["/conflicts"] == 1
    badges.count()
    assert badges.of(VIEWER)["/conflicts"] == 0


def test_nobody_but_staff_hears_of_it(badges: Badges) -> None:
    badges.count()
    assert badges.of(Visitor("partner", "P1", "")) == {}
    assert badges.of(VIEWER._replace(viewing="P1").as_partner()) == {}


def test_while_payout_is_away_nobody_says_how_much_is_held(beside: Town, badges: Badges) -> None:
    badges.count()
    beside.closes("payout")
    badges.count()
    assert badges.of(VIEWER) == {"/claims/desk": 0, "/conflicts": 1}


def test_the_number_stands_beside_the_name_of_its_page(beside: Town) -> None:
    page = beside.site.staff(Role.VIEWER)
    assert 'class="waiting"' not in page.get("/programme").text
    claim(beside.site.signed_in("P1"), ("invoice.pdf", pdf()))
    head = re.sub(r"\s+", " ", page.get("/programme").text)
    assert 'Claims <span class="waiting">1</span></a>' in head


def test_it_is_counted_in_a_thread_once_somebody_is_there(badges: Badges, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.portal.badges._LEAST_SECONDS", 0.01)
    badges.start()
    badges.of(VIEWER)
    until(lambda: "/conflicts" in badges.of(VIEWER), 10, "the thread to count")
    badges.stop()
