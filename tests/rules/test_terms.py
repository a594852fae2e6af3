"""Rule 2 and rule 9: one function computes the rebate, with the terms in force."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from schemas.values import Quarter
from streams.rules.terms import Product, ProgrammeError, Tier, Vat, VatTreatment, parse
from tests.rules.facts import ROOT, programme

Q4 = Quarter(2026, 4)
TEXT = (ROOT / "programme.toml").read_text("utf-8")
FIRST_PRODUCT = 'name = "Notebook 14, entry"\nvalid_from = 2026-01-01\n'


def and_later(version: str, valid_from: str, rate: str = "= 500") -> str:
    """The programme that ships, with one more version of its terms behind it."""
    block = TEXT[TEXT.index("\n[[terms]]") : TEXT.index("# Topseller products")]
    later = block.replace('"2026-1"', f'"{version}"').replace("2026-01-01", valid_from).replace("= 500", rate)
    return TEXT.replace("# Topseller products", later + "# Topseller products")


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
    both = parse(and_later("2027-1", "2027-01-02", "= 700"))
    assert both.terms_for(Quarter(2027, 1)).version == "2026-1"
    assert both.terms_for(Quarter(2027, 2)).version == "2027-1"
    assert both.terms_for(Quarter(2027, 2)).rebate_minor(10) == 7000
    assert both.terms_for(Quarter(2026, 4)).rebate_minor(10) == 5000
    assert parse(and_later("2027-1", "2027-01-01")).terms_for(Quarter(2027, 1)).version == "2027-1"


def test_a_programme_may_have_one_rate_for_all() -> None:
    terms = parse(re.sub(r"tiers = \[.*?\n\]", "tiers = [{ units = 0, rate_minor = 300 }]", TEXT, flags=re.S)).terms[0]
    assert (terms.tier_for(7), terms.rebate_minor(7), terms.next_tier(7)) == (Tier(0, 300), 2100, None)


def test_a_quarter_is_the_programmes_if_it_runs_on_the_last_day() -> None:
    begun = parse(TEXT.replace("2026-01-01", "2026-09-30"))
    assert [begun.dates(Quarter(2026, number)).covered for number in (2, 3, 4)] == [False, True, True]


def test_a_product_counts_from_its_first_to_its_last_day() -> None:
    def on_list(product: Product) -> list[bool]:
        return [product.on_list(date(2026, 5, day)) for day in (9, 10, 20, 21)]

    assert on_list(Product("A", "", date(2026, 5, 10))) == [False, True, True, True]
    assert on_list(Product("A", "", date(2026, 5, 10), date(2026, 5, 20))) == [False, True, True, False]


def test_the_hash_tells_another_file_and_stays_as_it_is_written_in_positions() -> None:
    assert parse(TEXT).hash == parse(TEXT).hash != parse(TEXT + "# edited").hash
    assert re.fullmatch("[0-9a-f]{16}", parse(TEXT).hash)


def test_value_added_tax_goes_by_the_terms_of_the_quarter_and_the_country() -> None:
    terms = programme().terms_for(Q4)
    assert terms.vat_for("DE") == Vat(VatTreatment.CHAIN_DOMESTIC, "19")
    assert (terms.vat_for("CH").treatment, terms.vat_for("SE").treatment) == (VatTreatment.NON_EU, VatTreatment.NONE)
    taxed = parse(TEXT.replace('"chain_foreign"', '"direct_domestic", rate = "20"', 1)).terms_for(Q4)
    assert taxed.vat_for("AT") == Vat(VatTreatment.DIRECT_DOMESTIC, "20")
    assert parse(TEXT.replace('"non_eu"', '"none"', 1)).terms_for(Q4).vat_for("CH") == Vat(VatTreatment.NONE)
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
        ('id = "topseller"', 'id = ""', "id:"),
        ('"Europe/Berlin"', '"Mars/Olympus"', "no zone"),
        ("{ units = 10, rate_minor = 500 }", "{ units = 0, rate_minor = 500 }", "tiers must rise"),
        ("{ units = 0, rate_minor = 0 },", "", "begin at 0"),
        ("rate_minor = 500 ", "rate_minor = -1 ", "below zero"),
        ("grace_days = 28 ", "grace_days = 200 ", "horizon"),
        ("grace_days", "grace_day", "grace_day"),
        ('"EUR"', '"EURO"', "currency"),
        ('"EUR"', '"eur"', "currency"),
        (FIRST_PRODUCT, FIRST_PRODUCT + "valid_to = 2025-12-31\n", "valid_to"),
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
    assert old in TEXT
    with pytest.raises(ProgrammeError, match=complaint):
        parse(TEXT.replace(old, new, 1))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (and_later("2027-1", "2026-01-01"), "each once"),
        (and_later("2027-1", "2025-07-01"), "in the order of valid_from"),
        (and_later("2026-1", "2027-01-01"), "a version of its own"),
        (re.sub(r"tiers = \[.*?\n\]", "tiers = []", TEXT, flags=re.S), "begin at 0"),
        ("products = []\n" + TEXT[: TEXT.index("[[products]]")], "no ..products"),
        ("terms = []\n" + TEXT[: TEXT.index("\n[[terms]]")] + TEXT[TEXT.index("[[products]]") :], "no ..terms"),
    ],
)
def test_a_programme_that_is_not_whole_or_contradicts_itself_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ProgrammeError, match=complaint):
        parse(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [("grace_days = 28 ", "grace_days = 180 "), (FIRST_PRODUCT, FIRST_PRODUCT + "valid_to = 2026-01-01\n")],
)
def test_what_just_fits_is_taken(old: str, new: str) -> None:
    """The final close may be the last word; a product may be on the list for a day."""
    assert old in TEXT
    parse(TEXT.replace(old, new, 1))
