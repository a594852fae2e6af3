"""The recount: right by hand on a small example, and in agreement with the rules of the stream in any order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from deploy.demo.quarter import OPENS
from deploy.demo.recount import Expected, expected, recount
from deploy.demo.scenario import Moment, make
from deploy.runtime.settings import ROOT
from schemas.events import Partner, SaleReported, SaleReturned
from streams.rules.fold import Draft
from streams.rules.state import State
from streams.rules.terms import Programme, parse

NOON = datetime(2026, 10, 20, 12, tzinfo=UTC)
ANNA = Partner("A", "Anna AG", "a@anna.example", "de", "DE", date(2026, 1, 1))
BERT = Partner("B", "Bert BV", "b@bert.example", "nl", "NL", date(2026, 11, 1))


def sold(sale_id: str, quantity: int, partner: str = "A", minutes: int = 0, **changes: object) -> Moment:
    fields = {"product_id": "TS-100", "sold_on": date(2026, 10, 12), "reported_at": NOON + timedelta(minutes=minutes)}
    sale = SaleReported(sale_id=sale_id, partner_id=partner, quantity=quantity, **{**fields, **changes})  # type: ignore[arg-type]
    return Moment(NOON + timedelta(minutes=minutes), partner, sale)


def back(sale_id: str, quantity: int, return_id: str = "R1") -> Moment:
    day = NOON + timedelta(days=2)
    return Moment(day, "A", SaleReturned(return_id, sale_id, "A", "TS-100", quantity, day.date(), day))


def units_of_anna(*moments: Moment) -> int:
    return recount([ANNA], moments).get(("A", "2026Q4"), Expected()).units


def test_an_example_by_hand() -> None:
    """10 + 15 units less 1 returned, a resend, an unknown product, and Bert who registers later."""
    moments = [
        sold("S1", 10),
        sold("S2", 15, minutes=1),
        sold("S2", 15, minutes=9),
        sold("S3", 40, product_id="ACC-1"),
        back("S2", 1),
        sold("S1", 60, partner="B"),
        Moment(NOON + timedelta(days=30), "B", BERT),
        sold("S9", 99, partner="C"),
    ]
    assert recount([ANNA], moments) == {
        ("A", "2026Q4"): Expected(units=24, tier=10, rebate_minor=12_000),
        ("B", "2026Q4"): Expected(units=60, tier=50, rebate_minor=90_000),
    }


@pytest.mark.parametrize(
    ("units", "rebate_minor"),
    [(0, 0), (9, 0), (10, 5_000), (24, 12_000), (25, 25_000), (49, 49_000), (50, 75_000), (200, 300_000)],
)
def test_every_unit_earns_the_rate_of_the_tier_reached(units: int, rebate_minor: int) -> None:
    assert expected(units).rebate_minor == rebate_minor


def test_the_report_made_first_stands_whichever_came_first() -> None:
    assert units_of_anna(sold("S1", 5), sold("S1", 8, minutes=3)) == 5
    assert units_of_anna(sold("S1", 8, minutes=3), sold("S1", 5)) == 5


def test_a_return_takes_away_no_more_than_was_sold_and_counts_once() -> None:
    assert units_of_anna(sold("S1", 5), back("S1", 9)) == 0
    assert units_of_anna(back("S1", 2), sold("S1", 5), back("S1", 2)) == 3
    assert units_of_anna(sold("S1", 5), back("S1", 2), back("S1", 1, "R2")) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"product_id": "TS-1000"},
        {"quantity": 0},
        {"quantity": -2},
        {"sold_on": date(2027, 10, 12)},
        {"sold_on": date(2026, 3, 12)},
    ],
)
def test_what_does_not_belong_is_not_counted(changes: dict[str, object]) -> None:
    sale = sold("S1", 3)
    fields = {"quantity": 3, **changes}
    assert recount([ANNA], [sold("S1", **fields)]) == {}  # type: ignore[arg-type]
    assert recount([ANNA], [sale]) != {}


def test_who_left_or_lives_elsewhere_earns_nothing() -> None:
    left = Partner("A", "Anna AG", "a@anna.example", "de", "DE", date(2026, 1, 1), date(2026, 10, 12))
    abroad = Partner("A", "Anna AG", "a@anna.example", "pl", "PL", date(2026, 1, 1))
    assert recount([left], [sold("S1", 3)]) == recount([abroad], [sold("S1", 3)]) == {}


# --- against the stream's rules ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def programme() -> Programme:
    return parse((ROOT / "programme.toml").read_text("utf-8"))


def folded(
    programme: Programme, registered: Iterable[Partner], moments: Iterable[Moment]
) -> dict[tuple[str, str], Expected]:
    """What the rules make of the moments, in the order given, each judged by the time at which it was sent."""
    state = State()
    draft = Draft(state, programme, OPENS)
    for partner in registered:
        draft.partner(partner.partner_id, partner, OPENS)
    for offset, (at, key, record) in enumerate(moments):
        if isinstance(record, Partner):
            draft.partner(key, record, at)
        elif not isinstance(record, bytes):
            draft.sale(record, at, offset)
    state.absorb(draft)
    assert state.check(offset) == ([], 0)
    return {
        (tally.partner_id, tally.quarter): Expected(tally.units, tally.tier, tally.rebate_minor)
        for tally in state.tallies()
        if tally.units
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_rules_come_to_what_the_recount_says(programme: Programme, seed: int) -> None:
    scenario = make(seed, 90)
    right = {key: e for key, e in recount(scenario.registered, scenario.moments).items() if e.units}
    assert folded(programme, scenario.registered, scenario.moments) == right


def test_the_rules_come_to_it_in_any_order(programme: Programme) -> None:
    scenario = make(4, 90)
    right = {key: e for key, e in recount(scenario.registered, scenario.moments).items() if e.units}
    moments = list(scenario.moments) * 2
    Random(4).shuffle(moments)
    assert folded(programme, scenario.registered, moments) == right
