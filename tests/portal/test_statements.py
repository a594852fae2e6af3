"""A partner's statements: his, as they were issued, and nobody else's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from schemas.events import Phase
from services.kit.statements import Card, Form, Shelf
from tests.portal.conftest import Site
from tests.portal.feeding import a_tally, feed
from tests.portal.test_access import garbage, nobody, same_as_nothing, signed_out, staff
from tests.portal.test_pages import words

PDF, CSV = b"%PDF-1.7 \xff", b"\xef\xbb\xbfstatement\r\n"
NUMBER = "BA-2027-000012"


def put(site: Site, partner_id: str, number: str = NUMBER, amount_minor: int = 49_000, quarter: str = "2026Q4") -> Card:
    """A statement is issued to a partner."""
    card = Card(
        number=number,
        partner_id=partner_id,
        issued_on=date(2027, 2, 1),
        quarters=("2026Q3", quarter),
        amount_minor=amount_minor,
        currency="EUR",
        pdf_sha256=hashlib.sha256(PDF).hexdigest(),
        csv_sha256=hashlib.sha256(CSV).hexdigest(),
    )
    folder(site).put(card, PDF, CSV)
    return card


def folder(site: Site) -> Shelf:
    return Shelf(Path(site.settings.statements))


def test_the_page_lists_the_statements_of_its_quarter_and_links_to_them(site: Site) -> None:
    put(site, "P1")
    put(site, "P1", "BA-2027-000013", -26_000)
    put(site, "P1", "BA-2027-000011", 1_00, "2026Q2")
    put(site, "P2", "BA-2027-000014")
    page = site.signed_in("P1").get("/quarters").text
    said = words(page)
    assert "BA-2027-000013 1 February 2027 Q3 2026, Q4 2026 -260,00 € PDF · CSV" in said.replace("\N{MINUS SIGN}", "-")
    assert "BA-2027-000012 1 February 2027 Q3 2026, Q4 2026 490,00 € PDF · CSV" in said
    assert said.index("BA-2027-000013") < said.index("BA-2027-000012")
    for number in ("BA-2027-000011", "BA-2027-000014"):
        assert number not in said
    for form in Form:
        assert f'href="/statements/{NUMBER}.{form}" download' in page


def test_a_page_without_statements_does_not_mention_any(site: Site) -> None:
    assert "Statements" not in words(site.signed_in("P1").get("/").text)


def test_an_earlier_quarter_shows_its_own(site: Site) -> None:
    feed(site.engine, a_tally(site.programme, "P1", 10, quarter="2026Q2", phase=Phase.FINAL))
    put(site, "P1", "BA-2027-000011", 1_00, "2026Q2")
    assert "BA-2027-000011" in words(site.signed_in("P1").get("/quarters").text)


@pytest.mark.parametrize(("form", "content", "kind"), [("pdf", PDF, "application/pdf"), ("csv", CSV, "text/csv")])
def test_a_partner_gets_the_bytes_that_were_issued_to_keep(site: Site, form: str, content: bytes, kind: str) -> None:
    put(site, "P1")
    answer = site.signed_in("P1").get(f"/statements/{NUMBER}.{form}")
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["content-type"].split(";")[0] == kind
    assert answer.headers["content-disposition"] == f'attachment; filename="{NUMBER}.{form}"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("visitor", [nobody, signed_out, garbage, staff, lambda site: site.signed_in("P2")])
def test_a_statement_does_not_exist_for_anybody_else(site: Site, visitor: Callable[[Site], TestClient]) -> None:
    put(site, "P1")
    put(site, "P2", "BA-2027-000013")
    browser = visitor(site)
    for form in Form:
        same_as_nothing(browser, browser.get(f"/statements/{NUMBER}.{form}"))


@pytest.mark.parametrize(
    "path",
    [
        f"{NUMBER}.json",
        f"{NUMBER}.PDF",
        f"{NUMBER}",
        f"{NUMBER}.pdf.part",
        f"../P1/{NUMBER}.pdf",
        f"..%2fP1%2f{NUMBER}.pdf",
        f"P1%2f{NUMBER}.pdf",
        "BA-2027-00001%32x.pdf",
        "BA-2027-999999.pdf",
        "BA-2027-%D9%A1%D9%A1%D9%A1%D9%A1%D9%A1%D9%A1.pdf",
        f"{NUMBER}%0a.pdf",
        "%00.pdf",
    ],
)
def test_what_is_no_number_of_his_leads_nowhere(site: Site, path: str) -> None:
    put(site, "P1")
    put(site, "P2")
    browser = site.signed_in("P2")
    same_as_nothing(browser, browser.get(f"/statements/x/{path}"))
    if path != f"../P1/{NUMBER}.pdf":  # which a browser makes /P1/… before it asks
        same_as_nothing(browser, browser.get(f"/statements/{path}"))


def test_a_file_that_is_not_as_it_was_issued_is_not_given(site: Site) -> None:
    put(site, "P1")
    path = Path(site.settings.statements) / "P1" / f"{NUMBER}.pdf"
    path.write_bytes(PDF + b"x")
    browser = site.signed_in("P1")
    same_as_nothing(browser, browser.get(f"/statements/{NUMBER}.pdf"))
    assert browser.get(f"/statements/{NUMBER}.csv").status_code == 200


def test_a_folder_that_two_partners_share_gives_each_his_own(site: Site) -> None:
    put(site, "P1")
    whole = Path(site.settings.statements)
    (whole / "p1").symlink_to(whole / "P1")  # as a file system does that takes P1 and p1 for one
    assert folder(site).of_partner("p1") == []
    assert folder(site).read("p1", NUMBER, Form.PDF) is None
    assert folder(site).read("P1", NUMBER, Form.PDF) == PDF


def test_the_folder_is_for_its_owner_alone_and_holds_no_draft(site: Site) -> None:
    put(site, "P1")
    put(site, "P1")
    whole = Path(site.settings.statements)
    assert sorted(path.name for path in whole.rglob("*.*")) == [f"{NUMBER}.{end}" for end in ("csv", "json", "pdf")]
    assert {path.stat().st_mode & 0o777 for path in whole.rglob("*.*")} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (whole, whole / "P1")} == {0o700}
    assert folder(site).numbers() == {NUMBER}


@pytest.mark.parametrize("partner_id", ["", ".", "..", "a/b", "../P1", "P1\n", "P1\0", "ü"])
def test_no_path_is_made_of_what_is_no_partner_id(site: Site, partner_id: str) -> None:
    for ask in (folder(site).of_partner, lambda id_: folder(site).read(id_, NUMBER, Form.PDF)):
        with pytest.raises(ValueError, match="not a partner"):
            ask(partner_id)


def test_a_card_that_cannot_be_read_is_left_out(site: Site) -> None:
    put(site, "P1")
    own = Path(site.settings.statements) / "P1"
    (own / "BA-2027-000013.json").write_text("{", "utf-8")
    (own / "BA-2027-000014.json").write_bytes((own / f"{NUMBER}.json").read_bytes())
    assert [card.number for card in folder(site).of_partner("P1")] == [NUMBER]
