"""How the service speaks: sentences, amounts and dates in a partner's language.

English is written in the code; every other language is a catalogue ``texts/<language>.po``, read as it is.
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
_DEFAULT = Locale("en", "GB")  # day before month, as everywhere else in the programme's countries


@dataclass(frozen=True, slots=True)
class Voice:
    """One language, with the habits of one country."""

    locale: Locale
    zone: ZoneInfo
    catalogue: gettext.NullTranslations

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
        """An amount of minor units, as written in the partner's country."""
        amount = Decimal(minor).scaleb(-get_currency_precision(currency))
        return format_currency(amount, currency, locale=self.locale)

    def change(self, units: int) -> str:
        """A change of units, with its sign: ``+5 units``."""
        return _sign(units) + self.units(abs(units))

    def money_change(self, minor: int, currency: str) -> str:
        """A change of an amount, with its sign."""
        return _sign(minor) + self.money(abs(minor), currency)

    def date(self, day: date) -> str:
        return format_date(day, "long", self.locale)

    def moment(self, instant: datetime) -> str:
        """Date and time of day, in the programme's time zone."""
        local = instant.astimezone(self.zone)
        return f"{self.date(local.date())}, {format_time(local, 'short', locale=self.locale)}"

    def quarter(self, name: str) -> str:
        """``2026Q4``, in words."""
        quarter = Quarter.parse(name)
        return self.say("Q{quarter} {year}", quarter=quarter.number, year=quarter.year)


def _sign(change: int) -> str:
    return "+" if change > 0 else "\N{MINUS SIGN}" if change < 0 else "\N{PLUS-MINUS SIGN}"


@lru_cache(1000)
def voice_for(language: str, country: str, zone: ZoneInfo) -> Voice:
    """The voice for a partner. English if his language is not spoken here; a country Babel doesn't know is ignored."""
    spoken = language.replace("_", "-").split("-")[0].lower()
    if spoken != _DEFAULT.language and spoken not in languages():
        spoken = _DEFAULT.language
    return Voice(_locale(spoken, country.upper()), zone, _catalogue(spoken))


@cache
def languages() -> frozenset[str]:
    """The languages that have a catalogue."""
    return frozenset(path.stem for path in TEXTS.glob("*.po"))


def _locale(language: str, country: str) -> Locale:
    try:
        return Locale.parse(f"{language}_{country}")
    except (UnknownLocaleError, ValueError):
        return _DEFAULT if language == _DEFAULT.language else Locale(language)


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    if language not in languages():
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    with (TEXTS / f"{language}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
