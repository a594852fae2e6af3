"""A made-up quarter: who the partners are, what is reported of them and when, with everything that goes wrong in life.

Pure and seeded: the same seed gives the same quarter, byte for byte. Nothing here knows what the right result is; that
is ``recount``'s business.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import cycle, pairwise
from random import Random
from typing import NamedTuple

from schwifty import IBAN

from deploy.demo import names
from schemas.events import Partner
from schemas.values import Quarter

QUARTER = Quarter(2026, 4)
OPENS = datetime(2026, 10, 1, 0, 0, tzinfo=UTC)
"""Where the shown clock begins: two hours into the quarter in Berlin."""
ENDED = datetime(2026, 12, 31, 23, 0, tzinfo=UTC)
"""The provisional close, midnight in Berlin."""
FINAL = datetime(2027, 1, 28, 23, 0, tzinfo=UTC)
"""The final close, 28 days later."""
LAST_REPORT = FINAL - timedelta(days=5)
"""The distributors' last report before the final close."""
FORGOTTEN_REPORT = datetime(2027, 2, 1, 6, 0, tzinfo=UTC)
"""When a distributor finds a week that he never sent."""
LATE_RETURN = datetime(2027, 2, 4, 9, 0, tzinfo=UTC)
"""When a unit comes back that has been paid for."""
CURTAIN = datetime(2027, 2, 9, 18, 0, tzinfo=UTC)

PARTNERS_MIN, PARTNERS_MAX = 60, 5000
TOPSELLERS = tuple(f"TS-{n}00" for n in range(1, 10))
_POPULAR = (14, 20, 12, 5, 8, 6, 9, 16, 10)
EDGES = (9, 10, 24, 25, 49, 50)
"""Units at which a threshold is just missed or just reached."""
DISTRIBUTORS = {"nordwerk": "NW", "alpina-it": "AL", "meridian": "MD", "delta-supply": "DS", "kontor-digital": "KD"}


class Role(StrEnum):
    """The part a partner plays."""

    ORDINARY = "ordinary"
    EDGE = "edge"
    """Lands exactly on one of EDGES."""
    CLAWBACK = "clawback"
    """Is paid for 50 units; then one comes back."""
    LIFTED = "lifted"
    """Ends with 9 units, until the forgotten report brings the tenth."""
    LATECOMER = "latecomer"
    """Sells at once, registers weeks later."""
    LEAVER = "leaver"
    """Leaves the programme in December and goes on selling."""
    OUTSIDE = "outside"
    """Registered in a country without the programme."""
    STRANGER = "stranger"
    """Never registers."""


class Actor(NamedTuple):
    """A partner, his part, and how many units he is going to sell in the quarter."""

    partner: Partner
    role: Role
    units: int

    @property
    def id(self) -> str:
        return self.partner.partner_id


class BankDetails(NamedTuple):
    """Where a partner's money goes."""

    partner_id: str
    account_holder: str
    iban: str


class Cast(NamedTuple):
    """Everybody who appears."""

    actors: tuple[Actor, ...]
    bank_details: tuple[BankDetails, ...]


def cast(random: Random, number: int) -> Cast:
    """Invent ``number`` partners, each with a part to play, and most of them with a bank account."""
    taken: set[str] = set()
    edges = cycle(EDGES)
    actors = []
    for index, role in enumerate(_roles(random, number)):
        country = names.OUTSIDE_COUNTRY if role is Role.OUTSIDE else _country(random)
        land = names.LANDS.get(country, names.OUTSIDE)
        name, email = names.reseller(random, land, taken)
        registered = _registered_on(random, role)
        partner = Partner(f"P{10001 + index}", name, email, land.language, country, registered)
        actors.append(Actor(partner, role, next(edges) if role is Role.EDGE else _units(random, role)))
    return Cast(tuple(actors), tuple(_bank_details(random, actors)))


def _roles(random: Random, number: int) -> list[Role]:
    edges = len(EDGES) * max(1, number // 60)
    roles = (
        [Role.EDGE] * edges
        + [Role.CLAWBACK, Role.LIFTED, Role.LEAVER]
        + [Role.LATECOMER] * max(3, number // 25)
        + [Role.OUTSIDE] * 2
        + [Role.STRANGER] * 3
    )
    roles += [Role.ORDINARY] * (number - len(roles))
    random.shuffle(roles)
    return roles


def _country(random: Random) -> str:
    return random.choices(list(names.LANDS), [land.weight for land in names.LANDS.values()])[0]


def _registered_on(random: Random, role: Role) -> date:
    if role is Role.LATECOMER:
        return date(2026, 11, 2) + timedelta(days=random.randrange(75))
    return QUARTER.first_day  # the programme begins: nobody is told of quarters before it


def _units(random: Random, role: Role) -> int:
    """Few sell much and many sell little."""
    if role in (Role.CLAWBACK, Role.LIFTED):
        return {Role.CLAWBACK: 50, Role.LIFTED: 9}[role]
    low, high = random.choices(((0, 0), (1, 9), (10, 24), (25, 49), (50, 90), (110, 260)), (9, 36, 27, 16, 9, 3))[0]
    return random.randint(low, high) if role is Role.ORDINARY else max(12, random.randint(low, high))


def _bank_details(random: Random, actors: list[Actor]) -> list[BankDetails]:
    found = []
    for actor in actors:
        forgot = random.random() < 0.06 and actor.role not in (Role.CLAWBACK, Role.LIFTED)
        if actor.role in (Role.STRANGER, Role.OUTSIDE) or forgot:
            continue
        iban = IBAN.random(country_code=actor.partner.country, random=random)
        found.append(BankDetails(actor.id, actor.partner.name, str(iban)))
    return found


class Calendar:
    """On which days people buy, and when a distributor reports it."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._days = [QUARTER.first_day + timedelta(days=n) for n in range(92)]
        self._weights = [self._weight(day) for day in self._days]

    @staticmethod
    def _weight(day: date) -> float:
        if (day.month, day.day) in ((12, 24), (12, 25), (12, 26), (12, 31)):
            return 0.1
        weekday = (1.0, 1.1, 1.1, 1.0, 0.9, 0.3, 0.05)[day.weekday()]
        return weekday * (0.6 + day.timetuple().tm_yday / 366)  # the year's budgets are spent at its end

    def day_of_sale(self, first: date = QUARTER.first_day, last: date = QUARTER.last_day) -> date:
        """A day of the quarter between two."""
        chosen = [(d, w) for d, w in zip(self._days, self._weights, strict=True) if first <= d <= last]
        return self._random.choices([d for d, _ in chosen], [w for _, w in chosen])[0]

    def report_of(self, day: date, reporter: str) -> datetime:
        """When a sale of that day is reported: by most every week on their weekday, now and then weeks later."""
        weekday = list(DISTRIBUTORS).index(reporter)
        wait = (weekday - day.weekday() - 1) % 7 + 1
        if self._random.random() < 0.45:
            wait = 1  # some of their branches report every night
        elif self._random.random() < 0.07:
            wait += 7 * self._random.randint(2, 4)
        return self.sent_on(day + timedelta(days=wait))

    def sent_on(self, day: date) -> datetime:
        """An instant of that day, not later than the last report before the final close."""
        at = datetime(day.year, day.month, day.day, 3, tzinfo=UTC) + timedelta(
            seconds=self._random.randrange(14 * 3600)
        )
        return min(at, LAST_REPORT - timedelta(seconds=self._random.randrange(3 * 86_400)))


def portions(random: Random, units: int) -> list[int]:
    """Break a partner's units into sales: the more he sells, the larger they are."""
    largest = max(2, min(24, units // 6))
    cuts = [0]
    while cuts[-1] < units:
        step = 1 if random.random() < 0.45 else random.randint(1, largest)
        cuts.append(min(units, cuts[-1] + step))
    return [after - before for before, after in pairwise(cuts)]


def product(random: Random) -> str:
    """A Topseller, some more popular than others."""
    return random.choices(TOPSELLERS, _POPULAR)[0]
