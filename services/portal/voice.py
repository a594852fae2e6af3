"""How the pages speak: what ``services.kit.speech`` can say, and shorter forms for tables and charts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from babel.numbers import format_currency, get_currency_precision

from schemas.events import LineStatus
from schemas.values import Quarter
from services.kit.speech import (
    ENGLISH,
    Speech,
    catalogue,
    formatted_date,
    languages,
    locale_for,
    spoken,
    time_of_day,
)

TEXTS = Path(__file__).parent / "texts"


class Voice(Speech):
    """One language, with the habits of one country."""

    def money(self, minor: int, currency: str) -> str:
        """An amount as said in a sentence: without decimals where they are zero."""
        digits = get_currency_precision(currency)
        if minor % 10**digits:
            return self.amount(minor, currency)
        pattern = self.locale.currency_formats["standard"].pattern.replace(".00", "")
        return format_currency(
            Decimal(minor).scaleb(-digits), currency, pattern, locale=self.locale, currency_digits=False
        )

    def less(self, number: int) -> str:
        """A number that is taken off."""
        return self.change(-number)

    def change(self, number: int) -> str:
        """A number with its sign; none if it is zero."""
        return _signed(self.number(abs(number)), number)

    def amount_change(self, minor: int, currency: str) -> str:
        """An amount with its sign."""
        return _signed(self.amount(abs(minor), currency), minor)

    def short_date(self, day: date) -> str:
        """Day and month: the year is known from the quarter."""
        return formatted_date(day, "d MMM", self.locale)

    def short_iso(self, day: str) -> str:
        """The same from a date as it is kept in JSON."""
        return self.short_date(date.fromisoformat(day))

    def local_day(self, instant: datetime) -> date:
        """The day of an instant in the programme's time zone."""
        return instant.astimezone(self.zone).date()

    def month(self, day: date) -> str:
        return formatted_date(day, "LLL", self.locale)

    def short_moment(self, instant: datetime) -> str:
        """The same without the year."""
        local = instant.astimezone(self.zone)
        return f"{self.short_date(local.date())}, {time_of_day(local.hour, local.minute, self.locale)}"

    def quarter(self, quarter: Quarter) -> str:
        """``Q4 2026``."""
        return self.say("Q{number} {year}", number=quarter.number, year=quarter.year)

    def quarters(self, names: Iterable[str]) -> str:
        """Some quarters in a row."""
        return ", ".join(self.quarter(Quarter.parse(name)) for name in names)

    def verdict(self, status: str) -> str:
        """What became of a sale, in a word or two."""
        match status:
            case LineStatus.COUNTED:
                return self.say("Counted")
            case LineStatus.PENDING:
                return self.say("Waiting")
            case LineStatus.REJECTED:
                return self.say("Not counted")
            case LineStatus.RETURNED:
                return self.say("Returned")
        return status

    def reporter(self, reported_by: str) -> str:
        """Who reported a sale: for our own ways in there are words, everybody else is called as he calls himself."""
        match reported_by:
            case "claim":
                return self.say("You, by a claim")
            case "staff" | "by hand" | "sales import":
                return self.say("The vendor")
        return reported_by

    def country(self, code: str) -> str:
        """A country's name, or its code if there is none."""
        return str(self.locale.territories.get(code, code))


def _signed(text: str, number: int) -> str:
    sign = "\N{MINUS SIGN}" if number < 0 else "+" if number else ""
    return sign + text


def own_name(language: str) -> str:
    """What a language is called by those who speak it."""
    locale = Locale(language)
    return str(locale.languages.get(language, language)).capitalize()


def voice_for(language: str, country: str, zone: ZoneInfo) -> Voice:
    """The voice for a partner: his language if there is a catalogue for it, else English."""
    chosen = spoken(TEXTS, language)
    return Voice(locale_for(chosen, country), zone, catalogue(TEXTS, chosen))


def voice_for_header(accept_language: str, zone: ZoneInfo) -> Voice:
    """The voice for somebody unknown: the first language of his browser that is spoken here."""
    wanted = (part.split(";")[0].strip().split("-")[0].lower() for part in accept_language.split(","))
    return voice_for(next((language for language in wanted if language in languages(TEXTS)), ENGLISH), "", zone)
