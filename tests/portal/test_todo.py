"""What is left for a partner to do, and his quarters from close to money."""

from __future__ import annotations

from datetime import date

from schemas.events import CloseKind, PayoutStatus, Phase
from tests.portal.conftest import Site
from tests.portal.feeding import a_close, a_payout, a_tally, feed
from tests.portal.test_pages import words
from tests.portal.test_statements import NUMBER, put


def test_who_has_nothing_to_do_sees_no_box(site: Site) -> None:
    assert "What is left for you to do" not in site.signed_in("P1").get("/").text


def test_a_new_statement_is_told_for_a_while_and_leads_to_its_quarter(site: Site) -> None:
    put(site, "P1")
    for day, told in (
        (date(2027, 1, 31), False),
        (date(2027, 2, 1), True),
        (date(2027, 2, 15), True),
        (date(2027, 2, 16), False),
    ):
        site.clock.shown = site.clock.shown.replace(year=day.year, month=day.month, day=day.day)
        page = site.signed_in("P1").get("/").text
        assert (f'href="/quarters#2026Q4">Look at {NUMBER}' in page) == told
    assert "new statement" not in site.signed_in("P2").get("/").text


def test_a_quarter_tells_each_step_of_the_money_and_the_banks_reason(site: Site) -> None:
    feed(
        site.engine,
        a_tally(site.programme, "P1", 31, "2026Q3", phase=Phase.FINAL, revision=1, payable_minor=31000),
        a_close(site.programme, "P1", CloseKind.PROVISIONAL, 0, 30, 0, 0),
        a_close(site.programme, "P1", CloseKind.FINAL, 1, 31, 31000, 31000),
        a_payout("P1", 1, 1, PayoutStatus.IN_PAYMENT, 31000),
        a_payout("P1", 1, 2, PayoutStatus.RETURNED, 31000, "AC04"),
        a_payout("P1", 1, 3, PayoutStatus.WAITING, 31000, "bank-details-invalid"),
    )
    page = site.signed_in("P1").get("/quarters").text
    said = words(page)
    steps = ("Sent to the bank", "Came back from the bank The account has been closed.", "Waiting for bank details")
    places = [said.rindex(step) for step in steps]
    assert places == sorted(places)
    assert "Give other bank details on the page of your details" in said
    assert "Rebate 310 € Units 31 a unit 10 € Made payable 310 € Paid 0 €" in said
    assert 'href="/why?quarter=2026Q3"' in page
    assert said.index("Q4 2026 Running") < said.index("Q3 2026 Final")


def test_what_is_to_be_set_off_is_told_once_for_all_quarters(site: Site) -> None:
    feed(
        site.engine,
        a_tally(site.programme, "P1", 49, "2026Q3", phase=Phase.FINAL, revision=2, payable_minor=49000),
        a_payout("P1", 1, 1, PayoutStatus.PAID, 75000),
        a_payout("P1", 2, 1, PayoutStatus.PAYABLE, -26000, "clawback"),
    )
    said = words(site.signed_in("P1").get("/quarters").text)
    assert "260 € will be set off against your next payment." in said
    assert "Paid 750 € Still to be set off 260 €" in said
