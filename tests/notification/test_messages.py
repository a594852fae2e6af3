"""What the mails say, in both parts and both languages."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import CloseKind, PayoutStatus, Phase
from services.notification.messages import Addressee, Kind, Link, Told, compose, dump, kind_of
from tests.notification.facts import NOON, close, mail_about, payout, programme, tier, week

ALL: dict[Kind, Told] = {
    Kind.TIER_UP: tier(),
    Kind.TIER_DOWN: tier(10),
    Kind.WEEKLY: week(),
    Kind.PROVISIONAL: close(CloseKind.PROVISIONAL, payable=0),
    Kind.FINAL: close(),
    Kind.ADJUSTMENT: close(CloseKind.ADJUSTMENT, units=49, payable=-29_000),
    Kind.BANK_DETAILS_MISSING: payout(PayoutStatus.WAITING),
    Kind.IN_PAYMENT: payout(),
    Kind.RETURNED: payout(PayoutStatus.RETURNED),
}
SPOKEN = [("en", "GB"), ("de", "DE"), ("de", "AT"), ("de", "CH")]


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
    return " ".join(" ".join(parser.words).split()), parser.tags


def _numbers(text: str) -> set[str]:
    return set(re.findall(r"\d[\d.,’]*\d|\d", text))


def test_every_kind_has_an_event_here() -> None:
    assert {kind: kind_of(event) for kind, event in ALL.items()} == {kind: kind for kind in Kind}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(("language", "country"), SPOKEN)
def test_every_number_stands_in_both_parts(kind: Kind, language: str, country: str) -> None:
    message = mail_about(ALL[kind], "Systemhaus", language, country)
    seen, _ = _read(message.html)
    assert _numbers(message.text) == _numbers(f"{seen} https://portal.example/l/token")
    assert _numbers(message.subject) <= _numbers(message.text)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(("language", "country"), SPOKEN)
def test_html_fetches_nothing_and_has_one_link(kind: Kind, language: str, country: str) -> None:
    markup = mail_about(ALL[kind], language=language, country=country).html
    _, tags = _read(markup)
    assert [attributes["href"] for tag, attributes in tags if tag == "a"] == ["https://portal.example/l/token"]
    assert not {"img", "script", "link", "iframe", "form", "object"} & {tag for tag, _ in tags}
    assert "url(" not in markup
    assert tags[0] == ("html", {"lang": language})


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(("language", "country"), SPOKEN)
def test_nothing_of_the_writing_is_left_over(kind: Kind, language: str, country: str) -> None:
    message = mail_about(ALL[kind], language=language, country=country)
    for text in (message.subject, message.text, message.html.split("</style>")[1]):
        assert not re.search(r"[{}]|None|Undefined|%\(", text)
    assert "\n" not in message.subject


@pytest.mark.parametrize("kind", Kind)
def test_no_sentence_stays_english_in_german(kind: Kind) -> None:
    text = mail_about(ALL[kind], language="de", country="DE").text
    assert not re.search(r"\b(the|your|you|units|rebate|quarter)\b", text, re.IGNORECASE)


def test_amounts_are_written_as_in_the_partners_country() -> None:
    texts = [mail_about(week(), language=language, country=country).text for language, country in SPOKEN]
    for text, amount in zip(texts, ["€15,720.00", "15.720,00\xa0€", "€\xa015.720,00", "EUR\xa015’720.00"], strict=True):
        assert amount in text


@pytest.mark.parametrize(
    ("language", "country", "spoken"),
    [
        ("de-AT", "AT", "de"),
        ("DE", "", "de"),
        ("de_CH", "CH", "de"),
        ("fr", "FR", "en"),
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
    assert "until 28 January 2027" in " ".join(mail_about(ALL[Kind.PROVISIONAL]).text.split())


def test_clawback_says_that_nothing_is_debited() -> None:
    text = " ".join(mail_about(ALL[Kind.ADJUSTMENT]).text.split())
    assert "So €290.00 less is due to you. Nothing is debited from your account" in text
    assert "This correction: −€290.00" in text


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


@pytest.mark.parametrize(
    "event",
    [
        tier(phase=Phase.FINAL),
        payout(PayoutStatus.PAYABLE),
        payout(PayoutStatus.HELD),
        payout(PayoutStatus.NETTED),
        payout(PayoutStatus.PAID),
        payout(PayoutStatus.UNKNOWN),
        payout(PayoutStatus.WAITING, amount=-500),
        close(CloseKind.UNKNOWN),
    ],
)
def test_what_a_partner_need_not_know_is_no_mail(event: Told) -> None:
    assert kind_of(event) is None


@given(name=st.text(max_size=80).map(str.strip))
@settings(deadline=None, max_examples=40)
def test_any_name_stands_in_the_html_as_itself(name: str) -> None:
    seen, tags = _read(mail_about(tier(), name).html)
    assert " ".join(f"Hello {name},".split()) in seen or not name
    assert tags == _read(mail_about(tier(), "plain").html)[1]
