"""Rule 2 and rule 9: one function computes the rebate, with the terms in force."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from schemas.values import Quarter
from streams.rules.terms import ProgrammeError, Vat, VatTreatment, parse
from tests.rules.facts import ROOT, programme

Q4 = Quarter(2026, 4)


@pytest.mark.parametrize(
    ("units", "cents"),
    [(0, 0), (9, 0), (10, 5000), (24, 12000), (25, 25000), (49, 49000), (50, 75000), (1000, 1500000)],
)
def test_the_rate_of_the_tier_holds_for_all_units_of_the_quarter(units: int, cents: int) -> None:
    assert programme().terms_for(Q4).rebate_minor(units) == cents


def test_the_next_tier_says_what_it_is_worth() -> None:
    above = programme().terms_for(Q4).next_tier(48)
    assert above is not None
    assert (above.threshold, above.units_missing, above.gain_minor) == (50, 2, 75000 - 48000)
    assert programme().terms_for(Q4).next_tier(50) is None


def test_a_quarter_is_computed_with_the_terms_in_force_on_its_first_day() -> None:
    text = (ROOT / "programme.toml").read_text("utf-8")
    block = text[text.index("\n[[terms]]") : text.index("# Topseller products")]
    later = block.replace('"2026-1"', '"2027-1"').replace("2026-01-01", "2027-01-02").replace("= 500", "= 700")
    both = parse(text.replace("# Topseller products", later + "# Topseller products"))
    assert both.terms_for(Quarter(2027, 1)).version == "2026-1"
    assert both.terms_for(Quarter(2027, 2)).version == "2027-1"
    assert both.terms_for(Quarter(2027, 2)).rebate_minor(10) == 7000
    assert both.terms_for(Quarter(2026, 4)).rebate_minor(10) == 5000


def test_value_added_tax_goes_by_the_terms_of_the_quarter_and_the_country() -> None:
    terms = programme().terms_for(Q4)
    assert terms.vat_for("DE") == Vat(VatTreatment.CHAIN_DOMESTIC, "19")
    assert (terms.vat_for("CH").treatment, terms.vat_for("SE").treatment) == (VatTreatment.NON_EU, VatTreatment.NONE)
    assert [Vat(rate=rate).rate_hundredths for rate in ("19", "8.1", "2.55", "0", "")] == [1900, 810, 255, 0, 0]


def test_the_quarter_ends_at_midnight_in_programme_time_and_is_final_after_the_grace_days() -> None:
    dates = programme().dates(Q4)
    assert dates.provisional_at.isoformat() == "2027-01-01T00:00:00+01:00"
    assert dates.final_at.isoformat() == "2027-01-29T00:00:00+01:00"
    assert dates.horizon_at.date() == date(2027, 1, 1) + timedelta(days=180)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('id = "topseller"', 'id = "a/b"', "id:"),
        ('"Europe/Berlin"', '"Mars/Olympus"', "no zone"),
        ("{ units = 10, rate_minor = 500 }", "{ units = 0, rate_minor = 500 }", "tiers must rise"),
        ("{ units = 0, rate_minor = 0 },", "", "begin at 0"),
        ("rate_minor = 500 ", "rate_minor = -1 ", "below zero"),
        ("grace_days = 28 ", "grace_days = 200 ", "horizon"),
        ("grace_days", "grace_day", "grace_day"),
        ('id = "TS-200"', 'id = "TS-100"', "twice"),
        ("\n[[terms]]", "\n[[terms", "line"),
        ('rate = "19"', 'rate = "19%"', "vat of DE: the rate"),
        ('"chain_domestic", rate = "19"', '"chain_domestic"', "vat of DE: the rate"),
        (
            'AT = { treatment = "chain_foreign" }',
            'AT = { treatment = "non_eu", rate = "20" }',
            "vat of AT: there is no",
        ),
        ('AT = { treatment = "chain_foreign" }', 'XX = { treatment = "non_eu" }', "XX is none of the countries"),
        ('"chain_foreign"', '"no_idea"', "no_idea"),
    ],
)
def test_a_programme_that_can_not_be_is_refused_with_its_fault(old: str, new: str, complaint: str) -> None:
    text = (ROOT / "programme.toml").read_text("utf-8")
    assert old in text
    with pytest.raises(ProgrammeError, match=complaint):
        parse(text.replace(old, new, 1))
