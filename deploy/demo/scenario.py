"""The made-up quarter as a list of what is sent when: every partner's sales, and what goes wrong with some of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import NamedTuple

from msgspec.structs import replace

from deploy.demo.quarter import (
    CURTAIN,
    DISTRIBUTORS,
    ENDED,
    FORGOTTEN_REPORT,
    LAST_REPORT,
    LATE_RETURN,
    PARTNERS_MAX,
    PARTNERS_MIN,
    QUARTER,
    Actor,
    BankDetails,
    Calendar,
    Role,
    cast,
    portions,
    product,
)
from schemas.events import Partner, SaleReported, SaleReturned

Record = SaleReported | SaleReturned | Partner | bytes
_UNKNOWN_PRODUCTS = ("ACC-210", "TS-1000", "SRV-3Y", "TS-150", "MON-24")
_LEAVES_ON = date(2026, 12, 1)


class Moment(NamedTuple):
    """At this instant of the shown clock, this record is sent. Bytes go to ``sales`` as they are."""

    at: datetime
    key: str
    record: Record


class Scenario(NamedTuple):
    """A quarter, ready to be played."""

    actors: tuple[Actor, ...]
    bank_details: tuple[BankDetails, ...]
    moments: tuple[Moment, ...]
    """In the order of their instants."""

    @property
    def registered(self) -> tuple[Partner, ...]:
        """Those who are registered when it begins."""
        return tuple(a.partner for a in self.actors if a.role not in (Role.LATECOMER, Role.STRANGER))

    def named(self, role: Role) -> Actor:
        """The first who plays this part."""
        return next(actor for actor in self.actors if actor.role is role)


def make(seed: int, partners: int = 200) -> Scenario:
    """The quarter of this seed. ``partners`` lies between PARTNERS_MIN and PARTNERS_MAX."""
    if not PARTNERS_MIN <= partners <= PARTNERS_MAX:
        raise ValueError(f"partners must be between {PARTNERS_MIN} and {PARTNERS_MAX}")
    random = Random(seed)  # noqa: S311  # a play, no secret
    actors, bank_details = cast(random, partners)
    moments = _Reports(random).all_of(actors)
    return Scenario(actors, bank_details, tuple(sorted(moments, key=lambda m: (m.at, m.key))))


class _Reports:
    """Writes what the distributors send."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._calendar = Calendar(random)
        self._moments: list[Moment] = []
        self._numbers = dict.fromkeys(DISTRIBUTORS, 4000)
        self._serial = 100_000

    def all_of(self, actors: tuple[Actor, ...]) -> list[Moment]:
        """Every moment, in no order."""
        for actor in actors:
            self._registration(actor)
            sales = [self._sale(actor, quantity) for quantity in portions(self._random, actor.units)]
            if sales:
                self._harmless(actor, sales)
            if actor.role is Role.ORDINARY:
                self._next_quarter(actor)
        ordinary = [actor for actor in actors if actor.role is Role.ORDINARY]
        self._mishaps(ordinary)
        self._broken_bytes(ordinary)
        self._after_the_final_close(actors, ordinary)
        return self._moments

    # --- the ordinary --------------------------------------------------------------------------------------------

    def _registration(self, actor: Actor) -> None:
        partner = actor.partner
        if actor.role is Role.LATECOMER:
            self._send(self._calendar.sent_on(partner.registered_on), actor.id, partner)
        elif actor.role is Role.LEAVER:
            self._send(datetime(2026, 11, 27, 9, tzinfo=UTC), actor.id, replace(partner, left_on=_LEAVES_ON))

    def _sale(self, actor: Actor, quantity: int, day: date | None = None, at: datetime | None = None) -> Moment:
        """A sale and its report, which is sent."""
        reporter = self._random.choice(list(DISTRIBUTORS))
        day = day or self._calendar.day_of_sale()
        at = at or self._calendar.report_of(day, reporter)
        self._numbers[reporter] += self._random.randrange(1, 9)
        sale = SaleReported(
            sale_id=f"{DISTRIBUTORS[reporter]}-{day:%y%m}-{self._numbers[reporter]}",
            partner_id=actor.id,
            product_id=product(self._random),
            quantity=quantity,
            sold_on=day,
            reported_at=at - timedelta(minutes=self._random.randrange(5, 90)),
            serial_numbers=self._serials(quantity) if self._random.random() < 0.6 else (),
            reported_by=reporter,
        )
        return self._send(at, actor.id, sale)

    def _serials(self, quantity: int) -> tuple[str, ...]:
        first = self._serial
        self._serial += quantity
        return tuple(f"PF{number:07X}" for number in range(first, self._serial))

    def _next_quarter(self, actor: Actor) -> None:
        for _ in range(self._random.choice((0, 0, 0, 1, 1, 2))):
            day = QUARTER.next.first_day + timedelta(days=self._random.randrange(3, 36))
            at = datetime(day.year, day.month, day.day, 6, tzinfo=UTC) + timedelta(
                hours=24, seconds=self._random.randrange(36_000)
            )
            self._sale(actor, self._random.randint(1, 5), day, min(at, CURTAIN - timedelta(hours=6)))

    # --- what goes wrong -----------------------------------------------------------------------------------------

    def _harmless(self, actor: Actor, sales: list[Moment]) -> None:
        """What may happen to anybody, since it must not move a unit."""
        for sale in sales:
            if self._random.random() < 0.06:
                self._resend(sale)
        if self._random.random() < 0.18:
            day = self._calendar.day_of_sale()
            odd = self._sale(actor, self._random.randint(1, 4), day)
            self._moments.remove(odd)
            self._change(odd, product_id=self._random.choice(_UNKNOWN_PRODUCTS))

    def _resend(self, sale: Moment) -> None:
        """The same report again, a day to three weeks later."""
        later = min(sale.at + timedelta(hours=self._random.randrange(20, 500)), LAST_REPORT)
        again = max(later, sale.at + timedelta(hours=1))
        self._change(sale, at=again, reported_at=again - timedelta(minutes=9))

    def _mishaps(self, ordinary: list[Actor]) -> None:
        ids = {actor.id for actor in ordinary}
        early = [m for m in self._moments if m.key in ids and m.at < ENDED - timedelta(days=9)]
        quarter = [m for m in early if isinstance(m.record, SaleReported)]
        reports = Counter(_sale_of(m) for m in quarter)
        known = [m for m in quarter if reports[_sale_of(m)] == 1]
        victims = self._random.sample(known, k=min(len(known), max(40, len(known) // 12)))
        kinds: list[Callable[[Moment], None]] = [
            self._returned,
            self._returned,
            self._returned,
            self._returned_before_sale,
            self._returned_too_many,
            self._conflicting,
            self._conflicting,
            self._corrected_out_of_order,
            self._quantity_of_none,
            self._dated_in_the_future,
            self._dated_too_long_ago,
            lambda sale: self._returned_by_another(sale, self._random.choice(ordinary)),
        ]
        for index, sale in enumerate(victims):
            kinds[index % len(kinds)](sale)

    def _returned(self, sale: Moment) -> None:
        report = _report(sale)
        self._return(sale, self._random.randint(1, report.quantity), self._days_later(sale, 4, 40))

    def _returned_too_many(self, sale: Moment) -> None:
        self._return(sale, _report(sale).quantity + 3, self._days_later(sale, 4, 30))

    def _returned_before_sale(self, sale: Moment) -> None:
        """The return is reported at once, its sale only weeks later."""
        self._moments.remove(sale)
        at = min(sale.at + timedelta(days=self._random.randrange(18, 40)), LAST_REPORT)
        self._change(sale, at=at, reported_at=at - timedelta(minutes=20))
        self._return(sale, 1, sale.at + timedelta(days=2))

    def _returned_by_another(self, sale: Moment, other: Actor) -> None:
        """Somebody's return names a sale that was another's: it takes away nothing."""
        if other.id != sale.key:
            self._return(sale, 1, self._days_later(sale, 4, 20), partner_id=other.id)

    def _return(self, sale: Moment, quantity: int, at: datetime, partner_id: str = "") -> None:
        report = _report(sale)
        back = SaleReturned(
            return_id=f"RMA-{at:%y%m%d}-{report.sale_id}",
            sale_id=report.sale_id,
            partner_id=partner_id or report.partner_id,
            product_id=report.product_id,
            quantity=quantity,
            returned_on=(at - timedelta(days=1)).date(),
            reported_at=at - timedelta(minutes=self._random.randrange(5, 60)),
            serial_numbers=report.serial_numbers[:quantity],
            reported_by=report.reported_by,
        )
        self._send(at, back.partner_id, back)

    def _conflicting(self, sale: Moment) -> None:
        """The same sale with another quantity, reported later: the first stands."""
        at = self._days_later(sale, 1, 15)
        self._change(sale, at=at, reported_at=at - timedelta(minutes=5), quantity=_report(sale).quantity + 2)

    def _corrected_out_of_order(self, sale: Moment) -> None:
        """What was reported first arrives last: it stands all the same."""
        report = _report(sale)
        earlier = report.reported_at - timedelta(hours=2)
        self._change(
            sale, at=self._days_later(sale, 1, 15), reported_at=earlier, quantity=report.quantity + 1, serial_numbers=()
        )

    def _quantity_of_none(self, sale: Moment) -> None:
        self._change(sale, sale_id=f"{_report(sale).sale_id}-0", quantity=self._random.choice((0, -1, -2)))

    def _dated_in_the_future(self, sale: Moment) -> None:
        report = _report(sale)
        typo = report.sold_on.replace(year=report.sold_on.year + 1, day=min(28, report.sold_on.day))
        self._change(sale, sale_id=f"{report.sale_id}-Y", sold_on=typo)

    def _dated_too_long_ago(self, sale: Moment) -> None:
        self._change(sale, sale_id=f"{_report(sale).sale_id}-A", sold_on=date(2026, 3, 12))

    def _broken_bytes(self, ordinary: list[Actor]) -> None:
        plain = {"sale_id": "WEB-77120", "partner_id": ordinary[0].id, "quantity": 2, "sold_on": "2026-11-03"}
        broken = (
            json.dumps(plain).encode(),
            b"sale;WEB-77121;;TS-300;1;04.11.2026\r\n",
            b"\x00\x00\x0f\x42\x40" + self._random.randbytes(24),
            b"\x00\x00\x00\x00\x01" + b"\xff" * 12,
            self._random.randbytes(48),
            b"",
        )
        for data in broken:
            self._send(self._calendar.sent_on(self._calendar.day_of_sale()), self._random.choice(ordinary).id, data)

    def _after_the_final_close(self, actors: tuple[Actor, ...], ordinary: list[Actor]) -> None:
        """A distributor's forgotten week, which lifts a partner a tier; and a return that costs another his."""
        lifted = next(actor for actor in actors if actor.role is Role.LIFTED)
        week = date(2026, 12, 14), date(2026, 12, 18)
        for minutes, actor in enumerate([lifted, *self._random.sample(ordinary, 12)]):
            at = FORGOTTEN_REPORT + timedelta(minutes=minutes)
            self._sale(
                actor, 1 if actor is lifted else self._random.randint(1, 4), self._calendar.day_of_sale(*week), at
            )
        paid = next(actor for actor in actors if actor.role is Role.CLAWBACK)
        self._return(next(m for m in self._moments if m.key == paid.id and _counts(m)), 1, LATE_RETURN)

    # --- below ---------------------------------------------------------------------------------------------------

    def _days_later(self, sale: Moment, least: int, most: int) -> datetime:
        at = sale.at + timedelta(days=self._random.randrange(least, most), seconds=self._random.randrange(20_000))
        return min(at, LAST_REPORT)

    def _change(self, sale: Moment, at: datetime | None = None, **changes: object) -> None:
        self._send(at or sale.at, sale.key, replace(_report(sale), **changes))

    def _send(self, at: datetime, key: str, record: Record) -> Moment:
        moment = Moment(at, key, record)
        self._moments.append(moment)
        return moment


def _report(sale: Moment) -> SaleReported:
    assert isinstance(sale.record, SaleReported)
    return sale.record


def _sale_of(moment: Moment) -> tuple[str, str]:
    return moment.key, _report(moment).sale_id


def _counts(moment: Moment) -> bool:
    return (
        isinstance(moment.record, SaleReported)
        and moment.record.product_id.startswith("TS-")
        and (moment.record.product_id not in _UNKNOWN_PRODUCTS)
    )
