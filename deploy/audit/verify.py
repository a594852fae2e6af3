"""Compares what was published with a recount of what was reported, while the stream goes on.

The stream writes a batch's tallies and its position in one transaction. So: positions are read, then the tallies and
closes, then the positions again. A partner of whom no record lies between the two positions had, all that time, just
the tallies that were read; the others moved, and are left for the next look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Message

from deploy.audit.recount import Recount, Standing
from deploy.runtime.clock import Clock, open_clock
from deploy.runtime.errors import NotReady
from deploy.runtime.settings import Settings
from schemas.codec import Codec, ConfluentRegistry, RegistryAway, Undecodable
from schemas.events import Event, Partner, Phase, Position, QuarterClosed, SaleReported, SaleReturned, Tally
from schemas.fit import unfit
from schemas.topics import PARTNERS, POSITIONS, QUARTER_CLOSES, SALES, SALES_BYTES_MAX, TALLIES, Topic
from schemas.values import partition_of
from services.kit.log import records

_STEP = 50_000
Key = tuple[str, str]
"""Partner and quarter."""
Positions = Mapping[tuple[str, int], int]
"""For each (source, partition) the last offset applied."""


class Finding(NamedTuple):
    """What a look came to."""

    reports: int
    """Records of sales and returns that were counted again."""
    compared: int
    """Standings (a partner's quarter) that were compared."""
    moving: int
    """Partners left out, because the stream was just at work on them."""
    forgotten: int
    """Partners left out, because the registry knows them no more."""
    differences: tuple[str, ...]


class _Topics:
    """Decodes what it reads; what can't be decoded or is too large was put aside by the stream, too."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)

    def read(self, topic: Topic) -> Iterator[tuple[Message, Event | None]]:
        for message in records(self._settings, topic):
            value = message.value()
            if topic is SALES and len(value or b"") > SALES_BYTES_MAX:
                continue
            try:
                yield message, None if value is None else self._codec.decode(topic, value)
            except Undecodable:
                continue
            except RegistryAway as error:
                raise NotReady(str(error), "is the registry running? see ./staffel status") from None

    def positions(self) -> Positions:
        found = {}
        for message, position in self.read(POSITIONS):
            if isinstance(position, Position):
                found[position.source, message.partition()] = position.offset
        return found


def look(settings: Settings, report: Callable[[int], None] = lambda _records: None) -> Finding:
    """Recount and compare. ``report`` is told from time to time how many records were read.

    Raises NotReady if broker or registry is away.
    """
    topics = _Topics(settings)
    before = topics.positions()
    tallies, payable = _published(topics)
    after = topics.positions()
    partners, said_at, moving = _registry(topics, before, open_clock(settings))
    recount, reports, moved = _recount(settings, topics, before, after, report)
    moving |= moved | _closing(settings, tallies, before, after)
    expected = recount.standings(partners)
    forgotten = {who for (who, _), tally in tallies.items() if who not in partners and _was_registered(tally)}
    left_out = moving | forgotten
    differences = [
        difference
        for key in sorted({*expected, *tallies})
        if key[0] not in left_out
        for difference in _compare(
            key,
            # What the registry said when the quarter was settled can't be read any more.
            None if _settled(recount, key, said_at, tallies) else expected.get(key, Standing()),
            tallies.get(key),
            payable[key],
        )
    ]
    compared = sum(who not in left_out for who, _ in {*expected, *tallies})
    return Finding(reports, compared, len(moving), len(forgotten - moving), tuple(differences))


def _published(topics: _Topics) -> tuple[dict[Key, Tally], Counter[Key]]:
    tallies: dict[Key, Tally] = {}
    for _, tally in topics.read(TALLIES):
        if isinstance(tally, Tally):
            tallies[tally.partner_id, tally.quarter] = tally
    payable: Counter[Key] = Counter()
    for _, close in topics.read(QUARTER_CLOSES):
        if isinstance(close, QuarterClosed):
            payable[close.partner_id, close.quarter] += close.payable_minor
    return tallies, payable


def _settled(recount: Recount, key: Key, said_at: Mapping[str, datetime], tallies: Collection[Key]) -> bool:
    """Whether a standing that is published was settled before the registry said what it says of the partner now."""
    return key in tallies and key[0] in said_at and recount.settled(key[1], said_at[key[0]])


def _registry(
    topics: _Topics, before: Positions, clock: Clock
) -> tuple[dict[str, Partner], dict[str, datetime], set[str]]:
    """The partners as the stream had applied them, when that was said, and of whom it had not applied everything."""
    partners: dict[str, Partner] = {}
    said_at: dict[str, datetime] = {}
    moving: set[str] = set()
    for message, event in topics.read(PARTNERS):
        partner_id = (message.key() or b"").decode("utf-8", "replace")
        if message.offset() > before.get((PARTNERS.name, message.partition()), -1):
            moving.add(partner_id)
        elif isinstance(event, Partner) and event.partner_id == partner_id:
            partners[partner_id] = event
            said_at[partner_id] = _recorded_at(message, clock)
        elif event is None:
            partners.pop(partner_id, None)
    return partners, said_at, moving


def _recount(
    settings: Settings, topics: _Topics, before: Positions, after: Positions, report: Callable[[int], None]
) -> tuple[Recount, int, set[str]]:
    recount, clock = Recount(Path(settings.programme).read_text("utf-8")), open_clock(settings)
    moved: set[str] = set()
    read = counted = 0
    for message, event in topics.read(SALES):
        read += 1
        if read % _STEP == 0:
            report(read)
        place = SALES.name, message.partition()
        if message.offset() > after.get(place, -1) or not _belongs(event, message.partition(), settings.partitions):
            continue
        assert isinstance(event, SaleReported | SaleReturned)
        if message.offset() > before.get(place, -1):
            moved.add(event.partner_id)
            continue
        counted += 1
        recount.add(event, _recorded_at(message, clock))
    return recount, counted, moved


def _recorded_at(message: Message, clock: Clock) -> datetime:
    return clock.at(datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC))


def _belongs(event: Event | None, partition: int, partitions: int) -> bool:
    """Whether the stream applies the record here: not if it belongs to another partition or is put aside."""
    if not isinstance(event, SaleReported | SaleReturned) or unfit(event) is not None:
        return False
    return partition_of(event.partner_id.encode(), partitions) == partition


def _closing(settings: Settings, tallies: Collection[Key], before: Positions, after: Positions) -> set[str]:
    """The partners of partitions on which a moment of the calendar was applied meanwhile."""
    ticked = {
        number for (source, number), at in after.items() if source == "calendar" and before.get((source, number)) != at
    }
    return {who for who, _ in tallies if partition_of(who.encode(), settings.partitions) in ticked}


def _was_registered(tally: Tally) -> bool:
    return tally.counted + tally.returned > 0


def _compare(key: Key, expected: Standing | None, tally: Tally | None, payable: int) -> Iterator[str]:
    """``expected`` is None where nobody can tell any more."""
    who = " ".join(key)
    if tally is None:
        assert expected is not None
        yield f"{who}: {_sentence(expected)} reported, and no tally is published"
        return
    found = Standing(*(getattr(tally, name) for name in Standing._fields))
    if expected is not None and found != expected:
        yield f"{who}: published {_sentence(found)}, reported {_sentence(expected)}"
    if payable != tally.payable_minor:
        yield f"{who}: closes make {payable} cents payable, the tally says {tally.payable_minor}"
    if expected is not None and tally.phase is Phase.FINAL and tally.revision >= 1 and payable != expected.rebate_minor:
        yield f"{who}: closes make {payable} cents payable, the sales reported earn {expected.rebate_minor}"


def _sentence(standing: Standing) -> str:
    sales = ", ".join(f"{getattr(standing, name)} {name}" for name in Standing._fields[3:])
    return f"{standing.units} units ({sales}), tier {standing.tier}, {standing.rebate_minor} cents"
