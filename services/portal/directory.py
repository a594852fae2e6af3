"""The programme's partners, found by name, country or tier, or by how few units they lack: for the vendor's team."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, func, null, or_, select

from schemas.values import Quarter
from services.portal.exports import Cell, major
from services.portal.tables import partners, tallies
from services.portal.views import NotHere, read_quarter
from services.portal.voice import Voice
from streams.rules.terms import NextTier, Programme, Tier

PAGE_SIZE = 50
NEAR_UNITS = 3
"""How few units make a threshold near where the mails about it are turned off."""
_SEARCH_LENGTH_MAX = 100


class PartnersFilter(NamedTuple):
    """Which partners to list."""

    search: str = ""
    """Part of an id or of a name, upper or lower case."""
    country: str = ""
    tier: int | None = None
    """The threshold of the tier reached."""
    near_units: int = 0
    """Only whom at most so many units part from the next tier, the fewest first; 0: everybody, by id."""


@dataclass(frozen=True, slots=True)
class PartnersAddress:
    """What an address of the list asks for."""

    quarter: Quarter | None = None
    wanted: PartnersFilter = PartnersFilter()
    number: int = 1
    """Of the page, from 1; beyond the last one counts as the last."""

    def url(self, path: str = "/partners", page: int = 1, **changes: Any) -> str:
        """The address with something changed."""
        wanted = self.wanted._replace(**changes)
        facts = {
            "quarter": self.quarter,
            "q": wanted.search,
            "country": wanted.country,
            "tier": wanted.tier,
            "near": "1" if wanted.near_units else "",
            "page": page if page > 1 else "",
        }
        return path + "?" + urlencode({name: str(value) for name, value in facts.items() if value not in ("", None)})


def read_partners(parameters: Mapping[str, str], near_units: int) -> PartnersAddress:
    """Read the query of an address of the list. Raises NotHere for what no page of ours links to."""
    try:
        tier = int(parameters["tier"]) if parameters.get("tier") else None
        number = int(parameters.get("page") or 1)
    except ValueError:
        raise NotHere from None
    if not 0 < number < 10**9 or not (tier is None or 0 <= tier < 10**9):
        raise NotHere
    wanted = PartnersFilter(
        search=_cleaned(parameters.get("q", "")),
        country=_cleaned(parameters.get("country", "")),
        tier=tier,
        near_units=near_units if parameters.get("near") else 0,
    )
    return PartnersAddress(read_quarter(parameters), wanted, number)


class Standing(NamedTuple):
    """A partner and where he stands in the quarter."""

    partner: Row[Any]
    units: int
    tier: Tier
    rebate_minor: int
    next_tier: NextTier | None


class DirectoryPage(NamedTuple):
    """Some of the partners who are wanted."""

    standings: Sequence[Standing]
    total: int
    number: int
    pages: int


class Directory:
    """The partners with their standings of a quarter, on one connection."""

    def __init__(self, connection: Connection, programme: Programme, quarter: Quarter) -> None:
        self._connection, self._programme, self._quarter = connection, programme, quarter
        self._terms = programme.terms_for(quarter)
        self._units = func.coalesce(tallies.c.units, 0)

    def page(self, wanted: PartnersFilter, number: int = 1) -> DirectoryPage:
        """One page of the list."""
        query = self._wanted(wanted)
        count = query.with_only_columns(func.count(), maintain_column_froms=True)
        total = self._connection.execute(count).scalar_one()
        pages = max(1, -(-total // PAGE_SIZE))
        number = min(number, pages)
        rows = self._connection.execute(self._ordered(query, wanted).limit(PAGE_SIZE).offset((number - 1) * PAGE_SIZE))
        return DirectoryPage([self._standing(row) for row in rows], total, number, pages)

    def everybody(self, wanted: PartnersFilter) -> Iterator[Standing]:
        """The whole list, read while it is used."""
        query = self._ordered(self._wanted(wanted), wanted).execution_options(yield_per=1000)
        return (self._standing(row) for row in self._connection.execute(query))

    def countries(self) -> list[str]:
        """The countries that partners are in."""
        return sorted(self._connection.scalars(select(partners.c.country).distinct()))

    def _wanted(self, wanted: PartnersFilter) -> Select[Any]:
        standing = and_(
            tallies.c.partner_id == partners.c.partner_id,
            tallies.c.programme_id == self._programme.id,
            tallies.c.quarter == str(self._quarter),
        )
        query = select(partners, self._units.label("units")).join_from(partners, tallies, standing, isouter=True)
        if wanted.search:
            columns = (partners.c.partner_id, partners.c.name)
            query = query.where(or_(*(column.icontains(wanted.search, autoescape=True) for column in columns)))
        if wanted.country:
            query = query.where(partners.c.country == wanted.country)
        if wanted.tier is not None:
            query = query.where(func.coalesce(tallies.c.tier, 0) == wanted.tier)
        if wanted.near_units:
            query = query.where(tallies.c.units > 0, self._missing() <= wanted.near_units)
        return query

    def _ordered(self, query: Select[Any], wanted: PartnersFilter) -> Select[Any]:
        if wanted.near_units:
            query = query.order_by(self._missing(), tallies.c.units.desc())
        return query.order_by(partners.c.partner_id)

    def _missing(self) -> ColumnElement[int]:
        """The units up to the next threshold; nothing at the top."""
        thresholds = [tier.units for tier in self._terms.tiers if tier.units > 0]
        return case(*((tallies.c.units < units, units - tallies.c.units) for units in thresholds), else_=null())

    def _standing(self, row: Row[Any]) -> Standing:
        units, terms = int(row.units), self._terms
        return Standing(row, units, terms.tier_for(units), terms.rebate_minor(units), terms.next_tier(units))


@dataclass(frozen=True, slots=True)
class PartnersList:
    """All that the page of the partners shows."""

    programme: Programme
    address: PartnersAddress
    quarter: Quarter
    quarters: Sequence[Quarter]
    countries: Sequence[str]
    found: DirectoryPage

    @property
    def tiers(self) -> Sequence[Tier]:
        return self.programme.terms_for(self.quarter).tiers

    @property
    def currency(self) -> str:
        return self.programme.terms_for(self.quarter).currency


def table_header(voice: Voice) -> list[str]:
    """The columns of the list as a file."""
    return [
        voice.say("Partner number"),
        voice.say("Name"),
        voice.say("Country"),
        voice.say("Registered on"),
        voice.say("Left on"),
        voice.say("Units"),
        voice.say("Tier"),
        voice.say("Rebate"),
        voice.say("Units to the next tier"),
        voice.say("What it is worth"),
    ]


def table_rows(standings: Iterator[Standing], currency: str) -> Iterator[Sequence[Cell]]:
    """The list as a file, row by row."""
    for found in standings:
        partner, above = found.partner, found.next_tier
        yield (
            partner.partner_id,
            partner.name,
            partner.country,
            partner.registered_on,
            partner.left_on,
            found.units,
            found.tier.units,
            major(found.rebate_minor, currency),
            above.units_missing if above else None,
            major(above.gain_minor, currency) if above else None,
        )


def _cleaned(text: str) -> str:
    return text.replace("\0", "").strip()[:_SEARCH_LENGTH_MAX]
