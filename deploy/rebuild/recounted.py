"""What the sources of a partition say: its sales' lines, merged by the rules from the reports, and its partners."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from confluent_kafka import Message

from deploy.rebuild.compare import Former
from deploy.rebuild.published import Published
from deploy.rebuild.reading import Reading, key_of
from deploy.runtime.clock import Clock
from schemas.events import Partner, SaleLine, SaleReported, SaleReturned
from schemas.topics import PARTNERS, SALES
from schemas.values import line_key
from streams.intake import Registration, read_partner, read_sale
from streams.rules import lines
from streams.rules.terms import Programme

_STEP = 20_000
_TO_THE_END = sys.maxsize


@dataclass
class Recounted:
    """What the reports come to. The lines bear no verdict yet."""

    lines: dict[str, SaleLine] = field(default_factory=dict)
    """By the key of their record."""
    partners: dict[str, Partner] = field(default_factory=dict)
    registered_at: dict[str, datetime] = field(default_factory=dict)
    """When the registry said of each what is known of him."""
    former: dict[str, Former] = field(default_factory=dict)
    """Whom the registry has forgotten, as far as the log still holds what it said of him."""
    moving: set[str] = field(default_factory=set)
    """Partners of whom the stream was just applying something."""
    records: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    """The last offset counted, by source."""
    began_at: datetime | None = None
    """The broker's time of the first record."""


class _Raw(NamedTuple):
    """A record as ``streams.intake`` wants it. Its headers only matter to where a stray one goes."""

    key: bytes | None
    value: bytes | None
    headers: tuple[()] = ()


def recounted(
    reading: Reading,
    published: Published,
    programme: Programme,
    clock: Clock,
    report: Callable[[int], None] = lambda _records: None,
) -> Recounted:
    """Count a partition again, as far as its state says to have come; a source without a position, to its end.

    ``report`` is told from time to time how many records were read.
    """
    found = Recounted()
    _read_partners(reading, published, clock, found)
    _read_sales(reading, published, programme, clock, found, report)
    return found


def _read_partners(reading: Reading, published: Published, clock: Clock, found: Recounted) -> None:
    applied, seen = _limits(published, PARTNERS.name)
    for message in reading.messages(PARTNERS):
        if message.offset() > applied:
            if message.offset() <= seen:
                found.moving.add(key_of(message))
            continue
        found.ends[PARTNERS.name] = message.offset()
        found.began_at = _earlier(found.began_at, _recorded_at(message, clock))
        match read_partner(_raw(message), reading.codec):
            case Registration(partner_id, None):
                known = found.partners.pop(partner_id, None)
                if known is not None:
                    found.former[partner_id] = Former(known, _recorded_at(message, clock))
            case Registration(partner_id, Partner() as partner):
                found.partners[partner_id] = partner
                found.registered_at[partner_id] = _recorded_at(message, clock)


def _read_sales(
    reading: Reading,
    published: Published,
    programme: Programme,
    clock: Clock,
    found: Recounted,
    report: Callable[[int], None],
) -> None:
    applied, seen = _limits(published, SALES.name)
    for message in reading.messages(SALES):
        found.records += 1
        if found.records % _STEP == 0:
            report(found.records)
        if message.offset() > seen:
            continue
        sale = read_sale(_raw(message), reading.codec, reading.partition, reading.settings.partitions)
        if message.offset() > applied:
            if isinstance(sale, SaleReported | SaleReturned):
                found.moving.add(sale.partner_id)
            continue
        found.ends[SALES.name] = message.offset()
        recorded_at = _recorded_at(message, clock)
        found.began_at = _earlier(found.began_at, recorded_at)
        if isinstance(sale, SaleReported | SaleReturned):
            key = line_key(sale.partner_id, sale.sale_id)
            known = found.lines.get(key)
            if known is not None and lines.settled(known, programme, recorded_at):
                continue
            if isinstance(sale, SaleReported):
                found.lines[key] = lines.with_sale(known, sale, recorded_at, message.offset())
            else:
                found.lines[key] = lines.with_return(known, sale, recorded_at, message.offset())


def _limits(published: Published, source: str) -> tuple[int, int]:
    """Up to which offset the state says to hold the source, and up to which it may have come while it was read."""
    before, after = published.before.get(source), published.after.get(source)
    if after is None and (not published.after or (source == SALES.name and (published.lines or published.settled))):
        return _TO_THE_END, _TO_THE_END  # it was lost, for something had been applied
    return before.offset if before else -1, after.offset if after else -1


def _recorded_at(message: Message, clock: Clock) -> datetime:
    return clock.at(datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC))


def _earlier(known: datetime | None, at: datetime) -> datetime:
    return at if known is None else min(known, at)


def _raw(message: Message) -> Any:
    return _Raw(message.key(), message.value())
