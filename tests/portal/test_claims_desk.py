"""The vendor's work list: what staff sees, decides, and that nothing is decided twice or counted twice."""

from __future__ import annotations

import csv
import io
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import msgspec
import pytest
from sqlalchemy import Engine

from schemas.events import ClaimDecided, ClaimDecision, LineStatus, SaleReported
from services.portal.auth import Role
from services.portal.claims.deciding import QUESTIONS, REFUSALS, Decision, Outcome
from services.portal.claims.deciding import decide as carry_out
from services.portal.claims.making import make
from services.portal.claims.reading import Claimed
from services.portal.claims.tables import Status
from services.portal.claims.words import question, refusal
from services.portal.voice import voice_for
from streams.rules.terms import Programme
from tests.portal.claiming import claim, decide, made, pdf, staff, told
from tests.portal.conftest import Site, mark_in
from tests.portal.feeding import NOON, a_line, feed
from tests.portal.test_exports import cells
from tests.portal.test_pages import words

ONE = Claimed("INV-77", "TS-200", 2, date(2026, 11, 10), ("MP7001", "MP7002"), "")


def waiting(site: Site, partner_id: str = "P1", **fields: str) -> str:
    """A claim that waits for its decision."""
    before = {one.claim_id for one in made(site.engine)}
    assert claim(site.signed_in(partner_id), ("invoice.pdf", pdf()), **fields).status_code == 303
    (new,) = {one.claim_id for one in made(site.engine)} - before
    return new


def test_an_accepted_claim_becomes_a_report_like_any_other(site: Site) -> None:
    claim_id = waiting(site)
    answer = decide(staff(site), claim_id, "accepted", text="Thank you.")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/claims/desk?done={claim_id}")
    (topic, event), (other, decided) = told(site.engine)
    assert (topic, other) == ("sales:SaleReported", "claims")
    sale = msgspec.json.decode(event, type=SaleReported)
    assert (sale.sale_id, sale.partner_id, sale.product_id, sale.quantity) == ("INV-77", "P1", "TS-200", 2)
    assert (sale.sold_on, sale.serial_numbers) == (date(2026, 11, 10), ("MP7001", "MP7002"))
    assert (sale.reported_at, sale.reported_by) == (NOON, "claim")
    said = msgspec.json.decode(decided, type=ClaimDecided)
    assert (said.claim_id, said.sequence, said.decision, said.reason) == (claim_id, 1, ClaimDecision.ACCEPTED, None)
    page = words(site.signed_in("P1").get(f"/claims/{claim_id}").text)
    assert "Accepted" in page
    assert "Thank you." in page
    assert "On its way: the sale is being counted right now." in page
    feed(site.engine, a_line("P1", "INV-77", 2))
    assert "Verdict Counted" in words(site.signed_in("P1").get(f"/claims/{claim_id}").text)


def test_a_refusal_tells_reason_and_text_and_publishes_no_sale(site: Site) -> None:
    claim_id = waiting(site)
    decide(staff(site), claim_id, "refused", reason="proof-does-not-match", text="The invoice is from <2025>.")
    ((topic, event),) = told(site.engine)
    assert topic == "claims"
    assert msgspec.json.decode(event, type=ClaimDecided).reason == "proof-does-not-match"
    assert "2025" not in event
    page = site.signed_in("P1").get(f"/claims/{claim_id}").text
    assert "The proof shows something else than was reported." in words(page)
    assert "The invoice is from &lt;2025&gt;." in page


def test_a_question_is_answered_with_a_further_proof(site: Site) -> None:
    claim_id, desk = waiting(site), staff(site)
    decide(desk, claim_id, "asked", reason="serials-missing", text="Which ones?")
    browser = site.signed_in("P1")
    assert "We have a question about a missing sale that you reported." in words(browser.get("/").text)
    page = browser.get(f"/claims/{claim_id}").text
    assert "Please tell us the serial numbers." in words(page)
    answer = f"/claims/{claim_id}/answer"
    empty = browser.post(answer, data={"mark": mark_in(page), "text": " "}, files=[("proof", ("", b""))])
    assert empty.status_code == 422
    bad = browser.post(answer, data={"mark": mark_in(page), "text": "x"}, files=[("proof", ("a.pdf", b"<html>"))])
    assert "a.pdf: The file is neither a PDF nor" in words(bad.text)
    sent = browser.post(answer, data={"mark": mark_in(page), "text": "MP1"}, files=[("proof", ("b.pdf", pdf(2)))])
    assert sent.status_code == 303
    shown = words(desk.get(f"/claims/desk/{claim_id}").text)
    assert "The partner answered" in shown
    assert "b.pdf" in shown
    decide(desk, claim_id, "accepted")
    said = [msgspec.json.decode(event, type=ClaimDecided) for topic, event in told(site.engine) if topic == "claims"]
    assert [one.sequence for one in said] == [1, 2]


def test_of_two_who_decide_at_once_one_wins_and_the_other_is_told(site: Site) -> None:
    claim_id, anna, ben = waiting(site), staff(site), staff(site, "ben")
    page = ben.get(f"/claims/desk/{claim_id}").text
    assert decide(anna, claim_id, "accepted").status_code == 303
    late = ben.post(
        f"/claims/desk/{claim_id}",
        data={"mark": mark_in(page), "version": "1", "what": "refused", "reason": "not-a-sale"},
    )
    assert late.status_code == 409
    assert "Somebody was quicker" in words(late.text)
    assert "Accepted" in words(late.text)
    assert made(site.engine)[0].status == Status.ACCEPTED
    assert len(told(site.engine)) == 2


def test_a_partner_who_takes_it_back_is_quicker_too(site: Site) -> None:
    claim_id, anna, browser = waiting(site), staff(site), site.signed_in("P1")
    page = anna.get(f"/claims/desk/{claim_id}").text
    browser.post(f"/claims/{claim_id}/withdraw", data={"mark": mark_in(browser.get("/").text)})
    late = anna.post(f"/claims/desk/{claim_id}", data={"mark": mark_in(page), "version": "1", "what": "accepted"})
    assert late.status_code == 409
    assert told(site.engine) == []


def test_many_who_decide_at_once_make_one_decision(engine: Engine, programme: Programme) -> None:
    (claim_id,) = make(engine, "P1", [ONE], [], NOON).claim_ids
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(
            pool.map(
                lambda n: carry_out(engine, programme, claim_id, Decision(ClaimDecision.ACCEPTED, 1, f"p{n}"), NOON),
                range(4),
            )
        )
    assert sorted(outcomes) == [Outcome.DONE, *[Outcome.LATE] * 3]
    assert [topic for topic, _ in told(engine)] == ["sales:SaleReported", "claims"]


def test_two_claims_of_one_serial_number_are_not_both_accepted(engine: Engine, programme: Programme) -> None:
    claim_ids = [make(engine, partner, [ONE], [], NOON).claim_ids[0] for partner in ("P1", "P2")]
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(
            pool.map(
                lambda one: carry_out(engine, programme, one, Decision(ClaimDecision.ACCEPTED, 1, "anna"), NOON),
                claim_ids,
            )
        )
    assert sorted(outcomes) == [Outcome.DONE, Outcome.FORBIDDEN]


def test_what_another_partner_has_open_is_a_conflict_and_never_counted_twice(site: Site) -> None:
    feed(site.engine, a_line("P2", "X-1", 1, serial_numbers=("MP7002",)))
    claim_id, anna = waiting(site), staff(site)
    page = anna.get(f"/claims/desk/{claim_id}").text
    assert "Serial number MP7002 is in sale X-1 of P2." in words(page)
    assert "P2" not in words(site.signed_in("P1").get(f"/claims/{claim_id}").text)
    forced = anna.post(f"/claims/desk/{claim_id}", data={"mark": mark_in(page), "version": "1", "what": "accepted"})
    assert forced.status_code == 409
    assert told(site.engine) == []
    feed(site.engine, a_line("P2", "X-1", 1, status=LineStatus.RETURNED, units=0, serial_numbers=("MP7002",)))
    assert decide(anna, claim_id, "accepted").status_code == 303


def test_a_sale_that_came_in_meanwhile_is_not_accepted(site: Site) -> None:
    claim_id, anna = waiting(site), staff(site)
    feed(site.engine, a_line("P1", "INV-77", 2))
    page = anna.get(f"/claims/desk/{claim_id}").text
    assert "The sale has come in by itself meanwhile." in words(page)
    assert "Accept the claim" not in page
    forced = anna.post(f"/claims/desk/{claim_id}", data={"mark": mark_in(page), "version": "1", "what": "accepted"})
    assert forced.status_code == 409


def test_a_claim_of_a_quarter_that_is_over_is_not_accepted(site: Site) -> None:
    claim_id, anna = waiting(site), staff(site)
    site.clock.pass_by(timedelta(days=300))
    assert "It would not count:" in words(anna.get(f"/claims/desk/{claim_id}").text)
    assert "Accept the claim" not in anna.get(f"/claims/desk/{claim_id}").text


def test_the_same_file_of_two_partners_is_seen(site: Site) -> None:
    first = waiting(site)
    second = waiting(site, "P2", sale_id="INV-99", serial_numbers="", quantity="1")
    page = words(staff(site).get(f"/claims/desk/{second}").text)
    assert f"The same file came with another claim of P1: {first}" in page


def test_a_viewer_looks_and_decides_nothing(site: Site) -> None:
    claim_id, viewer = waiting(site), staff(site, "vera", Role.VIEWER)
    page = viewer.get(f"/claims/desk/{claim_id}")
    assert page.status_code == 200
    assert "Accept the claim" not in page.text
    mark = mark_in(page.text)
    forced = viewer.post(f"/claims/desk/{claim_id}", data={"mark": mark, "version": "1", "what": "accepted"})
    assert forced.status_code == 404
    for path in ("/claims/desk", f"/claims/desk/{claim_id}", "/claims/desk.csv", "/claims/desk.xlsx"):
        assert site.signed_in("P1").get(path).status_code == 404


@pytest.mark.parametrize(
    "form",
    [
        {"what": "x"},
        {"what": "UNKNOWN"},
        {"what": "accepted", "version": "x"},
        {"what": "accepted", "reason": "other"},
        {"what": "refused"},
        {"what": "refused", "reason": "made-up"},
        {"what": "asked", "reason": "not-a-sale"},
    ],
)
def test_a_form_that_no_page_of_ours_sends_is_refused(site: Site, form: dict[str, str]) -> None:
    claim_id, anna = waiting(site), staff(site)
    mark = mark_in(anna.get("/claims/desk").text)
    assert anna.post(f"/claims/desk/{claim_id}", data={"mark": mark, "version": "1"} | form).status_code == 403
    assert made(site.engine)[0].status == Status.SENT


def test_another_reason_needs_words(site: Site) -> None:
    claim_id, anna = waiting(site), staff(site)
    assert decide(anna, claim_id, "refused", reason="other").status_code == 422
    assert decide(anna, claim_id, "refused", reason="other", text="x" * 1001).status_code == 422
    assert decide(anna, claim_id, "refused", reason="other", text="Because.").status_code == 303


def test_the_list_begins_with_what_waits_longest_and_finds(site: Site) -> None:
    waiting(site)
    site.clock.pass_by(timedelta(days=1))
    later = waiting(site, "P2", sale_id="INV-99", serial_numbers="")
    anna = staff(site)
    rows = re.findall(r'href="/claims/desk/(C-\w+)"', anna.get("/claims/desk").text)
    assert rows[-1] == later
    assert len(rows) == 2
    for search in ("muster", "inv-99", "P2", later):
        assert re.findall(r'href="/claims/desk/(C-\w+)"', anna.get(f"/claims/desk?q={search}").text) == [later]
    assert "MP7001" in anna.get("/claims/desk.csv?q=mp7001").text
    decide(anna, later, "refused", reason="not-a-sale")
    assert re.findall(r'href="/claims/desk/(C-\w+)"', anna.get("/claims/desk?status=refused").text) == [later]
    assert len(re.findall(r'href="/claims/desk/(C-\w+)"', anna.get("/claims/desk?status=all").text)) == 2
    for address in ("/claims/desk?status=x", "/claims/desk?page=0", "/claims/desk?page=x", "/claims/desk/C-X"):
        assert anna.get(address).status_code == 404


def test_the_list_as_a_file_holds_no_formula(site: Site) -> None:
    waiting(site, sale_id="=1+1")
    text = staff(site).get("/claims/desk.csv").content.decode("utf-8-sig")
    (title, row) = csv.reader(io.StringIO(text, newline=""), delimiter=";")
    assert title[4] == "Sale"
    assert row[4] == "'=1+1"
    assert row[10] == "To be decided"
    assert cells(staff(site).get("/claims/desk.xlsx").content)[1][4] == "=1+1"


def test_every_code_has_words() -> None:
    voice = voice_for("en", "", NOON.tzinfo)  # type: ignore[arg-type]
    assert len({refusal(code, voice) for code in REFUSALS}) == len(REFUSALS)
    assert len({question(code, voice) for code in QUESTIONS}) == len(QUESTIONS)
