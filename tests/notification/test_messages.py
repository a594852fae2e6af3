"""What the mails say, in both parts and every language."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.events import BankDetailsChange, CloseKind, PayoutStatus
from services.notification.messages import Addressee, Kind, Link, Message, compose, dump
from services.notification.samples import SAMPLES, Sample
from tests.notification.facts import NOON, bank_details, close, mail_about, payout, programme, tier, week

SPOKEN = [
    ("en", "GB"),
    ("de", "DE"),
    ("de", "AT"),
    ("de", "CH"),
    ("fr", "FR"),
    ("fr", "CH"),
    ("it", "IT"),
    ("it", "CH"),
    ("es", "ES"),
    ("nl", "NL"),
    ("nl", "BE"),
    ("pt", "PT"),
]
LINK = "https://portal.example/l/token"
every_language = pytest.mark.parametrize(("language", "country"), SPOKEN)


class _Visible(HTMLParser):
    """The words that a reader of the HTML part sees."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden += tag in ("style", "title")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "title")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def _read(markup: str) -> tuple[str, list[tuple[str, dict[str, str | None]]]]:
    parser = _Visible()
    parser.feed(markup)
    return re.sub(r"[ \r\n\t]+", " ", " ".join(parser.words)), parser.tags


def _numbers(text: str) -> set[str]:
    return set(re.findall(r"\d[\d.,’\u00a0\u202f]*\d|\d", text))


def _flat(text: str) -> str:
    return " ".join(text.split())


def _written(sample: Sample, language: str, country: str) -> Message:
    link = Link(LINK, 24, NOON + timedelta(days=1))
    return compose(sample.kind, dump(sample.event), Addressee("P1", "Systemhaus", language, country), programme(), link)


def test_every_kind_has_a_sample() -> None:
    assert {sample.kind for sample in SAMPLES} == set(Kind)


@every_language
def test_every_number_stands_in_both_parts(language: str, country: str) -> None:
    for sample in SAMPLES:
        message = _written(sample, language, country)
        seen, tags = _read(message.html)
        links = " ".join(attributes["href"] or "" for tag, attributes in tags if tag == "a")
        assert _numbers(message.text) == _numbers(f"{seen} {links}"), sample.name
        assert _numbers(message.subject) <= _numbers(message.text), sample.name


@every_language
def test_html_fetches_nothing_and_has_one_link(language: str, country: str) -> None:
    for sample in SAMPLES:
        markup = _written(sample, language, country).html
        _, tags = _read(markup)
        links = [attributes["href"] for tag, attributes in tags if tag == "a"]
        assert links == ([] if sample.kind is Kind.BANK_DETAILS_NOTICE else [LINK])
        assert not {"img", "script", "link", "iframe", "form", "object"} & {tag for tag, _ in tags}
        assert "url(" not in markup
        assert tags[0] == ("html", {"lang": language})


@every_language
def test_nothing_of_the_writing_is_left_over(language: str, country: str) -> None:
    for sample in SAMPLES:
        message = _written(sample, language, country)
        for text in (message.subject, message.text, message.html.split("</style>")[1]):
            assert not re.search(r"[{}]|None|Undefined|%\(", text), sample.name
        assert "\n" not in message.subject
        assert not re.search(r"\n\n\n|  $", message.text.replace("\n-- \n", "\n")), sample.name


@every_language
def test_no_markup_is_seen(language: str, country: str) -> None:
    for sample in SAMPLES:
        seen, _ = _read(_written(sample, language, country).html)
        assert not re.search(r"[<>]|&\w+;", seen), sample.name


@pytest.mark.parametrize(("language", "country"), [spoken for spoken in SPOKEN if spoken[0] != "en"])
def test_no_sentence_stays_english_in_another_language(language: str, country: str) -> None:
    for sample in SAMPLES:
        text = _written(sample, language, country).text
        assert not re.search(r"\b(the|your|you|units|rebate|quarter|with)\b", text, re.IGNORECASE), sample.name


def test_amounts_are_written_as_in_the_partners_country() -> None:
    for country, amount in {
        "en_GB": "€15,720.00",
        "de_DE": "15.720,00\xa0€",
        "de_AT": "€\xa015.720,00",
        "de_CH": "EUR\xa015’720.00",
        "fr_FR": "15\u202f720,00\xa0€",
        "fr_CH": "15\u202f720,00\xa0€",
        "it_IT": "15.720,00\xa0€",
        "es_ES": "15.720,00\xa0€",
        "nl_BE": "€\xa015.720,00",
        "pt_PT": "15\xa0720,00\xa0€",
        "pt_": "15\xa0720,00\xa0€",
    }.items():
        language, _, region = country.partition("_")
        assert amount in mail_about(week(), language=language, country=region).text, country


@pytest.mark.parametrize(
    ("language", "country", "spoken"),
    [
        ("de-AT", "AT", "de"),
        ("DE", "", "de"),
        ("de_CH", "CH", "de"),
        ("fr-FR", "FR", "fr"),
        ("pt_BR", "BR", "pt"),
        ("nl", "XX", "nl"),
        ("sv", "SE", "en"),
        ("", "", "en"),
        ("../x", "\n", "en"),
    ],
)
def test_language_that_is_not_spoken_here_becomes_english(language: str, country: str, spoken: str) -> None:
    assert mail_about(week(), language=language, country=country).language == spoken


def test_tier_up_says_what_the_next_tier_is_worth() -> None:
    text = " ".join(mail_about(tier()).text.split())
    assert "with 26 units your rebate rises from €120.00 to €260.00" in text
    assert "24 more units take you to the tier from 50 units on. Reaching it raises your rebate by €490.00." in text


def test_tier_down_says_why_without_blame() -> None:
    text = " ".join(mail_about(tier(10)).text.split())
    assert "Units came back, or a report of sales was corrected." in text
    assert "1 more unit takes you to the tier from 25 units on." in text


def test_fewer_units_than_last_week_are_explained() -> None:
    assert "3 units less than last week" in mail_about(week(change=-3)).text
    assert "less than last week" not in mail_about(week(change=0)).text


def test_quarter_without_sales_is_still_told() -> None:
    text = " ".join(mail_about(close(CloseKind.FINAL, units=0, payable=0)).text.split())
    assert "The quarter counts 0 units; the rebate begins at 10 units. No rebate is due for this quarter." in text


def test_provisional_result_names_the_last_day_for_reports() -> None:
    told = mail_about(close(CloseKind.PROVISIONAL, payable=0)).text
    assert "until 28 January 2027" in _flat(told)


def test_a_number_that_was_told_is_told_again_when_it_changes_and_why() -> None:
    provisional = close(CloseKind.PROVISIONAL, units=49, payable=0)
    more = _flat(mail_about(close(units=52), earlier=provisional).text)
    assert "The provisional result was 49 units and €490.00. Since then 3 units were added by late or corrected" in more
    fewer = _flat(mail_about(close(CloseKind.ADJUSTMENT, 49, -29_000), earlier=close(units=50)).text)
    assert "Until now the result was 50 units and €750.00. Since then 1 unit came back or was corrected away" in fewer


def test_a_number_that_stands_is_not_told_to_have_changed() -> None:
    assert "provisional" not in mail_about(close(), earlier=close(CloseKind.PROVISIONAL, payable=0)).text
    assert "provisional" not in mail_about(close()).text


def test_a_correction_whose_former_number_nobody_knows_says_why_all_the_same() -> None:
    text = _flat(mail_about(close(CloseKind.ADJUSTMENT, 49, -29_000)).text)
    assert "sales of this quarter were reported late, returned or corrected. Your page shows which." in text


def test_clawback_says_that_nothing_is_debited() -> None:
    text = _flat(mail_about(close(CloseKind.ADJUSTMENT, 49, -29_000)).text)
    assert "So €290.00 less is due to you. Nothing is debited from your account" in text
    assert "This correction: −€290.00" in text


def test_near_threshold_says_what_is_missing_what_it_is_worth_and_until_when() -> None:
    (near,) = [sample for sample in SAMPLES if sample.kind is Kind.THRESHOLD_NEAR]
    message = _written(near, "en", "GB")
    assert message.subject == "Q4 2026: 1 more unit, +€260.00"
    assert "1 more unit takes you to the tier from 50 units on. Reaching it raises your rebate by €260.00." in _flat(
        message.text
    )
    assert "Quarter ends: in 17 days, on 31 December 2026" in message.text


@pytest.mark.parametrize(
    ("code", "words", "to_do"),
    [
        ("AC01", "The account number (IBAN) is wrong (AC01)", "check your bank details"),
        ("AC04", "The account is closed (AC04)", "check your bank details"),
        ("AC06", "The account is blocked (AC06)", "check your bank details"),
        ("AG01", "Such transfers are not allowed to this account (AG01)", "check your bank details"),
        ("RC01", "The bank code (BIC) does not fit the account (RC01)", "check your bank details"),
        ("BE04", "address is missing or incomplete (BE04)", "check your bank details"),
        ("AM04", "Our account was not covered (AM04)", "You need not do anything"),
        ("ZZ99", "Another reason (ZZ99)", "check your bank details"),
    ],
)
def test_a_return_says_why_in_words_and_what_to_do(code: str, words: str, to_do: str) -> None:
    text = _flat(mail_about(payout(PayoutStatus.RETURNED, reason=code)).text)
    assert words in text.split("Reason given by the bank: ")[1]
    assert to_do in text


def test_a_transfer_lowered_by_what_was_taken_back_is_explained() -> None:
    text = _flat(mail_about(payout(PayoutStatus.NETTED, amount=-29_000)).text)
    assert "A correction of Q4 2026 had left €290.00 too much with you." in text
    assert "Reference on your account statement: 26Q4-P1-A0T1" in text
    whole = payout(PayoutStatus.NETTED, amount=29_000, end_to_end_id=None, execution_date=None)
    assert "Nothing is transferred" in _flat(mail_about(whole).text)


def test_changed_bank_details_are_told_without_what_they_are() -> None:
    text = _flat(mail_about(bank_details(version=2)).text)
    assert "4 January 2027 first day on which we pay to this account" in text
    assert "If not, answer this mail at once" in text
    assert "until that day nothing is paid" in text
    at_once = replace(bank_details(), usable_on=NOON.date())
    assert "until that day" not in _flat(mail_about(at_once).text), "it has come"
    invalid = _flat(mail_about(bank_details(change=BankDetailsChange.INVALID)).text)
    assert "Nothing is paid to this account any more" in invalid


def test_link_says_how_long_it_works() -> None:
    known, unknown = (
        " ".join(
            compose(
                Kind.WEEKLY,
                dump(week()),
                Addressee("P1", "", "en", "GB"),
                programme(),
                Link("https://x.example", 336, until),
            ).text.split()
        )
        for until in (NOON + timedelta(days=14), None)
    )
    assert "It works for 14 days, until 28 December 2026, 13:00." in known
    assert "It works for 14 days." in unknown


@given(name=st.text(max_size=80).map(str.strip))
@settings(deadline=None, max_examples=40)
def test_any_name_stands_in_the_html_as_itself(name: str) -> None:
    seen, tags = _read(mail_about(tier(), name).html)
    assert _flat(f"Hello {name},") in _flat(seen) or not name
    assert tags == _read(mail_about(tier(), "plain").html)[1]
