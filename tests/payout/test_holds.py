"""What stops money, what ends it, and who decided."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from deploy.runtime.errors import StaffelError
from schemas.events import PayoutStatus
from services.payout import bank_details, holds, holds_view
from services.payout.bank_checks import Row
from services.payout.bank_details import import_rows
from services.payout.holds import HOLDS
from tests.payout.office import FINAL, FRIDAY, PROGRAMME, Office, iban_of, line

OBLIGATION = "topseller/P1/2026Q4/1"
DAY = timedelta(days=1)
WEDNESDAY = date(2027, 2, 3)
"""The third bank day after FRIDAY."""
HELD_NEW = (PayoutStatus.HELD, "bank-details-new")
PAYABLE = (PayoutStatus.PAYABLE, None)


def earns(office: Office, units: int = 50, total: int = 75_000) -> None:
    """P1 sells and his quarter is closed."""
    office.sells("P1", units)
    office.closes("P1", total)
    office.recount()


def test_changed_details_hold_the_money_until_their_day_and_then_it_is_paid_there(office: Office) -> None:
    office.details("P1")
    office.details("P1", iban_of("other"))
    earns(office)
    assert office.statuses("P1") == [HELD_NEW]
    office.passes(FINAL + 4 * DAY)
    assert office.pay(date(2027, 2, 2), FINAL + 4 * DAY) is None
    office.passes(FINAL + 5 * DAY)
    assert office.statuses("P1") == [HELD_NEW, PAYABLE]
    made = office.pay(WEDNESDAY, FINAL + 5 * DAY)
    assert made
    assert iban_of("other") in (office.folder / f"{made.msg_id}.xml").read_text("utf-8")


def test_the_day_begins_at_midnight_in_the_programmes_zone(office: Office) -> None:
    office.details("P1")
    office.details("P1", iban_of("other"))
    earns(office)
    midnight = PROGRAMME.starts_at(WEDNESDAY)
    office.passes(midnight - timedelta(seconds=1))
    assert office.statuses("P1") == [HELD_NEW]
    office.passes(midnight)
    assert office.statuses("P1")[-1] == PAYABLE


def test_what_was_payable_is_held_as_soon_as_the_details_change(office: Office) -> None:
    office.details("P1")
    earns(office)
    office.details("P1", holder="Somebody else")
    assert office.pay() is None, "the run asks again, although nobody has looked since"
    office.recount()
    assert office.statuses("P1") == [PAYABLE, HELD_NEW]


def test_another_town_or_bic_moves_no_money_elsewhere_and_waits_for_nothing(office: Office) -> None:
    office.details("P1")
    row = Row("P1", "Holder of P1", iban_of("P1"), "BYLADEM1001", "Bonn", "DE")
    assert import_rows(office.engine, office.settings, [row], FINAL)[0].result == "changed"
    earns(office)
    assert office.statuses("P1") == [PAYABLE]


def test_nor_does_it_end_the_wait_for_what_does(office: Office) -> None:
    office.details("P1")
    office.details("P1", iban_of("other"))
    row = Row("P1", "Holder of P1", iban_of("other"), "BYLADEM1001")
    assert import_rows(office.engine, office.settings, [row], FINAL)[0].result == "changed"
    earns(office)
    assert office.statuses("P1") == [HELD_NEW]


def test_changing_them_back_or_again_never_shortens_the_wait(office: Office) -> None:
    office.details("P1")
    office.details("P1", iban_of("other"))
    office.details("P1")
    office.details("P1", at=FINAL + DAY)
    with office.engine.connect() as connection:
        assert bank_details.accounts(connection, ["P1"])["P1"].usable_on == WEDNESDAY


def test_first_details_wait_too_if_the_settings_say_so(office: Office) -> None:
    office.set(bank_details_days_first=2)
    office.details("P1")
    earns(office)
    assert office.statuses("P1") == [HELD_NEW]
    office.passes(FINAL + 4 * DAY)
    assert office.statuses("P1")[-1] == PAYABLE


def test_refused_details_make_it_wait_until_others_are_old_enough(office: Office) -> None:
    office.details("P1")
    earns(office)
    office.refused("P1")
    assert office.pay() is None
    office.recount()
    assert office.statuses("P1")[1:] == [(PayoutStatus.WAITING, "bank-details-invalid")]
    assert office.details("P1") == "changed", "the same again is no longer the same"
    office.recount()
    assert office.statuses("P1")[2:] == [HELD_NEW]
    office.passes(FINAL + 5 * DAY)
    assert office.statuses("P1")[3:] == [PAYABLE]


def test_an_older_version_that_is_refused_late_changes_nothing(office: Office) -> None:
    office.details("P1")
    office.details("P1", iban_of("other"))
    office.refused("P1", 1)
    earns(office)
    office.passes(FINAL + 5 * DAY)
    assert office.statuses("P1") == [HELD_NEW, PAYABLE]


def test_a_blocked_partner_is_paid_nothing_and_all_of_it_afterwards(office: Office) -> None:
    office.details("P1")
    earns(office)
    assert office.blocks("P1")
    assert not office.blocks("P1")
    assert office.pay() is None, "the run asks again, although nobody has looked since"
    office.recount()
    assert office.statuses("P1") == [PAYABLE, (PayoutStatus.HELD, "partner-blocked")]
    assert office.blocks("P1", False)
    assert not office.blocks("P1", False)
    office.recount()
    assert office.statuses("P1")[-1] == PAYABLE
    assert office.pay(date(2027, 2, 1), FINAL + 3 * DAY)


def test_what_a_blocked_partner_owes_is_set_off_all_the_same(office: Office) -> None:
    office.blocks("P1")
    office.sells("P1", 49)
    office.closes("P1", 75_000, 49_000)
    office.recount()
    assert office.statuses("P1") == [(PayoutStatus.HELD, "partner-blocked"), (PayoutStatus.PAYABLE, "clawback")]


def test_far_more_units_than_in_an_average_quarter_are_held_until_somebody_has_looked(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 12, "2026Q2")
    office.sells("P1", 18, "2026Q3")
    earns(office)
    assert office.statuses("P1") == [(PayoutStatus.HELD, "unusual-units")]
    assert office.lifts(OBLIGATION) == "unusual-units"
    office.recount()
    assert office.statuses("P1")[-1] == PAYABLE
    assert office.pay()


def test_a_lift_counts_only_while_the_units_stay_what_they_were(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 12, "2026Q2")
    office.sells("P1", 18, "2026Q3")
    earns(office, 60, 90_000)
    office.lifts(OBLIGATION)
    office.sells("P1", 1, sale_id="more")
    office.closes("P1", 90_000, 91_500)
    office.recount()
    assert office.statuses("P1")[1:] == [(PayoutStatus.HELD, "unusual-units")], "the second close; the first stays held"
    assert office.pay() is None
    for number in (1, 2):
        office.lifts(f"topseller/P1/2026Q4/{number}")
    office.recount()
    assert office.statuses("P1")[2:] == [PAYABLE] * 2


def test_a_tier_reached_by_the_last_two_days_is_held_for_each_reason_on_its_own(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 8, "2026Q2")
    office.sells("P1", 8, "2026Q3")
    office.apply([line("P1", 20, sale_id="a"), line("P1", 30, sale_id="b", sold_on=date(2026, 12, 30))])
    office.closes("P1", 75_000)
    office.recount()
    office.lifts(OBLIGATION)
    office.recount()
    office.lifts(OBLIGATION)
    office.recount()
    assert [reason for _, reason in office.statuses("P1")] == ["unusual-units", "last-days-reach-tier", None]


def test_the_day_before_the_last_two_days_is_an_ordinary_day(office: Office) -> None:
    office.details("P1")
    office.apply([line("P1", 20, sale_id="a"), line("P1", 30, sale_id="b", sold_on=date(2026, 12, 29))])
    office.closes("P1", 75_000)
    office.recount()
    assert office.statuses("P1") == [PAYABLE]


def test_only_what_is_unusual_can_be_lifted(office: Office) -> None:
    office.blocks("P1")
    earns(office)
    with pytest.raises(StaffelError, match="nothing to be lifted") as refused:
        office.lifts(OBLIGATION)
    assert "holds unblock" in refused.value.hint
    with pytest.raises(StaffelError, match="there is no obligation"):
        office.lifts("topseller/P9/2026Q4/1")


def test_the_list_says_since_when_why_and_what_ends_it(office: Office) -> None:
    office.sells("P1", 50)
    office.closes("P1", 75_000)
    office.recount(FINAL + DAY)
    office.recount(FINAL + 2 * DAY)
    with office.engine.connect() as connection:
        assert holds_view.listed(connection) == [
            {
                "obligation": OBLIGATION,
                "partner_id": "P1",
                "quarter": "2026Q4",
                "amount_minor": 75_000,
                "currency": "EUR",
                "code": "no-bank-details",
                "since": "2027-01-30T12:00:00+00:00",
                "why": "the partner gave no bank details",
                "ends": "bank-details import",
            }
        ]


def test_all_that_bears_on_an_obligation_can_be_seen(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 12, "2026Q2")
    office.sells("P1", 18, "2026Q3")
    earns(office)
    office.lifts(OBLIGATION)
    office.sells("P1", 51)
    office.blocks("P1")
    with office.engine.connect() as connection:
        found = holds_view.described(connection, OBLIGATION)
        with pytest.raises(StaffelError, match="there is no obligation"):
            holds_view.described(connection, "x")
    assert (found["units"], found["units_of_earlier_quarters"]) == (51, [12, 18])
    assert found["account"]["masked"] == f"DE…{iban_of('P1')[-4:]}"
    assert [(row["blocked"], row["decided_by"]) for row in found["blocks"]] == [(True, "A. Clerk")]
    assert [(row["reason"], row["counts_still"]) for row in found["lifts"]] == [("unusual-units", False)]
    assert iban_of("P1") not in repr(found)


def test_only_partners_whose_day_has_come_are_looked_at_again(office: Office) -> None:
    for partner_id, at in (("P1", FINAL), ("P2", FINAL + 3 * DAY)):
        office.details(partner_id)
        office.details(partner_id, iban_of("other"), at=at)
        office.sells(partner_id, 50)
        office.closes(partner_id, 75_000)
    office.recount()
    office.passes(FINAL + 5 * DAY)
    assert office.statuses("P1") == [HELD_NEW, PAYABLE]
    assert office.statuses("P2") == [HELD_NEW]


def test_a_run_that_is_made_late_pays_by_the_day_it_is_for(office: Office) -> None:
    office.details("P1")
    office.details("P1", iban_of("other"))
    earns(office)
    later: datetime = FINAL + 5 * DAY
    office.passes(later)
    assert office.pay(FRIDAY, later) is None
    assert office.pay(WEDNESDAY, later)


def test_every_code_says_why_and_what_ends_it() -> None:
    for hold in HOLDS.values():
        assert hold.why[:1].islower()
        assert not hold.why.endswith(".")
    assert {holds.Ends.ITSELF, holds.Ends.DETAILS, holds.Ends.UNBLOCK, holds.Ends.LIFT, holds.Ends.REPAIR} == {
        hold.ends for hold in HOLDS.values()
    }
