"""Partition by partition: count again, compare, and, if asked to, put right.

What concerns a partner is put right in one transaction, so the work may be broken off anywhere and begun anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from deploy.rebuild.compare import Comparison, Corrections, Difference, live_of
from deploy.rebuild.published import Published, published
from deploy.rebuild.reading import Reading, open_codec
from deploy.rebuild.recounted import Recounted, recounted
from deploy.rebuild.sources import Source, check_topics, prove, sources
from deploy.rebuild.swap import Owner, refuse_while_a_worker_is_alive
from deploy.runtime.clock import open_clock
from deploy.runtime.programme import read_programme
from deploy.runtime.settings import Settings
from schemas.codec import Undecodable
from schemas.events import Event, Position, SaleLine
from schemas.topics import PARTNERS, SALE_LINES, SETTLED_LINES, SETTLED_SALES, TALLIES, Topic
from streams.restore import CALENDAR
from streams.rules.terms import parse

Report = Callable[[int, int], None]
"""Told of which partition how many records were read."""


class Found(NamedTuple):
    """What one partition came to."""

    partition: int
    reports: int = 0
    """Records of sales that were read."""
    compared: int = 0
    """Lines and tallies that were held against the recount."""
    moving: int = 0
    """Partners left out, because the stream was just at work on them."""
    differences: tuple[Difference, ...] = ()
    written: int = 0
    """Records written to put it right."""


class Rebuild:
    """The state of a deployment, made anew from its sources."""

    def __init__(self, settings: Settings, report: Report = lambda _partition, _records: None) -> None:
        """Raises UsageError if the programme is not sound."""
        self._settings, self._report = settings, report
        self._codec, self._clock = open_codec(settings), open_clock(settings)
        self._programme = read_programme(settings, parse)

    def look(self) -> Iterator[Found]:
        """Compare, partition by partition. Writes nothing; the stream may go on meanwhile.

        Raises NotReady if broker or registry is away, StaffelError if the sources are not those of the state.
        """
        check_topics(self._settings, self._codec)
        for partition in range(self._settings.partitions):
            yield self._compare(partition)[0]

    def swap(self) -> Iterator[Found]:
        """Compare and put right. Raises StaffelError while a worker is alive, or when one comes to life."""
        check_topics(self._settings, self._codec)
        refuse_while_a_worker_is_alive(self._settings)
        for partition in range(self._settings.partitions):
            with Owner(self._settings, self._codec, self._clock, partition) as owner:
                found, corrections = self._compare(partition)
                yield found._replace(written=owner.write(corrections))

    def _compare(self, partition: int) -> tuple[Found, Corrections]:
        reading = Reading(self._settings, self._codec, partition)
        state, logs = published(reading, self._programme), sources(self._settings, partition)
        prove(state, logs, partition, self._settings.partitions)
        if not (state.after or state.lines or state.settled or state.tallies or state.told.histories):
            return Found(partition), Corrections()  # no worker has begun here yet
        counted = recounted(
            reading, state, self._programme, self._clock, lambda records: self._report(partition, records)
        )
        positions = self._lost_positions(state, counted, logs)
        calendar = next((p for p in (state.after.get(CALENDAR), *positions) if p and p.source == CALENDAR), None)
        comparison = Comparison(
            self._programme,
            counted.partners,
            counted.registered_at,
            counted.former,
            state.told.histories,
            _instant(calendar) if calendar else self._clock.now(),
            self._clock.now(),
        )
        live = live_of(
            self._decoded(SALE_LINES, state.lines),
            self._decoded(SETTLED_LINES, state.moved_lines),
            self._decoded(SETTLED_SALES, state.settled),
            self._decoded(TALLIES, state.tallies),
        )
        moving = counted.moving | state.settling | _just_closed(state, counted)
        corrections = comparison.compare(live, counted.lines, self._same).without(moving)
        corrections.positions += positions
        corrections.differences += [
            Difference("", f"partition {partition}: no position in {p.source}") for p in positions
        ]
        compared = len(counted.lines.keys() | state.lines.keys() | state.moved_lines.keys()) + len(state.tallies)
        return Found(partition, counted.records, compared, len(moving), tuple(corrections.differences)), corrections

    def _lost_positions(self, state: Published, counted: Recounted, logs: Mapping[str, Source]) -> list[Position]:
        """Where the state is lost: how far this rebuild has come, and the latest moment that was told of.

        No moment since then was told of, so the worker is right to catch up on them.
        """
        ends = {name: end for name, end in counted.ends.items() if name not in state.after}
        if state.after:
            ends.pop(PARTNERS.name, None)  # what is missing beside other positions was never begun
        found = [
            Position(source, logs[source].topic_id, end, logs[source].leader_epoch, self._programme.hash)
            for source, end in ends.items()
        ]
        if not state.after:
            at = state.told.calendar_at or counted.began_at or self._clock.now()
            found.append(Position(CALENDAR, "", round(at.timestamp() * 1000), 0, self._programme.hash))
        return found

    def _decoded(self, topic: Topic, records: Mapping[str, bytes]) -> Iterator[tuple[str, Event | None]]:
        for key, value in records.items():
            try:
                yield key, self._codec.decode(topic, value)
            except Undecodable:
                yield key, None

    def _same(self, live: Event, right: Event) -> bool:
        """Whether two records say the same once they are written, which drops what is finer than a millisecond."""
        topic = SALE_LINES if isinstance(right, SaleLine) else TALLIES
        return live == right or live == self._codec.decode(topic, self._codec.encode(topic, right))


def _just_closed(state: Published, counted: Recounted) -> set[str]:
    """Everybody, if a moment of the calendar was applied while the state was read."""
    if state.before.get(CALENDAR) == state.after.get(CALENDAR):
        return set()
    return {line.partner_id for line in counted.lines.values()} | {partner_id for partner_id, _ in state.told.histories}


def _instant(calendar: Position) -> datetime:
    return datetime.fromtimestamp(calendar.offset / 1000, UTC)
