"""The made-up quarter: the same for the same seed, and with every oddity that it promises."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime

import pytest
from schwifty import IBAN

from deploy.demo import names
from deploy.demo.quarter import (
    CURTAIN,
    EDGES,
    ENDED,
    FINAL,
    LATE_RETURN,
    OPENS,
    PARTNERS_MAX,
    PARTNERS_MIN,
    TOPSELLERS,
    Role,
)
from deploy.demo.recount import recount
from deploy.demo.scenario import Moment, Scenario, make
from schemas.events import Partner, SaleReported, SaleReturned, content_hash
from schemas.values import PARTNER_ID

SEEDS = (1, 2, 77)


@pytest.fixture(scope="module", params=SEEDS)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return make(request.param, 120)


def sales(scenario: Scenario) -> list[tuple[datetime, SaleReported]]:
    return [(m.at, m.record) for m in scenario.moments if isinstance(m.record, SaleReported)]


def returns(scenario: Scenario) -> list[tuple[datetime, SaleReturned]]:
    return [(m.at, m.record) for m in scenario.moments if isinstance(m.record, SaleReturned)]


def reports_by_sale(scenario: Scenario) -> dict[tuple[str, str], list[tuple[datetime, SaleReported]]]:
    found = defaultdict(list)
    for at, sale in sales(scenario):
        found[sale.partner_id, sale.sale_id].append((at, sale))
    return found


def test_the_same_seed_makes_the_same_quarter() -> None:
    assert make(5, 80) == make(5, 80)


def test_another_seed_makes_another_quarter() -> None:
    assert make(5, 80).moments != make(6, 80).moments


@pytest.mark.parametrize("number", [PARTNERS_MIN - 1, PARTNERS_MAX + 1])
def test_a_number_of_partners_that_does_not_fit_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="partners must be between"):
        make(1, number)


def test_the_smallest_quarter_has_every_part_too() -> None:
    assert {actor.role for actor in make(3, PARTNERS_MIN).actors} == set(Role)


def test_moments_are_in_order_and_within_the_clock(scenario: Scenario) -> None:
    instants = [moment.at for moment in scenario.moments]
    assert instants == sorted(instants)
    assert instants[0] > OPENS
    assert instants[-1] < CURTAIN


def test_partners_have_ids_names_and_addresses_of_their_own(scenario: Scenario) -> None:
    partners = [actor.partner for actor in scenario.actors]
    assert all(PARTNER_ID.fullmatch(partner.partner_id) for partner in partners)
    assert len({p.partner_id for p in partners}) == len({p.name for p in partners}) == len(partners) == 120
    assert len({partner.email for partner in partners}) == len(partners)
    assert all(partner.email.endswith(".example") and partner.email.isascii() for partner in partners)


def test_partners_live_in_several_countries_and_some_outside_the_programme(scenario: Scenario) -> None:
    countries = Counter(partner.country for partner in scenario.registered)
    assert len(countries) >= 6
    assert countries[names.OUTSIDE_COUNTRY] == 2


def test_bank_details_are_valid_and_not_everybody_has_them(scenario: Scenario) -> None:
    assert all(IBAN(details.iban, allow_invalid=True).is_valid for details in scenario.bank_details)
    assert len(scenario.bank_details) < len(scenario.actors)


def test_few_sell_much_and_many_sell_little(scenario: Scenario) -> None:
    units = sorted(e.units for (_, quarter), e in recount(scenario.registered, scenario.moments).items() if quarter)
    assert units[len(units) // 2] < 15
    assert units[-1] > 80


def test_partners_land_exactly_around_the_thresholds(scenario: Scenario) -> None:
    expected = recount(scenario.registered, scenario.moments)
    landed = {expected[actor.id, "2026Q4"].units for actor in scenario.actors if actor.role is Role.EDGE}
    assert landed == set(EDGES)


def test_sales_are_sent_again_with_the_same_content(scenario: Scenario) -> None:
    again = [rs for rs in reports_by_sale(scenario).values() if len(rs) > len({content_hash(r) for _, r in rs})]
    assert len(again) > 10


def test_sales_are_sent_again_with_other_content_in_both_orders(scenario: Scenario) -> None:
    conflicts = [rs for rs in reports_by_sale(scenario).values() if len({content_hash(r) for _, r in rs}) > 1]
    first_stands = [rs for rs in conflicts if rs == sorted(rs, key=lambda r: r[1].reported_at)]
    assert 0 < len(first_stands) < len(conflicts)


def test_no_two_reports_of_a_sale_that_disagree_were_made_at_once(scenario: Scenario) -> None:
    """Otherwise a hash would decide, and the recount would have to know it."""
    for reports in reports_by_sale(scenario).values():
        made = {(report.reported_at, content_hash(report)) for _, report in reports}
        assert len({at for at, _ in made}) == len(made)


def test_units_come_back_also_before_their_sale_and_more_than_were_sold(scenario: Scenario) -> None:
    known = reports_by_sale(scenario)
    own = [(at, back, known[back.partner_id, back.sale_id]) for at, back in returns(scenario) if
           (back.partner_id, back.sale_id) in known]  # fmt: skip
    assert any(at < min(sent for sent, _ in reports) for at, _, reports in own)
    assert any(back.quantity > max(report.quantity for _, report in reports) for _, back, reports in own)


def test_a_return_names_another_partner_than_its_sale(scenario: Scenario) -> None:
    known = reports_by_sale(scenario)
    assert any((back.partner_id, back.sale_id) not in known for _, back in returns(scenario))


def test_reports_come_late_and_out_of_order(scenario: Scenario) -> None:
    waits = [(at.date() - sale.sold_on).days for at, sale in sales(scenario)]
    days = [sale.sold_on for _, sale in sales(scenario)]
    assert sum(wait > 14 for wait in waits) > 10
    assert days != sorted(days)


def test_reports_come_in_the_grace_period_and_after_the_final_close(scenario: Scenario) -> None:
    of_quarter = [at for at, sale in sales(scenario) if str(sale.sold_on) < "2027"]
    assert sum(ENDED < at < FINAL for at in of_quarter) > 10
    assert sum(at > FINAL for at in of_quarter) == 13


@pytest.mark.parametrize(
    "odd",
    [
        lambda sale: sale.product_id not in TOPSELLERS,
        lambda sale: sale.quantity < 1,
        lambda sale: sale.sold_on.year == 2027 and sale.sold_on.month > 9,
        lambda sale: str(sale.sold_on) < "2026-07-01",
        lambda sale: sale.sold_on.year == 2027 and sale.sold_on.month < 3,
    ],
    ids=["unknown product", "quantity of none", "in the future", "too long ago", "next quarter"],
)
def test_some_sales_do_not_belong(scenario: Scenario, odd: object) -> None:
    assert callable(odd)
    assert any(odd(sale) for _, sale in sales(scenario))


def test_partners_sell_before_they_register_or_never_do_or_have_left(scenario: Scenario) -> None:
    registered: dict[str, datetime] = {}
    for moment in scenario.moments:
        if isinstance(moment.record, Partner):
            registered.setdefault(moment.key, moment.at)
    roles = {actor.id: actor.role for actor in scenario.actors}
    by_role: dict[Role, list[Moment]] = defaultdict(list)
    for moment in scenario.moments:
        if isinstance(moment.record, SaleReported):
            by_role[roles[moment.key]].append(moment)
    assert any(moment.at < registered[moment.key] for moment in by_role[Role.LATECOMER])
    assert by_role[Role.STRANGER]
    assert not any(moment.key in registered for moment in by_role[Role.STRANGER])
    assert any(str(moment.record.sold_on) >= "2026-12-01" for moment in by_role[Role.LEAVER])  # type: ignore[union-attr]


def test_some_bytes_are_broken(scenario: Scenario) -> None:
    broken = [moment.record for moment in scenario.moments if isinstance(moment.record, bytes)]
    assert len(broken) == len(set(broken)) == 6


def test_the_late_return_costs_a_tier(scenario: Scenario) -> None:
    paid = scenario.named(Role.CLAWBACK)
    before = recount(scenario.registered, [m for m in scenario.moments if m.at < LATE_RETURN])[paid.id, "2026Q4"]
    after = recount(scenario.registered, scenario.moments)[paid.id, "2026Q4"]
    assert (before.units, after.units) == (50, 49)
    assert after.rebate_minor - before.rebate_minor == -26_000


def test_the_forgotten_report_lifts_a_tier(scenario: Scenario) -> None:
    lifted = scenario.named(Role.LIFTED)
    before = recount(scenario.registered, [m for m in scenario.moments if m.at < FINAL])[lifted.id, "2026Q4"]
    after = recount(scenario.registered, scenario.moments)[lifted.id, "2026Q4"]
    assert (before.rebate_minor, after.rebate_minor) == (0, 5000)


def test_the_final_close_and_what_follows_are_set_apart(scenario: Scenario) -> None:
    """So that what was sent before a close is applied before it, on a slow machine too."""
    of_quarter = [m.at for m in scenario.moments if isinstance(m.record, SaleReturned)] + [
        at for at, sale in sales(scenario) if str(sale.sold_on) < "2027"
    ]
    assert not any(0 < (FINAL - at).days < 5 for at in of_quarter)
    assert sum(at > FINAL for at in of_quarter) == 14
