"""The programme as data: tiers, products, countries, dates; which terms are in force for a quarter."""

from __future__ import annotations

import hashlib
import re
import tomllib
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from schemas.values import Quarter


class ProgrammeError(ValueError):
    """The programme file says something that can't be."""


class Tier(msgspec.Struct, frozen=True):
    """From ``units`` on, each unit of the quarter earns ``rate_minor``."""

    units: int
    rate_minor: int


class VatTreatment(StrEnum):
    """What a rebate is for value added tax, by who supplied the partner and from where."""

    DIRECT_DOMESTIC = "direct_domestic"
    """The vendor supplied the partner, both in one country: the rebate contains tax."""
    CHAIN_DOMESTIC = "chain_domestic"
    """The same through a distributor, the whole chain taxed in that country: the rebate contains tax."""
    CHAIN_FOREIGN = "chain_foreign"
    """The vendor supplied the distributor from another member state: nothing to correct for the partner."""
    NON_EU = "non_eu"
    NONE = "none"
    """Not agreed."""


_TAXED = (VatTreatment.DIRECT_DOMESTIC, VatTreatment.CHAIN_DOMESTIC)
_RATE = re.compile(r"\d{1,2}(\.\d{1,2})?")


class Vat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the rebates of a country's partners are treated. ``rate`` is in per cent, like ``19`` or ``8.1``."""

    treatment: VatTreatment = VatTreatment.NONE
    rate: str = ""

    @property
    def rate_hundredths(self) -> int:
        """The rate in hundredths of a per cent; 0 where no tax is contained."""
        whole, _, rest = self.rate.partition(".")
        return int(whole or 0) * 100 + int(rest.ljust(2, "0"))


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version of the terms."""

    version: str
    valid_from: date
    currency: str
    countries: frozenset[str]
    grace_days: int
    horizon_days: int
    tiers: tuple[Tier, ...]
    vat: dict[str, Vat] = {}
    """By country."""

    def vat_for(self, country: str) -> Vat:
        """How a rebate to a partner of this country is treated."""
        return self.vat.get(country, Vat())

    def tier_for(self, units: int) -> Tier:
        """The tier that so many units reach."""
        reached = self.tiers[0]
        for tier in self.tiers:
            if tier.units > units:
                break
            reached = tier
        return reached

    def rebate_minor(self, units: int) -> int:
        """The rebate of a quarter, in minor units: all units at the rate of the tier reached (rule 2).

        The only place where a rebate is computed: stream, payout and portal call this.
        """
        return units * self.tier_for(units).rate_minor

    def next_tier(self, units: int) -> NextTier | None:
        """The tier above, or None at the top."""
        above = next((tier for tier in self.tiers if tier.units > units), None)
        if above is None:
            return None
        gain = self.rebate_minor(above.units) - self.rebate_minor(units)
        return NextTier(above.units, above.rate_minor, above.units - units, gain)


class NextTier(msgspec.Struct, frozen=True):
    """What it takes to reach the next tier, and what it brings: the rebate there less the rebate now."""

    threshold: int
    rate_minor: int
    units_missing: int
    gain_minor: int


class Product(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A product on the list, from its first to its last day."""

    id: str
    name: str
    valid_from: date
    valid_to: date | None = None

    def on_list(self, day: date) -> bool:
        """Whether a sale on this day counts."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


class Programme(msgspec.Struct, frozen=True, forbid_unknown_fields=True, eq=False):
    """A rebate programme with all versions of its terms. Build it with ``parse``; equal only to itself."""

    id: str
    name: str
    time_zone: str
    terms: tuple[Terms, ...]
    products: tuple[Product, ...]
    hash: str = ""
    """Hash of the file's content, to notice a change."""

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which days of the programme begin and end."""
        return ZoneInfo(self.time_zone)

    def terms_for(self, quarter: Quarter) -> Terms:
        """The terms in force on the quarter's first day; before the first version, the first (rule 9)."""
        return self.dates(quarter).terms

    def dates(self, quarter: Quarter) -> QuarterDates:
        """What the programme says of a quarter."""
        return _dates(self, quarter)

    def product(self, product_id: str) -> Product | None:
        """The product with this id, if it ever was on the list."""
        return _products(self).get(product_id)

    def starts_at(self, day: date) -> datetime:
        """The instant at which a day begins in programme time."""
        return datetime.combine(day, time(), self.zone)


class QuarterDates(NamedTuple):
    """What a programme says of one quarter."""

    name: str
    terms: Terms
    covered: bool
    """Whether the programme ran in this quarter."""
    provisional_at: datetime
    """When the quarter ends and its provisional close is due."""
    final_at: datetime
    """When the grace period is over and the final close is due."""
    horizon_at: datetime
    """From when on nothing changes the quarter any more."""


@cache
def _dates(programme: Programme, quarter: Quarter) -> QuarterDates:
    # Asked for every sale; a programme knows few quarters.
    terms = programme.terms[0]
    for later in programme.terms:
        if later.valid_from <= quarter.first_day:
            terms = later
    end = quarter.next.first_day
    return QuarterDates(
        name=str(quarter),
        terms=terms,
        covered=programme.terms[0].valid_from <= quarter.last_day,
        provisional_at=programme.starts_at(end),
        final_at=programme.starts_at(end + timedelta(days=terms.grace_days)),
        horizon_at=programme.starts_at(end + timedelta(days=terms.horizon_days)),
    )


@cache
def _products(programme: Programme) -> dict[str, Product]:
    return {product.id: product for product in programme.products}


def parse(text: str) -> Programme:
    """Read a programme file. Raises ProgrammeError naming what is wrong."""
    try:
        raw: dict[str, Any] = tomllib.loads(text)
        programme = msgspec.convert(raw, Programme)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ProgrammeError(str(error)) from None
    _check(programme)
    return msgspec.structs.replace(programme, hash=hashlib.sha256(text.encode()).hexdigest()[:16])


def _check(programme: Programme) -> None:
    def refuse_unless(fact: bool, message: str) -> None:
        if not fact:
            raise ProgrammeError(message)

    refuse_unless(bool(programme.id) and "/" not in programme.id, "id: must be there, and hold no slash")
    refuse_unless(bool(programme.terms), "there are no [[terms]]")
    refuse_unless(bool(programme.products), "there are no [[products]]")
    try:
        _ = programme.zone
    except (ZoneInfoNotFoundError, ValueError):
        raise ProgrammeError(f"time_zone: there is no zone {programme.time_zone!r}") from None
    starts = [terms.valid_from for terms in programme.terms]
    refuse_unless(starts == sorted(set(starts)), "[[terms]] must be in the order of valid_from, each once")
    versions = {terms.version for terms in programme.terms}
    refuse_unless(len(versions) == len(programme.terms), "each of the [[terms]] needs a version of its own")
    for terms in programme.terms:
        where = f"terms {terms.version}: "
        units = [tier.units for tier in terms.tiers]
        refuse_unless(bool(units) and units[0] == 0, where + "the first tier must begin at 0 units")
        refuse_unless(units == sorted(set(units)), where + "tiers must rise, each threshold once")
        refuse_unless(all(tier.rate_minor >= 0 for tier in terms.tiers), where + "a rate can't be below zero")
        refuse_unless(len(terms.currency) == 3 and terms.currency.isupper(), where + "currency must be like EUR")
        refuse_unless(0 <= terms.grace_days <= terms.horizon_days, where + "grace_days must lie within horizon_days")
        for country, vat in terms.vat.items():
            refuse_unless(country in terms.countries, where + f"vat: {country} is none of the countries")
            if vat.treatment in _TAXED:
                right = _RATE.fullmatch(vat.rate) is not None
                refuse_unless(right, where + f'vat of {country}: the rate must be in per cent, like "19" or "8.1"')
            else:
                refuse_unless(not vat.rate, where + f"vat of {country}: there is no rate where no tax is contained")
    ids = [product.id for product in programme.products]
    refuse_unless(len(ids) == len(set(ids)), "a product is listed twice")
    for product in programme.products:
        refuse_unless(
            product.valid_to is None or product.valid_from <= product.valid_to,
            f"product {product.id}: valid_to lies before valid_from",
        )
