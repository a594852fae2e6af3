"""Whether bank details can be right: IBAN, BIC, address. Pure; no message repeats what it refuses."""

from __future__ import annotations

import re
from typing import NamedTuple

from schwifty import BIC, IBAN
from schwifty.exceptions import (
    InvalidChecksumDigits,
    InvalidCountryCode,
    InvalidLength,
    SchwiftyException,
)

from schemas.values import PARTNER_ID

HOLDER_LENGTH_MAX = 140
TOWN_LENGTH_MAX = 35
_COUNTRY = re.compile(r"[A-Z]{2}")
# Parts of a country whose banks have a BIC of their own country code, and its IBANs.
_PARTS = {"FR": {"BL", "GF", "GP", "MF", "MQ", "NC", "PF", "PM", "RE", "WF", "YT"}, "GB": {"GG", "IM", "JE"}}


class Row(NamedTuple):
    """One row of an import, as read. What is empty at the end was not said."""

    partner_id: str
    account_holder: str
    iban: str
    bic: str = ""
    town: str = ""
    country: str = ""


class Checked(NamedTuple):
    """A row that can be right."""

    account_holder: str
    iban: IBAN
    bic: str
    town: str
    country: str


class BadDetails(ValueError):
    """The details can't be right. ``code`` is fit for a rejects file."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def check(row: Row) -> Checked:
    """The row's meaning. Raises BadDetails."""
    if not PARTNER_ID.fullmatch(row.partner_id):
        raise BadDetails("bad-partner-id", "the partner id must be 1 to 64 of A-Z a-z 0-9 . _ -")
    holder = " ".join(row.account_holder.split())
    if not holder or not row.account_holder.strip().isprintable() or len(holder) > HOLDER_LENGTH_MAX:
        raise BadDetails("bad-holder", f"the account holder must be 1 to {HOLDER_LENGTH_MAX} printable characters")
    iban = _iban("".join(row.iban.split()).upper())
    town, country = " ".join(row.town.split()), row.country.strip().upper()
    if bool(town) != bool(country):
        raise BadDetails("bad-address", "town and country are given both or not at all")
    if country and not _COUNTRY.fullmatch(country):
        raise BadDetails("bad-address", "the country is not a two-letter ISO code")
    if not town.isprintable() or len(town) > TOWN_LENGTH_MAX:
        raise BadDetails("bad-address", f"the town must be 1 to {TOWN_LENGTH_MAX} printable characters")
    return Checked(holder, iban, _bic("".join(row.bic.split()).upper(), iban), town, country)


def _iban(text: str) -> IBAN:
    if not text:
        raise BadDetails("bad-iban", "the IBAN is missing")
    try:
        return IBAN(text)
    except InvalidCountryCode:
        raise BadDetails("bad-iban", "the IBAN begins with no country that has IBANs") from None
    except InvalidLength:
        raise BadDetails("bad-iban", "the IBAN has not the length of its country's") from None
    except InvalidChecksumDigits:
        raise BadDetails("bad-iban", "the IBAN's check digits don't fit: a digit is wrong or two are swapped") from None
    except SchwiftyException:
        raise BadDetails("bad-iban", "this is not an IBAN") from None


def _bic(text: str, iban: IBAN) -> str:
    if not text:
        return ""
    try:
        bic = BIC(text)
    except SchwiftyException:
        raise BadDetails("bad-bic", "this is not a BIC: it has 8 or 11 letters and digits") from None
    if bic.country_code not in {iban.country_code, *_PARTS.get(iban.country_code, ())}:
        raise BadDetails("bad-bic", "BIC and IBAN are of different countries")
    banks = _banks_of(iban)
    if banks and bic.bank_code not in banks:
        raise BadDetails("bad-bic", "the BIC is not that of the IBAN's bank")
    return str(bic)


def _banks_of(iban: IBAN) -> set[str]:
    """The bank codes in the BICs of the IBAN's bank; empty if its country's banks are not known."""
    try:
        return {known.bank_code for known in BIC.candidates_from_bank_code(iban.country_code, iban.bank_code)}
    except SchwiftyException:
        return set()
