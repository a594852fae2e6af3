"""How the pages speak: sentences, amounts and dates in a reader's language.

English is written where it is used; every other language is a catalogue ``texts/<language>.po``, read as it is.
"""

from __future__ import annotations

import gettext
import io
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal, get_currency_precision

from schemas.values import Quarter

TEXTS = Path(__file__).parent / "texts"
LANGUAGES = ("en", *sorted(path.stem for path in TEXTS.glob("*.po")))
_DEFAULT = Locale("en", "GB")  # day before month, as everywhere else in the programme's countries


@dataclass(frozen=True, slots=True)
class Voice:
    """One language, with the habits of one country."""

    locale: Locale
    zone: ZoneInfo
    catalogue: gettext.NullTranslations

    @property
    def language(self) -> str:
        """For the page's ``lang``."""
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
        return format_decimal(number, locale=self.locale)

    def money(self, minor: int, currency: str) -> str:
        """An amount as said in a sentence: without decimals where they are zero."""
        digits = get_currency_precision(currency)
        if minor % 10**digits:
            return self.amount(minor, currency)
        pattern = self.locale.currency_formats["standard"].pattern.replace(".00", "")
        return format_currency(
            Decimal(minor).scaleb(-digits), currency, pattern, locale=self.locale, currency_digits=False
        )

    def amount(self, minor: int, currency: str) -> str:
        """An amount as written in a statement."""
        amount = Decimal(minor).scaleb(-get_currency_precision(currency))
        return format_currency(amount, currency, locale=self.locale).replace("-", "\N{MINUS SIGN}")

    def day(self, day: date) -> str:
        return format_date(day, "long", self.locale)

    def short_date(self, day: date) -> str:
        """Day and month: the year is known from the quarter."""
        return format_date(day, "d MMM", self.locale)

    def short_iso(self, day: str) -> str:
        """The same from a date as it is kept in JSON."""
        return self.short_date(date.fromisoformat(day))

    def local_day(self, instant: datetime) -> date:
        """The day of an instant in the programme's time zone."""
        return instant.astimezone(self.zone).date()

    def month(self, day: date) -> str:
        return format_date(day, "LLL", self.locale)

    def moment(self, instant: datetime) -> str:
        """Date and time of day, in the programme's time zone."""
        local = instant.astimezone(self.zone)
        return f"{self.day(local.date())}, {format_time(local, 'short', locale=self.locale)}"

    def short_moment(self, instant: datetime) -> str:
        """The same without the year."""
        local = instant.astimezone(self.zone)
        return f"{self.short_date(local.date())}, {format_time(local, 'short', locale=self.locale)}"

    def quarter(self, quarter: Quarter) -> str:
        """``Q4 2026``."""
        return self.say("Q{number} {year}", number=quarter.number, year=quarter.year)

    def country(self, code: str) -> str:
        """A country's name, or its code if there is none."""
        return str(self.locale.territories.get(code, code))


def voice_for(language: str, country: str, zone: ZoneInfo) -> Voice:
    """The voice for a partner: his language if there is a catalogue for it, else English."""
    spoken = language if language in LANGUAGES else "en"
    return Voice(_locale(spoken, country), zone, _catalogue(spoken))


def voice_for_header(accept_language: str, zone: ZoneInfo) -> Voice:
    """The voice for somebody unknown: the first language of his browser that there is a catalogue for."""
    for part in accept_language.split(","):
        language = part.split(";")[0].strip().split("-")[0].lower()
        if language in LANGUAGES:
            return voice_for(language, "", zone)
    return voice_for("en", "", zone)


@lru_cache(maxsize=256)
def _locale(language: str, country: str) -> Locale:
    try:
        return Locale(language, country) if country else (Locale(language) if language != "en" else _DEFAULT)
    except (UnknownLocaleError, ValueError):
        return Locale(language) if language != "en" else _DEFAULT


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    if language == "en":
        return gettext.NullTranslations()
    with (TEXTS / f"{language}.po").open("rb") as source:
        catalogue = read_po(source, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
