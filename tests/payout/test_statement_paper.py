"""The documents themselves: PDF/A with tags, the CSV in it, the same bytes everywhere, whatever names hold."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from pypdf import PdfReader

from deploy.runtime.settings import ROOT
from services.kit.speech import ENGLISH, LANGUAGES
from services.payout.statements import csvfile, pdf, vat
from services.payout.statements.facts import (
    Facts,
    Kind,
    Line,
    Party,
    Position,
    QuarterPart,
    Return,
    Transfer,
    freeze,
    sha256,
    thaw,
)
from services.payout.statements.words import LINES_MAX, TEXTS
from streams.rules.terms import Vat, VatTreatment
from tests.payout.papers import read, rows, says

DAY = date(2026, 10, 1)
GERMAN = Vat(VatTreatment.CHAIN_DOMESTIC, "19")


def some_lines(count: int, units: int = 1) -> tuple[Line, ...]:
    return tuple(
        Line(f"DIST-{n:05d}", DAY + timedelta(days=n % 92), f"TS-{n % 9 + 1}00", units, units, (f"SN{n:06d}",))
        for n in range(count)
    )


def facts(lines: tuple[Line, ...] = (), **changes: object) -> Facts:
    """A payment for the units of these lines at 15 euros each, and what else is said."""
    units = sum(line.units for line in lines)
    paid = Facts(
        kind=Kind.PAYMENT,
        number="BA-2027-000123",
        document_id="270129-K7QJ2XW4P",
        issued_on=date(2027, 1, 29),
        language="de",
        currency="EUR",
        programme_id="topseller",
        programme="Topseller",
        programme_hash="0",
        vendor=Party("Staffel Hardware GmbH", ("Lindenstraße 1", "10969 Berlin"), vat_id="DE123456789"),
        partner_id="P-1001",
        partner=Party("Beispiel Systemhaus GmbH", (), "DE"),
        transfer=Transfer("270129-K7QJ2XW4P", "DE…4711", date(2027, 2, 1)),
        positions=(Position("o1", "2026Q4", 1, units, units * 1500, 0, units * 1500),),
        quarters=(QuarterPart("2026Q4", "2026-1", units, 50, 1500, lines),),
        products={f"TS-{n}00": f"Product {n}" for n in range(1, 10)},
        vat=vat.parts([(GERMAN, units * 1500)]),
    )
    return msgspec.structs.replace(paid, **changes)


def render(said: Facts) -> bytes:
    return pdf.render(said, csvfile.render(said))


def pages(content: bytes) -> int:
    return len(PdfReader(io.BytesIO(content)).pages)


def test_it_is_tagged_for_archives_and_for_screen_readers_and_holds_the_csv() -> None:
    said = facts(some_lines(60))
    content = render(said)
    reader = PdfReader(io.BytesIO(content))
    root: Any = reader.root_object
    assert root["/Lang"] == "de"
    assert root["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in root
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    described = root["/Metadata"].get_data().decode()
    for mark in ("<pdfaid:part>3<", "<pdfaid:conformance>A<", "<pdfuaid:part>1<", "Bonusabrechnung BA-2027-000123"):
        assert mark in described
    assert reader.attachments == {"BA-2027-000123.csv": [csvfile.render(said)]}
    assert [file.get_object()["/AFRelationship"] for file in root["/AF"]] == ["/Data"]
    resources: list[Any] = [page["/Resources"] for page in reader.pages]
    fonts = {str(font.get_object()["/BaseFont"]) for used in resources for font in used["/Font"].values()}
    assert {font.split("+")[1].split("-")[0] for font in fonts} == {"LibertinusSerif"}  # embedded, in subsets


def test_the_same_facts_give_the_same_bytes_in_another_process_zone_and_language(tmp_path: Path) -> None:
    said = facts(some_lines(70), partner=Party("Größe & Ζεύς", (), "AT"))
    (tmp_path / "facts.json").write_bytes(freeze(said))
    program = (
        "import sys\nfrom services.payout.statements import csvfile, pdf\n"
        "from services.payout.statements.facts import sha256, thaw\n"
        "f = thaw(open(sys.argv[1], 'rb').read()); c = csvfile.render(f); print(sha256(pdf.render(f, c)), sha256(c))"
    )
    surroundings = {"TZ": "Pacific/Auckland", "LANG": "tr_TR.UTF-8", "LC_ALL": "C", "SOURCE_DATE_EPOCH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "facts.json")],
        cwd=ROOT,
        env={**os.environ, **surroundings, "HOME": str(tmp_path), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    csv = csvfile.render(said)
    assert done.stdout.split() == [sha256(pdf.render(said, csv)), sha256(csv)]
    assert thaw(freeze(said)) == said


HOSTILE = (
    '#set page(width: 1pt); #read("/etc/passwd") $x^2$ *b* _i_ @cite <label> `raw` \\ // /* "q" = h',
    "#{panic()} ] } ) ;",
    "=HYPERLINK(1) {number} {} {0} %s {{x}}",
    "<script>alert(1)</script> &amp;",
)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_name_is_a_name_and_never_markup(name: str, language: str) -> None:
    line = Line(name[:60], DAY, name, 1, 1, (name,))
    said = facts((line,), language=language, partner=Party(name, (name,), name), programme=name, products={name: name})
    text = re.sub(r"\s", "", read(render(said)))
    assert text.count(re.sub(r"\s", "", name)) >= 4
    assert rows(csvfile.render(said))[0]["sale_id"].lstrip("'") == name[:60]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Łódź Ğüzel Šport Ærø", "Łódź Ğüzel Šport Ærø"),
        ("Δοκιμή Тест", "Δοκιμή Тест"),
        ("e\u0301clair", "éclair"),
        ("ＡＢＣ ﬁn", "ABC fin"),
        ("漢字 😀 GmbH", "?? ? GmbH"),
        ("a\u202eb\u200bc\x00d\ue000e\ufefff", "abcd?ef"),
        ("two\nlines\ttab", "two lines tab"),
    ],
)
def test_what_the_fonts_cannot_show_does_not_stop_a_statement(name: str, shown: str) -> None:
    said = facts(some_lines(1), partner=Party(name, (), "DE"))
    assert shown in read(render(said))
    assert thaw(freeze(said)).partner.name == name


def test_every_single_letter_that_is_let_through_can_be_shown() -> None:
    letters = [chr(code) for code in range(0x20, 0x2300) if pdf.shown(chr(code)) == chr(code)]
    assert len(letters) > 1000
    render(facts(some_lines(1), partner=Party(" ".join(letters), (), "DE"), programme="".join(letters)))


def right_edge(content: bytes) -> float:
    """How far to the right anything begins, in points. A text that can be broken anywhere is set letter by letter."""
    found = [0.0]

    def note(text: str, cm: list[float], tm: list[float], *_: object) -> None:
        if text.strip():
            found.append(tm[4] * cm[0] + cm[4])

    for page in PdfReader(io.BytesIO(content)).pages:
        page.extract_text(visitor_text=note)
    return max(found)


def test_long_names_stay_on_the_page() -> None:
    long = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 4
    line = Line("X" * 128, DAY, "P" * 60, 1, 1)
    content = render(facts((line,), partner=Party(long, (), "DE"), products={"P" * 60: long}, programme=long[:100]))
    assert 500 < right_edge(content) < 595 - 57  # A4 less its margin
    assert long in re.sub(r"\s", "", read(content))
    assert "BA-2027-000123" in read(content)


def test_many_sales_run_over_pages_and_very_many_stand_in_the_file_alone() -> None:
    many = render(facts(some_lines(150)))
    assert pages(many) >= 3
    assert not says(read(many), "DIST-00000", "DIST-00149", "Seite 1 / ", f"Seite {pages(many)} / {pages(many)}")
    said = facts(some_lines(LINES_MAX + 1))
    content = render(said)
    assert pages(content) <= 2
    assert "DIST-00000" not in read(content)
    assert len(rows(csvfile.render(said))) == LINES_MAX + 1


def test_a_statement_without_sales_and_without_a_tier_says_so() -> None:
    position = Position("o1", "2026Q4", 2, 0, 0, 75_000, -75_000)
    nothing = QuarterPart("2026Q4", "2026-1", 0, 0, 0, ())
    said = facts(kind=Kind.CARRIED, transfer=None, positions=(position,), quarters=(nothing,), vat=(), language="en")
    content = render(said)
    assert pages(content) == 1
    assert not says(
        read(content), "Carried forward -750,00 €", "So many units do not reach a tier", "No sale counts.", "Q4 2026: 0"
    )
    assert rows(csvfile.render(said)) == []


def test_a_hundred_obligations_stand_on_one_statement() -> None:
    positions = tuple(Position(f"o{n}", f"{2000 + n // 4}Q{n % 4 + 1}", 1, 50, 75_000, 0, 75_000) for n in range(100))
    quarters = tuple(QuarterPart(position.quarter, "2026-1", 50, 50, 1500, ()) for position in positions)
    said = facts(positions=positions, quarters=quarters, vat=vat.parts([(GERMAN, 7_500_000)]))
    text = read(render(said))
    assert not says(
        text, "Auszahlung an Sie 75.000,00 €", "1. Quartal 2000, Endergebnis", "4. Quartal 2024, Endergebnis"
    )


@pytest.mark.parametrize(
    ("amount", "rate", "tax"),
    [
        *((1500, 1900, 239), (75_000, 1900, 11_975), (1, 1900, 0), (-26_000, 1900, -4151), (5000, 810, 375)),
        *((100, 0, 0), (3, 10_000, 2), (1, 10_000, 1)),  # exactly half a cent goes up
    ],
)
def test_tax_is_contained_in_the_amount_half_up(amount: int, rate: int, tax: int) -> None:
    assert vat.contained(amount, rate) == tax


def test_tax_is_computed_on_what_is_treated_alike_and_never_on_a_part() -> None:
    reduced = Vat(VatTreatment.CHAIN_DOMESTIC, "16")
    found = vat.parts([(GERMAN, 1500), (reduced, -500), (GERMAN, 1500), (GERMAN, 1500)])
    assert [(part.rate, part.amount_minor, part.net_minor, part.tax_minor) for part in found] == [
        ("19", 4500, 3782, 718),  # three times the tax of 1500 would be 717
        ("16", -500, -431, -69),
    ]
    assert vat.parts([(GERMAN, 500), (GERMAN, -500)]) == ()


TREATMENTS: Mapping[Vat, tuple[str, ...]] = {
    Vat(VatTreatment.DIRECT_DOMESTIC, "8.1"): ("what we supplied to you", "8.1%", "Tax contained"),
    Vat(VatTreatment.CHAIN_DOMESTIC, "0"): ("bought from your distributor", "0%", "€0.00"),
    Vat(VatTreatment.CHAIN_FOREIGN): ("your distributor was supplied from another country",),
    Vat(VatTreatment.NON_EU): ("no value added tax of the European Union",),
    Vat(): ("is not agreed. No tax is shown.",),
}


@pytest.mark.parametrize(("treated", "parts"), TREATMENTS.items(), ids=lambda value: str(value)[:40])
def test_each_vat_treatment_has_its_sentence_and_a_split_where_tax_is_contained(
    treated: Vat, parts: tuple[str, ...]
) -> None:
    said = facts(some_lines(1), vat=vat.parts([(treated, 1500)]), language="en", partner=Party("A", (), "IE"))
    text = read(render(said))
    assert not says(text, *parts)
    assert ("Tax contained" in text) == bool(treated.rate)


AS_WRITTEN_THERE: Mapping[str, tuple[str, str, str, str, str]] = {
    "de": ("DE", "Bonusabrechnung", "29. Januar 2027", "24.000,00 €", "4. Quartal 2026: 1.600 Stück"),
    "en": ("GB", "Rebate statement", "29 January 2027", "€24,000.00", "Q4 2026: 1,600 units"),
    "es": ("ES", "Liquidación de la bonificación", "29 de enero de 2027", "24.000,00 €", "T4 2026: 1.600 unidades"),
    "fr": ("FR", "Décompte de prime", "29 janvier 2027", "24 000,00 €", "T4 2026 : 1 600 unités"),
    "it": ("IT", "Rendiconto del bonus", "29 gennaio 2027", "24.000,00 €", "4º trimestre 2026: 1.600 unità"),
    "nl": ("NL", "Bonusafrekening", "29 januari 2027", "€ 24.000,00", "4e kwartaal 2026: 1.600 stuks"),
    "pt": (
        "PT",
        "Apuramento do bónus",
        "29 de janeiro de 2027",
        "24 000,00 €",
        "4.º trimestre de 2026: 1 600 unidades",
    ),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_dates_and_amounts_are_those_of_the_language(language: str) -> None:
    country, *parts = AS_WRITTEN_THERE[language]
    content = render(facts(some_lines(4, 400), language=language, partner=Party("A", (), country)))
    assert not says(read(content).replace("\u202f", " "), *parts)
    root: Any = PdfReader(io.BytesIO(content)).root_object
    assert root["/Lang"] == language


def test_vat_ids_and_an_address_are_printed_where_they_are_known() -> None:
    text = read(render(facts(some_lines(1))))
    assert "Unsere USt-IdNr. DE123456789" in text
    assert "Ihre USt-IdNr." not in text
    known = Party("A", ("Hauptstraße 2", "1010 Wien"), "AT", "ATU12345675")
    assert not says(
        read(render(facts(some_lines(1), partner=known))),
        "A Hauptstraße 2 1010 Wien Österreich",
        "Ihre USt-IdNr. ATU12345675",
    )


def test_a_spreadsheet_gets_a_row_for_each_serial_number_and_for_what_has_none() -> None:
    lines = (
        Line("S1", DAY, "TS-100", 3, 2, ("A", "B"), (Return("R1", DAY, 1),)),
        Line("S2", DAY, "TS-100", 4, 4),
        Line("S3", DAY, "TS-100", 1, 1, ("C", "D")),
    )
    content = csvfile.render(facts(lines))
    assert content.startswith(b"\xef\xbb\xbfstatement,issued_on,partner_id,quarter,")
    found = rows(content)
    assert [(row["entry"], row["entry_id"], row["serial_number"], row["units"]) for row in found] == [
        ("sale", "S1", "A", "1"),
        ("sale", "S1", "B", "1"),
        ("sale", "S1", "", "1"),
        ("return", "R1", "", "-1"),
        ("sale", "S2", "", "4"),
        ("sale", "S3", "C D", "1"),
    ]
    assert sum(int(row["units"]) for row in found) == sum(line.units for line in lines)
    assert {(row["statement"], row["rate_minor"], row["currency"]) for row in found} == {
        ("BA-2027-000123", "1500", "EUR")
    }


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_no_spreadsheet_takes_a_cell_for_a_formula(cell: str) -> None:
    said = facts((Line(cell, DAY, cell, 1, 1, (cell,)),), products={cell: cell})
    (row,) = rows(csvfile.render(said))
    assert {row[name] for name in ("entry_id", "sale_id", "product_id", "product", "serial_number")} == {f"'{cell}"}


def _sentences() -> set[str | tuple[str, ...]]:
    keywords = {"say": None, "count": (1, 2)}
    own = extract_from_dir(TEXTS.parent, [("**.py", "python")], keywords=keywords)
    shared = extract_from_dir(ROOT / "services" / "kit", [("speech.py", "python")], keywords=keywords)
    return {found[2] for found in (*own, *shared)}


def _catalogue(language: str) -> Catalog:
    with (TEXTS / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


@pytest.mark.parametrize("language", sorted({*LANGUAGES} - {ENGLISH}))
def test_every_sentence_is_translated_with_its_facts(language: str) -> None:
    held = {message.id: message for message in _catalogue(language) if message.id}
    assert set(held) == _sentences()
    for message in held.values():
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        original = message.id[-1] if isinstance(message.id, tuple) else message.id
        for text in texts:
            assert text, original
            assert set(re.findall(r"\{(\w+)\}", str(text))) == set(re.findall(r"\{(\w+)\}", str(original)))
