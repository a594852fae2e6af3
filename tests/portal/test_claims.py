"""A partner's claims: what he may report, what he is told, and that nobody else sees it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from sqlalchemy import Connection, Engine, func, select

from schemas.events import ClaimDecision, LineStatus
from services.kit.database import open_engine
from services.portal.audit import Wanted as Entries
from services.portal.audit import entries
from services.portal.auth import Role
from services.portal.claims import making
from services.portal.claims.deciding import Decision, Outcome, decide
from services.portal.claims.known import Known
from services.portal.claims.making import TooMuch, make
from services.portal.claims.reading import Claimed
from services.portal.claims.tables import Status, claim_proofs, claim_serials
from services.portal.tables import MIGRATIONS
from streams.rules.terms import Programme
from tests.databases import drop, postgres_url
from tests.portal import claiming
from tests.portal.claiming import claim, made, pdf, picture, told
from tests.portal.conftest import Site, mark_in
from tests.portal.feeding import NOON, a_line, a_return, feed
from tests.portal.test_pages import words

ONE = Claimed("INV-77", "TS-200", 2, date(2026, 11, 10), ("MP7001", "MP7002"), "")


def test_a_missing_sale_is_reported_with_its_proof(site: Site) -> None:
    browser = site.signed_in("P1")
    answer = claim(browser, ("invoice.pdf", pdf()), ("box.jpg", picture("JPEG")))
    assert answer.status_code == 303
    said = words(browser.get(answer.headers["location"]).text)
    assert "1 sale is with us now." in said
    assert "INV-77 10 November 2026 2" in said
    assert "Being checked" in said
    (one,) = made(site.engine)
    assert (one.partner_id, one.quantity, one.sold_on) == ("P1", 2, date(2026, 11, 10))
    page = words(browser.get(f"/claims/{one.claim_id}").text)
    assert "You reported it" in page
    assert "Sold from stock." in page
    assert "MP7001, MP7002" in page
    assert "invoice.pdf" in page
    assert told(site.engine) == []


def test_the_form_comes_back_with_what_is_wrong_and_what_was_right(site: Site) -> None:
    browser = site.signed_in("P1")
    answer = claim(browser, quantity="some", sold_on="2027-01-01", serial_numbers="A\nA", sale_id="INV-<1>")
    assert answer.status_code == 422
    said = words(answer.text)
    assert "This must be a whole number from 1 on." in said
    assert "The day of the sale lies ahead." in said
    assert "A serial number is named twice." in said
    assert 'value="INV-&lt;1&gt;"' in answer.text
    assert made(site.engine) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"product_id": ""}, "This is missing."),
        ({"product_id": "KB-010"}, "The product was not on the programme's list on that day."),
        ({"sold_on": "1999-01-01"}, "On that day the programme had not begun."),
        ({"sold_on": "10.11.2026"}, "This must be a date, like 2026-10-31."),
        ({"sale_id": "1,23E+12"}, "A spreadsheet has shortened this number."),
        ({"sale_id": "a\x00b"}, "There is a character in it that can't be printed."),
        ({"quantity": "1"}, "There are more serial numbers than units"),
        ({"note": "x" * 1001}, "This is too long."),
    ],
)
def test_what_would_not_count_is_not_claimed(site: Site, fields: dict[str, str], said: str) -> None:
    answer = claim(site.signed_in("P1"), **fields)
    assert answer.status_code == 422
    assert said in words(answer.text)
    assert made(site.engine) == []


def test_a_sale_that_is_known_shows_its_verdict_instead(site: Site) -> None:
    browser = site.signed_in("P1")
    answer = claim(browser, ("invoice.pdf", pdf()), sale_id="S-1")
    assert answer.status_code == 422
    assert "This sale is known already S-1: Counted" in words(answer.text)
    by_serial = claim(browser, serial_numbers="MP0001")
    assert "S-1 (with the serial number MP0001): Counted" in words(by_serial.text)
    rejected = claim(browser, sale_id="S-3")
    assert "The product was not on the programme's list" in words(rejected.text)
    assert made(site.engine) == []
    assert list(site.settings.data.rglob("uploads/*/*")) == []


def test_a_sale_is_claimed_once(site: Site) -> None:
    browser = site.signed_in("P1")
    claim(browser)
    again = claim(browser)
    assert again.status_code == 422
    assert "INV-77 : Being checked" in words(again.text)
    other_number = claim(browser, sale_id="INV-78")
    assert "with the serial number MP7001" in words(other_number.text)
    assert len(made(site.engine)) == 1


def test_a_sale_of_which_only_a_return_is_known_is_missing_indeed(site: Site) -> None:
    feed(
        site.engine,
        a_line("P1", "INV-77", 2, status=LineStatus.PENDING, sold_on=None, returns=(a_return(1, date(2026, 11, 12)),)),
    )
    assert claim(site.signed_in("P1")).status_code == 303


def test_a_sale_is_claimed_again_once_it_was_taken_back(site: Site) -> None:
    browser = site.signed_in("P1")
    claim(browser)
    (first,) = made(site.engine)
    answer = browser.post(
        f"/claims/{first.claim_id}/withdraw", data={"mark": mark_in(browser.get(f"/claims/{first.claim_id}").text)}
    )
    assert answer.status_code == 303
    assert "Withdrawn" in words(browser.get("/claims").text)
    assert claim(browser).status_code == 303
    assert sorted((one.attempt, one.status) for one in made(site.engine)) == [(1, "withdrawn"), (2, "sent")]
    assert len({one.claim_id for one in made(site.engine)}) == 2


def test_the_same_form_twice_at_once_is_one_claim(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: make(engine, "P1", [ONE], [], NOON), range(4)))
    assert sum(len(result.claim_ids) for result in results) == 1
    assert len(made(engine)) == 1


@pytest.mark.parametrize("after_the_look", [False, True])
def test_a_claim_that_somebody_makes_meanwhile_is_not_made_again(
    monkeypatch: pytest.MonkeyPatch, after_the_look: bool
) -> None:
    """Where two can write at once: SQLite lets one after the other."""
    url = postgres_url()
    engine, look = open_engine(url, MIGRATIONS), making.known_already

    def and_meanwhile(connection: Connection, partner_id: str, one: Claimed) -> Known | None:
        monkeypatch.setattr(making, "known_already", look)
        found = look(connection, partner_id, one) if after_the_look else None
        with ThreadPoolExecutor(1) as other:
            assert len(other.submit(make, engine, "P1", [ONE], [], NOON).result(10).claim_ids) == 1
        return found if after_the_look else look(connection, partner_id, one)

    monkeypatch.setattr(making, "known_already", and_meanwhile)
    result = make(engine, "P1", [ONE], [], NOON)
    assert (list(result.claim_ids), len(result.known), len(made(engine))) == ([], 1, 1)
    engine.dispose()
    drop(url)


def test_a_file_of_many_leaves_out_what_is_known(site: Site) -> None:
    browser = site.signed_in("P1")
    sheet = (
        "sale_id;product_id;quantity;sold_on;serial_numbers;partner_id\n"
        "INV-1;TS-200;1;2026-11-10;;P1\n"
        "S-1;TS-200;40;2026-11-02;;P1\n"
        "INV-2;TS-200;2;2026-11-11;A1|A2;\n"
    )
    answer = claim(browser, ("invoice.pdf", pdf()), sheet=sheet.encode("utf-8-sig"))
    said = words(browser.get(answer.headers["location"]).text)
    assert "2 sales are with us now." in said
    assert "1 sale was known already" in said
    assert [one.sale_id for one in made(site.engine)] == ["INV-1", "INV-2"]
    for one in made(site.engine):
        assert "invoice.pdf" in browser.get(f"/claims/{one.claim_id}").text


def test_the_file_that_distributors_send_is_read_too(site: Site) -> None:
    head = "event,id,sale_id,partner_id,product_id,quantity,sold_on,serial_numbers\n"
    row = "sale,INV-1,INV-1,P1,TS-200,1,2026-11-10,\n"
    assert claim(site.signed_in("P1"), sheet=(head + row).encode()).status_code == 303


def test_a_file_with_a_wrong_row_is_not_taken_and_says_which(site: Site) -> None:
    sheet = (
        "sale_id,product_id,quantity,sold_on,partner_id,event\n"
        "INV-1,TS-200,1,2026-11-10,,\n"
        "INV-1,TS-200,1,2026-11-10,,\n"
        "INV-2,TS-200,x,2026-11-10,,\n"
        "INV-3,TS-200,1,2026-11-10,P2,\n"
        "INV-4,TS-200,1,2026-11-10,,return\n"
        'INV-5,"TS-200,1,2026-11-10,,\n'
        "INV-6,KB-010,1,2026-11-10,,\n"
    )
    answer = claim(site.signed_in("P1"), sheet=sheet.encode())
    said = words(answer.text)
    assert answer.status_code == 422
    for line, why in (
        (3, "The same number stands in a row above."),
        (4, "This must be a whole number from 1 on."),
        (5, "The row names another partner."),
        (6, "Only sales can be reported here."),
        (7, "The row can't be read."),
        (8, "The product was not on the programme's list"),
    ):
        assert f"{line} {why}" in said
    assert made(site.engine) == []


@pytest.mark.parametrize(
    ("sheet", "said"),
    [
        (b"", "The first line must name the columns: sale_id, product_id, quantity, sold_on."),
        (b"what,ever\n1,2\n", "The first line must name the columns"),
        (b"PK\x03\x04 a workbook", "The first line must name the columns"),
        (b"\xff\xfes\x00", "The first line must name the columns"),
        (b"sale_id,product_id,quantity,sold_on\n", "There is no sale in the file."),
        (b"sale_id,product_id,quantity,sold_on\n" + b"x,x,x,x\n" * 501, "A file may hold 500 sales at most."),
    ],
)
def test_a_file_that_is_none_is_a_sentence(site: Site, sheet: bytes, said: str) -> None:
    answer = claim(site.signed_in("P1"), sheet=sheet)
    assert answer.status_code == 422
    assert said in words(answer.text)


def test_nobody_sees_or_changes_anothers_claim(site: Site) -> None:
    claim(site.signed_in("P1"), ("invoice.pdf", pdf()))
    (one,) = made(site.engine)
    other = site.signed_in("P2")
    mark = mark_in(other.get("/").text)
    assert "INV-77" not in other.get("/claims").text
    assert other.get(f"/claims/{one.claim_id}").status_code == 404
    assert other.get(f"/claims/{one.claim_id}/events").status_code == 404
    assert other.post(f"/claims/{one.claim_id}/withdraw", data={"mark": mark}).status_code == 404
    sent = {"data": {"mark": mark, "text": "x"}, "files": [("proof", ("", b""))]}
    assert other.post(f"/claims/{one.claim_id}/answer", **sent).status_code == 404
    assert other.get("/claims?report=" + one.report_id).text.count("with us now") == 0
    assert made(site.engine)[0].status == Status.SENT


def test_staff_that_looks_at_his_pages_can_claim_nothing(site: Site) -> None:
    browser = site.staff(Role.OPERATOR, viewing="P1")
    page = browser.get("/claims")
    assert page.status_code == 200
    assert "/claims/new" not in page.text
    assert claim(browser).status_code == 404


def test_a_claim_that_another_site_sends_is_refused(site: Site) -> None:
    browser = site.signed_in("P1")
    assert claim(browser, mark="x").status_code == 403
    mark = mark_in(browser.get("/claims/new").text)
    files = [("proof", ("", b""))]
    foreign = browser.post(
        "/claims", data=claiming.SALE | {"mark": mark}, files=files, headers={"sec-fetch-site": "cross-site"}
    )
    assert foreign.status_code == 403
    assert browser.post("/claims", data=claiming.SALE | {"mark": mark}).status_code == 403
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert browser.post("/claims", content=b"--x\r\nnonsense", headers=broken).status_code == 403
    assert made(site.engine) == []


def test_a_partner_sends_so_much_a_day_and_no_more(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "CLAIMS_A_DAY", 3)
    some = [ONE._replace(sale_id=f"INV-{n}", serial_numbers=()) for n in range(4)]
    make(engine, "P1", some[:3], [], NOON)
    with pytest.raises(TooMuch):
        make(engine, "P1", some[3:], [], NOON)
    make(engine, "P2", some[3:], [], NOON)
    make(engine, "P1", some[3:], [], NOON + timedelta(hours=25))
    assert len(made(engine)) == 5


def test_the_bytes_of_proofs_are_bounded_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "BYTES_A_DAY", 1000)
    answer = claim(site.signed_in("P1"), ("invoice.pdf", pdf(pages=20)))
    assert answer.status_code == 422
    assert "You have sent very much today." in words(answer.text)
    assert made(site.engine) == []
    assert list(site.settings.data.rglob("uploads/*/*")) == []
    with site.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(claim_proofs)).scalar_one() == 0


def test_what_was_done_is_in_the_record_on_each_kind_of_database(engine: Engine, programme: Programme) -> None:
    made_of = make(engine, "P1", [ONE], [], NOON)
    (claim_id,) = made_of.claim_ids
    asked = Decision(ClaimDecision.ASKED, 1, "anna", "proof-missing", "Please.")
    assert decide(engine, programme, claim_id, asked, NOON) is Outcome.DONE
    assert making.answer(engine, "P1", claim_id, "Here.", [], NOON)
    assert not making.answer(engine, "P1", claim_id, "Here again.", [], NOON)
    accepted = Decision(ClaimDecision.ACCEPTED, 3, "anna")
    assert decide(engine, programme, claim_id, accepted, NOON) is Outcome.DONE
    assert not making.withdraw(engine, "P1", claim_id, NOON)
    with engine.connect() as connection:
        found = [(row.who, row.what) for row in entries(connection, Entries()).rows]
        serials = connection.execute(select(claim_serials)).all()
    assert found[::-1] == [
        ("partner P1", "sales-claimed"),
        ("staff anna", "claim-asked"),
        ("partner P1", "claim-answered"),
        ("staff anna", "claim-accepted"),
    ]
    assert len(serials) == 2
