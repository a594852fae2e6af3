"""A naive recount of a partition, in plain Python: shares no code with the rules that it checks."""

from __future__ import annotations

from datetime import datetime, timedelta

from schemas.events import Partner, SaleReported, SaleReturned

Fact = tuple[SaleReported | SaleReturned, datetime]


def quarter_of(day) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    return day.year, {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 2, 7: 3, 8: 3, 9: 3, 10: 4, 11: 4, 12: 4}[day.month]


def horizon(quarter: tuple[int, int]) -> datetime:
    from zoneinfo import ZoneInfo

    year, month = quarter[0] + (quarter[1] == 4), (quarter[1] * 3) % 12 + 1
    end = datetime(year, month, 1) + timedelta(days=180)  # noqa: DTZ001
    return end.replace(tzinfo=ZoneInfo("Europe/Berlin"))


def what(event: SaleReported | SaleReturned) -> tuple[object, ...]:
    day = event.sold_on if isinstance(event, SaleReported) else event.returned_on
    return event.product_id, event.quantity, day, tuple(sorted(event.serial_numbers))


def as_it_can_come(facts: list[Fact], random, horizon_of=None) -> list[Fact]:  # type: ignore[no-untyped-def]
    """In any order; but what is recorded past a horizon of its sale comes after the rest of it, as it was recorded."""
    horizon_of = horizon_of or (lambda day: horizon(quarter_of(day)))
    ends: dict[tuple[str, str], datetime] = {}
    for event, _ in facts:
        if isinstance(event, SaleReported):
            sale = event.partner_id, event.sale_id
            ends[sale] = min(ends.get(sale, horizon_of(event.sold_on)), horizon_of(event.sold_on))
    shuffled = random.sample(facts, len(facts))
    own: dict[tuple[str, str], list[Fact]] = {}
    for fact in shuffled:
        own.setdefault((fact[0].partner_id, fact[0].sale_id), []).append(fact)
    for sale, reports in own.items():
        end = ends.get(sale)
        late = [fact for fact in facts if fact in reports and end is not None and fact[1] >= end]
        early = [fact for fact in reports if fact not in late]
        own[sale] = [*early, *sorted(late, key=lambda fact: fact[1])]
    return [own[fact[0].partner_id, fact[0].sale_id].pop(0) for fact in shuffled]


def recount(facts: list[Fact], partners: dict[str, Partner], digest) -> dict[tuple[str, tuple[int, int]], int]:  # type: ignore[no-untyped-def]
    """Units of each partner and quarter. ``digest`` orders reports of the same instant, as the contract says."""
    units: dict[tuple[str, tuple[int, int]], int] = {}
    sales: dict[tuple[str, str], list[Fact]] = {}
    returns: dict[tuple[str, str, str], list[Fact]] = {}

    def first(reports: list[Fact]) -> Fact:
        return min(reports, key=lambda fact: (fact[0].reported_at, digest(fact[0]), fact[1]))

    for event, at in sorted(facts, key=lambda fact: fact[1]):
        known = sales.get((event.partner_id, event.sale_id))
        if known and at >= horizon(quarter_of(first(known)[0].sold_on)):
            continue
        if isinstance(event, SaleReported):
            sales.setdefault((event.partner_id, event.sale_id), []).append((event, at))
        else:
            returns.setdefault((event.partner_id, event.sale_id, event.return_id), []).append((event, at))

    for (who, sale_id), reports in sales.items():
        sale, at = first(reports)
        assert isinstance(sale, SaleReported)
        quarter = quarter_of(sale.sold_on)
        partner = partners.get(who)
        if partner is None or partner.country != "DE" or (partner.left_on and sale.sold_on >= partner.left_on):
            continue
        if sale.quantity < 1 or sale.product_id != "TS-100" or sale.sold_on.year < 2026:
            continue
        if sale.sold_on > (at + timedelta(hours=14)).date() or at >= horizon(quarter):
            continue
        left = sale.quantity
        for (also_who, also_sale, _), back_reports in returns.items():
            if (also_who, also_sale) == (who, sale_id):
                back, back_at = first(back_reports)
                assert isinstance(back, SaleReturned)
                good = back.quantity >= 1 and back_at < horizon(quarter)
                if good and back.returned_on <= (back_at + timedelta(hours=14)).date():
                    left = max(0, left - back.quantity)
        units[who, quarter] = units.get((who, quarter), 0) + left
    return units


def rebate_cents(units: int) -> int:
    if units >= 50:
        return units * 1500
    if units >= 25:
        return units * 1000
    return units * 500 if units >= 10 else 0
