"""Feeds the read model as the reading does, without a broker: events in, rows out, one transaction a topic."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import count

from sqlalchemy import Engine

from schemas.events import (
    CloseKind,
    Event,
    LineReturn,
    LineStatus,
    Partner,
    PayoutStatus,
    PayoutStatusChanged,
    Phase,
    QuarterClosed,
    SaleLine,
    Tally,
    TierChanged,
    event_id,
)
from schemas.topics import SETTLED_LINES, Topic
from schemas.values import Quarter, line_key, tally_key
from services.kit.consumer import Batch, Received
from services.portal.projector import subscriptions
from streams.rules.terms import Programme

NOON = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
_offsets = count()


def feed(engine: Engine, *events: Event, offset: int | None = None) -> set[str]:
    """Project events, in the order of the topics; returns the partners whose pages changed."""
    return feed_records(engine, [(key_of(event), event) for event in events], offset)


def feed_records(engine: Engine, records: Iterable[tuple[str, Event | None]], offset: int | None = None) -> set[str]:
    """The same with keys, so that a tombstone (None; of a partner) can be said, too."""
    touched: set[str] = set()
    listed = list(records)
    for topic, handle, *_ in subscriptions(touched.update):
        received = [_received(topic, key, event, offset) for key, event in listed if _topic_of(event, topic)]
        if received:
            with engine.begin() as connection:
                handle(Batch(connection, received))
    return touched


def feed_lines(engine: Engine, topic: Topic, *lines: tuple[SaleLine, bool], first_offset: int) -> None:
    """Project lines of one of their two topics, one record a batch; or, where it is said, that they have moved away."""
    handle = next(handle for of, handle, *_ in subscriptions(lambda _: None) if of is topic)
    for offset, (line, moved) in enumerate(lines, first_offset):
        event_id_, said = event_id("test", topic.name, offset), None if moved else line
        with engine.begin() as connection:
            record = Received(topic, key_of(line), said, event_id_, NOON, 0, offset, moved)
            handle(Batch(connection, [record]))


def _received(topic: Topic, key: str, event: Event | None, offset: int | None) -> Received:
    number = next(_offsets) if offset is None else offset
    return Received(topic, key, event, event_id("test", number), NOON, 0, number)


def _topic_of(event: Event | None, topic: Topic) -> bool:
    if topic is SETTLED_LINES:
        return False  # said by hand where it matters
    return type(event) in topic.events if event is not None else topic.name == "partners"


def key_of(event: Event) -> str:
    """The key of the event's record."""
    match event:
        case Tally():
            return tally_key(event.programme_id, event.partner_id, event.quarter)
        case SaleLine():
            return line_key(event.partner_id, event.sale_id)
    return str(getattr(event, "partner_id", ""))


def a_partner(partner_id: str = "P1", **facts: object) -> Partner:
    """A registered partner."""
    known = {
        "name": "Beispiel Systemhaus GmbH",
        "email": "einkauf@example.com",
        "language": "en",
        "country": "DE",
        "registered_on": date(2026, 1, 15),
    }
    return Partner(partner_id, **(known | facts))  # type: ignore[arg-type]


def a_line(partner_id: str, sale_id: str, quantity: int = 1, **facts: object) -> SaleLine:
    """A counted sale."""
    sold_on = facts.get("sold_on", date(2026, 11, 2))
    known = {
        "status": LineStatus.COUNTED,
        "reason": None,
        "quarter": str(Quarter.of(sold_on)) if isinstance(sold_on, date) else "",
        "product_id": "TS-200",
        "quantity": quantity,
        "units": quantity,
        "sold_on": sold_on,
        "serial_numbers": (),
        "reported_at": datetime(2026, 11, 3, 8, 0, tzinfo=UTC),
        "recorded_at": datetime(2026, 11, 3, 9, 30, tzinfo=UTC),
        "content_hash": "00",
    }
    return SaleLine(partner_id, sale_id, **(known | facts))  # type: ignore[arg-type]


def a_tally(programme: Programme, partner_id: str, units: int, quarter: str = "2026Q4", **facts: object) -> Tally:
    """A standing, as the stream would have computed it."""
    terms = programme.terms[0]
    tier = terms.tier_for(units)
    known = {"units": units, "tier": tier.units, "rate_minor": tier.rate_minor, "as_of": NOON}
    known |= {"rebate_minor": terms.rebate_minor(units)}
    return Tally(programme.id, partner_id, quarter, terms.currency, terms.version, **(known | facts))  # type: ignore[arg-type]


def a_tier_change(programme: Programme, partner_id: str, sequence: int, before: int, after: int) -> TierChanged:
    """A tier change from so many units to so many."""
    terms = programme.terms[0]
    above = terms.next_tier(after)
    return TierChanged(
        programme_id=programme.id,
        partner_id=partner_id,
        quarter="2026Q4",
        sequence=sequence,
        from_tier=terms.tier_for(before).units,
        to_tier=terms.tier_for(after).units,
        units=after,
        rate_minor=terms.tier_for(after).rate_minor,
        rebate_before_minor=terms.rebate_minor(before),
        rebate_after_minor=terms.rebate_minor(after),
        currency="EUR",
        phase=Phase.OPEN,
        next_threshold=above.threshold if above else None,
        units_missing=above.units_missing if above else 0,
        gain_minor=above.gain_minor if above else 0,
        occurred_at=NOON - timedelta(hours=sequence),
    )


def a_close(
    programme: Programme, partner_id: str, kind: CloseKind, revision: int, units: int, payable_minor: int, total: int
) -> QuarterClosed:
    """A close of the third quarter of 2026."""
    terms = programme.terms[0]
    return QuarterClosed(
        programme_id=programme.id,
        partner_id=partner_id,
        quarter="2026Q3",
        kind=kind,
        revision=revision,
        units=units,
        tier=terms.tier_for(units).units,
        rate_minor=terms.tier_for(units).rate_minor,
        rebate_minor=terms.rebate_minor(units),
        payable_minor=payable_minor,
        payable_total_minor=total,
        currency="EUR",
        terms_version=terms.version,
        closed_at=datetime(2026, 9, 30, 22, 0, tzinfo=UTC) + timedelta(days=28 * revision),
    )


def a_payout(
    partner_id: str, revision: int, sequence: int, status: PayoutStatus, amount_minor: int, reason: str | None = None
) -> PayoutStatusChanged:
    """A payout of the third quarter of 2026."""
    sent = status is PayoutStatus.IN_PAYMENT
    return PayoutStatusChanged(
        programme_id="topseller",
        partner_id=partner_id,
        quarter="2026Q3",
        revision=revision,
        sequence=sequence,
        status=status,
        reason=reason,
        amount_minor=amount_minor,
        currency="EUR",
        run_id="RB26Q3-R01" if sent else None,
        end_to_end_id="26Q3-P1-A0T1" if sent else None,
        execution_date=date(2026, 10, 30) if sent else None,
        occurred_at=datetime(2026, 10, 29, 9, sequence, tzinfo=UTC),
    )


def a_return(quantity: int, day: date, reason: str | None = None) -> LineReturn:
    """Units that came back."""
    return LineReturn(f"R-{day:%m%d}", quantity, day, NOON, NOON, "00", reason)
