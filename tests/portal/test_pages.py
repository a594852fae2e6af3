"""What stands on the pages."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from html import unescape
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from deploy.runtime.clock import Segment, TestClock, write_segments
from schemas.events import CloseKind, LineStatus, PayoutStatus, Phase
from services.kit.speech import catalogues, languages
from services.payout.answers.codes import KNOWN
from services.payout.holds import HOLDS, Ends
from services.portal.brand import Brand
from services.portal.pages import Pages
from services.portal.reasons import BANK, HELD, PAYOUTS, RETURNED, SALES, of_payout
from services.portal.voice import TEXTS, voice_for, voice_for_header
from tests.portal.conftest import Site
from tests.portal.feeding import (
    a_close,
    a_line,
    a_partner,
    a_payout,
    a_return,
    a_tally,
    a_tier_change,
    feed,
)
from tests.portal.sentences import sentences

PLACEHOLDER = re.compile(r"\{\w+\}")


def words(html: str) -> str:
    """What a page says, without its markup."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html))).replace("\xa0", " ")


def test_the_page_says_what_the_next_tier_is_worth(site: Site) -> None:
    said = words(site.signed_in("P1").get("/").text)
    assert "Good day, Beispiel Systemhaus GmbH" in said
    assert "480 €" in said
    assert "48 units at 10 € each" in said
    assert "2 more units are worth 270 € to you" in said
    assert "From 50 units on, every unit of the quarter earns 15 €: 750 € in all." in said
    assert "38 days left until 31 December 2026" in said
    assert "As of 24 November 2026, 12:00" in said


def test_a_sale_that_does_not_count_says_why_and_what_to_do(site: Site) -> None:
    page = site.signed_in("P1").get("/sales?status=rejected").text
    said = words(page)
    assert "The product was not on the programme's list on the day of the sale." in said
    assert "Check the product number with your distributor" in said
    assert ">S-3<" in page
    assert ">S-2<" not in page


def test_returns_and_conflicting_reports_are_told_with_the_sale(site: Site) -> None:
    back = a_return(1, date(2026, 11, 5))
    feed(site.engine, a_line("P1", "S-1", 3, units=2, returns=(back,), conflicts=("ff",)))
    said = words(site.signed_in("P1").get("/sales?q=S-1").text)
    assert "2 of 3" in said
    assert "1 unit came back on 5 Nov." in said
    assert "The earliest report stands." in said


def test_a_final_quarter_tells_where_the_money_is(site: Site) -> None:
    feed(
        site.engine,
        a_tally(site.programme, "P1", 49, "2026Q3", phase=Phase.FINAL, revision=2, payable_minor=49000),
        a_close(site.programme, "P1", CloseKind.PROVISIONAL, 0, 47, 0, 0),
        a_close(site.programme, "P1", CloseKind.FINAL, 1, 50, 75000, 75000),
        a_close(site.programme, "P1", CloseKind.ADJUSTMENT, 2, 49, -26000, 49000),
        a_payout("P1", 1, 1, PayoutStatus.IN_PAYMENT, 75000),
        a_payout("P1", 2, 1, PayoutStatus.PAYABLE, -26000, "clawback"),
    )
    browser = site.signed_in("P1")
    said = words(browser.get("/?quarter=2026Q3").text)
    assert "490 € made payable" in said
    assert "750 € was sent to the bank. 260 € will be set off against your next payment." in said
    said = words(browser.get("/quarters").text)
    assert "Still to be set off 260 €" in said
    assert "To be executed on 30 October 2026 · reference 26Q3-P1-A0T1" in said
    assert "−260,00 €" in said
    assert "more unit" not in said


def test_money_without_bank_details_is_asked_for(site: Site) -> None:
    feed(
        site.engine,
        a_tally(site.programme, "P1", 31, "2026Q3", phase=Phase.FINAL, revision=1, payable_minor=31000),
        a_close(site.programme, "P1", CloseKind.FINAL, 1, 31, 31000, 31000),
        a_payout("P1", 1, 1, PayoutStatus.WAITING, 31000, "no-bank-details"),
    )
    browser = site.signed_in("P1")
    for quarter in ("2026Q3", "2026Q4"):  # what is left to do does not depend on what he looks at
        said = words(browser.get(f"/?quarter={quarter}").text)
        assert "What is left for you to do 310 € is earned and waits for your bank details." in said
    assert "Waiting for bank details" in words(browser.get("/quarters").text)


def test_who_gave_an_account_that_no_bank_takes_is_asked_for_another(site: Site) -> None:
    feed(
        site.engine,
        a_tally(site.programme, "P1", 31, "2026Q3", phase=Phase.FINAL, revision=1, payable_minor=31000),
        a_close(site.programme, "P1", CloseKind.FINAL, 1, 31, 31000, 31000),
        a_payout("P1", 1, 4, PayoutStatus.WAITING, 31000, "bank-details-invalid"),
    )
    said = words(site.signed_in("P1").get("/?quarter=2026Q3").text)
    assert "310 € is earned, but your bank did not accept our transfer. As soon as we have other bank details" in said
    assert "waits for your bank details" not in said


def test_why_the_vendor_holds_a_payment_is_not_for_the_partner(site: Site) -> None:
    feed(
        site.engine,
        a_tally(site.programme, "P1", 31, "2026Q3", phase=Phase.FINAL, revision=1, payable_minor=31000),
        a_payout("P1", 1, 1, PayoutStatus.HELD, 31000, "recount-differs"),
    )
    page = site.signed_in("P1").get("/quarters").text
    assert "We are checking this amount before we pay it." in words(page)
    assert "recount" not in page


def test_who_is_not_registered_yet_sees_his_waiting_sales(site: Site) -> None:
    waiting = a_line("P7", "S-1", status=LineStatus.PENDING, reason="partner-not-registered", units=0)
    feed(site.engine, waiting, a_tally(site.programme, "P7", 0, pending=1))
    said = words(site.signed_in("P7").get("/").text)
    assert "Your registration has not reached us yet." in said
    assert "You are not registered for the programme yet." in said


def test_an_empty_page_says_when_it_fills(site: Site) -> None:
    said = words(site.signed_in("P8").get("/").text)
    assert "10 more units are worth" in said
    assert "The line begins with the first unit that counts." in said
    assert "Your distributors report weekly" in said
    assert "on 1 January 2027" in said


def test_who_left_is_told_what_still_counts(site: Site) -> None:
    feed(site.engine, a_partner("P1", left_on=date(2026, 11, 10)))
    assert "You left the programme on 10 November 2026." in words(site.signed_in("P1").get("/").text)


def test_the_chart_tells_its_figures_to_who_cannot_see_it(site: Site) -> None:
    page = site.signed_in("P1").get("/").text
    assert "<title" in page
    assert "<desc" in page
    assert "2 Nov 48 48" in words(page)


def test_names_and_numbers_are_never_markup(site: Site) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    feed(
        site.engine,
        a_partner("P1", name=evil, country="DE"),
        a_line("P1", evil, 1, product_id=evil, serial_numbers=(evil,)),
        a_line("P2", evil, 1, serial_numbers=(evil,)),
        a_tier_change(site.programme, "P1", 1, 9, 10),
    )
    pages = (
        site.signed_in("P1").get("/sales", params={"q": evil}).text,
        site.signed_in("P1").get("/sale", params={"id": evil}).text,
        site.signed_in("P1").get("/").text,
        site.signed_in().get("/programme").text,
        site.signed_in().get("/partners").text,
        site.signed_in().get("/partners/P1").text,
    )
    for page in pages:
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "&lt;script&gt;" in page


def test_the_programme_page_shows_the_whole_programme(site: Site) -> None:
    feed(
        site.engine,
        a_tier_change(site.programme, "P1", 1, 24, 25),
        a_line("P1", "S-7", serial_numbers=("MP7",)),
        a_line("P2", "S-8", serial_numbers=("MP7",)),
    )
    said = words(site.signed_in().get("/programme").text)
    for words_of_it in ("Rebate accrued €480", "Units counted 49", "Partners registered 2", "Germany"):
        assert words_of_it in said
    assert "Beispiel Systemhaus GmbH up to 25 units +€130" in said
    assert "Product not in the programme 1" in said
    assert "MP7 P1, P2" in said


def test_a_partner_is_spoken_to_in_his_language_and_his_countrys_figures(site: Site) -> None:
    feed(site.engine, a_partner("P1", language="de", country="AT"))
    page = site.signed_in("P1").get("/").text
    assert '<html lang="de">' in page
    assert "Noch 2 Stück bringen Ihnen € 270" in words(page)
    assert "am 1. Jänner 2027" in words(page)


@pytest.mark.parametrize(("language", "country"), [("xx", "DE"), ("en", "ZZ"), ("", ""), ("de", "FR"), ("fr", "FR")])
def test_a_language_or_country_that_nobody_speaks_is_no_error(site: Site, language: str, country: str) -> None:
    voice = voice_for(language, country, site.programme.zone)
    assert voice.money(123456, "EUR")
    assert voice.date(date(2026, 11, 24))


def test_an_unknown_visitor_is_spoken_to_in_his_browsers_language(site: Site) -> None:
    assert voice_for_header("pl-PL,de-DE;q=0.8,en;q=0.5", site.programme.zone).language == "de"
    assert voice_for_header("", site.programme.zone).language == "en"


def test_a_sentence_leaves_out_decimals_that_are_zero(site: Site) -> None:
    voice = voice_for("en", "GB", site.programme.zone)
    assert [voice.money(minor, "EUR") for minor in (27000, 27050, 123456700)] == ["€270", "€270.50", "€1,234,567"]
    assert voice.money(500, "JPY") == "JP¥500"
    assert voice.amount(-26000, "EUR") == "\N{MINUS SIGN}€260.00"


def test_the_words_of_a_reason_are_whole() -> None:
    assert all(found.name and found.why and found.do for found in SALES.values())
    assert all(found.why and found.do for found in PAYOUTS.values())


def test_what_the_bank_gives_as_reason_has_words_and_what_it_invents_has_some_too() -> None:
    assert set(BANK) <= KNOWN
    assert all(found.why and found.do for found in BANK.values())
    assert of_payout("returned", "AC04") == BANK["AC04"]
    assert of_payout("returned", "QQ99") == of_payout("returned", None) == RETURNED
    assert of_payout("paid", None) is None


def test_every_reason_why_money_waits_has_words_and_what_the_vendor_must_mend_is_not_said() -> None:
    for code, hold in HOLDS.items():
        ours = hold.ends is Ends.REPAIR or code == "closed-too-early"
        assert (code in PAYOUTS) is not ours, code
        assert of_payout("held", code) == PAYOUTS.get(code, HELD)


@pytest.mark.parametrize("language", sorted(languages(TEXTS) - {"en"}))
def test_every_sentence_is_translated_with_its_facts(language: str) -> None:
    messages = [
        message
        for path in catalogues(TEXTS, language)
        for message in read_po(BytesIO(path.read_bytes()), locale=language)
        if message.id
    ]
    known = {(message.id if isinstance(message.id, tuple) else (message.id,)): message for message in messages}
    assert len(known) == len(messages), "a sentence stands in two catalogues"
    assert {tuple(key) for key in known} == sentences(), "texts are missing, or nobody says them any more"
    for key, message in known.items():
        said = message.string if isinstance(message.string, tuple) else (message.string,)
        assert len(said) == len(key)
        for english, other in zip(key, said, strict=True):
            assert other, key
            assert set(PLACEHOLDER.findall(str(english))) == set(PLACEHOLDER.findall(str(other))), key


def test_test_time_is_said_on_every_page_that_runs_on_it(site: Site, tmp_path: Path) -> None:
    shown = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
    write_segments(tmp_path / "clock.json", (Segment(0.0, shown.timestamp(), 0.0),))
    pages = Pages(TestClock(tmp_path / "clock.json"), Brand("Hersteller GmbH"))
    html = pages._environment.get_template("clock.html").render(
        now=shown, rate=600.0, voice=voice_for("en", "GB", site.programme.zone)
    )
    assert "Test time 24 November 2026, 12:00 · 600 times as fast as real time" in words(html)
    assert pages.look_every == 1.0
