"""How a service speaks: sentences, amounts and dates in a reader's language, with the habits of his country.

English is written where it is used; every other language is a catalogue ``<language>.po`` in the service's folder of
texts, read as it is.
"""

from __future__ import annotations

import gettext
import io
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal, get_currency_precision

ENGLISH = "en"
LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pt")
"""What a reader can choose to be spoken to in, everywhere alike."""
_AT_HOME = {
    ENGLISH: Locale(ENGLISH, "GB"),  # day before month, as everywhere else in the programme's countries
    "pt": Locale("pt", "PT"),  # else Brazil's
}


def known_language(chosen: str) -> str:
    """A language that a topic names, if it can be chosen; else nothing, as if none had been."""
    return chosen if chosen in LANGUAGES else ""


@dataclass(frozen=True, slots=True)
class Speech:
    """One language, with the habits of one country. A service adds the phrases of its own."""

    locale: Locale
    zone: ZoneInfo
    catalogue: gettext.NullTranslations

    @property
    def language(self) -> str:
        """Its code, like ``de``."""
        return str(self.locale.language)

    def say(self, sentence: str, **facts: object) -> str:
        """A sentence, with its ``{facts}``."""
        return self.catalogue.gettext(sentence).format(**facts)

    def count(self, one: str, many: str, number: int, **facts: object) -> str:
        """A sentence about ``{number}`` things."""
        return self.catalogue.ngettext(one, many, number).format(number=self.number(number), **facts)

    def units(self, number: int) -> str:
        """``1 unit``, ``48 units``."""
        return self.count("{number} unit", "{number} units", number)

    def number(self, number: int) -> str:
        return _number(number, self.locale)

    def amount(self, minor: int, currency: str) -> str:
        """An amount of minor units, as written in the reader's country."""
        return _amount(minor, currency, self.locale)

    def date(self, day: date) -> str:
        return formatted_date(day, "long", self.locale)

    def moment(self, instant: datetime) -> str:
        """Date and time of day, in the programme's time zone."""
        local = instant.astimezone(self.zone)
        return f"{self.date(local.date())}, {time_of_day(local.hour, local.minute, self.locale)}"


# What is formatted is kept: to format an amount takes as long as all of a mail's HTML, to format the days of a page as
# long as to find them, and a programme knows few of either.
_kept = lru_cache(10_000)


@_kept
def _number(number: int, locale: Locale) -> str:
    return format_decimal(number, locale=locale)


@_kept
def formatted_date(day: date, form: str, locale: Locale) -> str:
    """A date in one of Babel's forms, or by a pattern."""
    return format_date(day, form, locale)


@_kept
def time_of_day(hour: int, minute: int, locale: Locale) -> str:
    """Hour and minute as said in the reader's country."""
    return format_time(time(hour, minute), "short", locale=locale)


@_kept
def _amount(minor: int, currency: str, locale: Locale) -> str:
    amount = Decimal(minor).scaleb(-get_currency_precision(currency))
    return format_currency(amount, currency, locale=locale).replace("-", "\N{MINUS SIGN}")


@cache
def languages(texts: Path) -> frozenset[str]:
    """The languages that are spoken: English, and each that has a catalogue, or a folder of them, in this folder."""
    return frozenset({ENGLISH, *(path.stem for path in texts.iterdir() if path.is_dir() or path.suffix == ".po")})


@cache
def locale_for(language: str, country: str) -> Locale:
    """The locale of a language in a country; a country that is not known is ignored."""
    try:
        return Locale.parse(f"{language}_{country.upper()}")
    except (UnknownLocaleError, ValueError):
        return _AT_HOME.get(language) or Locale(language)


@cache
def catalogue(texts: Path, language: str) -> gettext.NullTranslations:
    """The sentences of a language."""
    if language == ENGLISH:
        return gettext.NullTranslations()
    compiled, sentences = io.BytesIO(), Catalog(locale=language)
    for path in catalogues(texts, language):
        with path.open("rb") as file:
            for message in read_po(file, locale=language):
                sentences[message.id] = message
    write_mo(compiled, sentences)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def catalogues(texts: Path, language: str) -> list[Path]:
    """The files that hold a language's sentences: one, or a folder of one for each part of the product."""
    return sorted((texts / language).glob("*.po")) or [texts / f"{language}.po"]


def spoken(texts: Path, language: str) -> str:
    """The language to speak to somebody who asked for this one: that, or English."""
    wanted = language.replace("_", "-").split("-")[0].strip().lower()
    return wanted if wanted in languages(texts) else ENGLISH
