"""How mails speak: what ``services.kit.speech`` can say, and changes with their sign."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from schemas.values import Quarter
from services.kit.speech import Speech, catalogue, locale_for, spoken

TEXTS = Path(__file__).parent / "texts"


class Voice(Speech):
    """One language, with the habits of one country."""

    def money(self, minor: int, currency: str) -> str:
        """An amount of minor units."""
        return self.amount(minor, currency)

    def change(self, units: int) -> str:
        """A change of units, with its sign: ``+5 units``."""
        return _sign(units) + self.units(abs(units))

    def money_change(self, minor: int, currency: str) -> str:
        """A change of an amount, with its sign."""
        return _sign(minor) + self.money(abs(minor), currency)

    def quarter(self, name: str) -> str:
        """``2026Q4``, in words."""
        quarter = Quarter.parse(name)
        return self.say("Q{quarter} {year}", quarter=quarter.number, year=quarter.year)


def _sign(change: int) -> str:
    return "+" if change > 0 else "\N{MINUS SIGN}" if change < 0 else "\N{PLUS-MINUS SIGN}"


@lru_cache(1000)
def voice_for(language: str, country: str, zone: ZoneInfo) -> Voice:
    """The voice for a partner. English if his language is not spoken here."""
    chosen = spoken(TEXTS, language)
    return Voice(locale_for(chosen, country), zone, catalogue(TEXTS, chosen))
