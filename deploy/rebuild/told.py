"""What the events of a partition have told: the part of a tally that came from history and not from the sales.

How many tier changes there were, which closes made what payable and what the last weekly mail said can't be counted
again: how records fell into batches decided it. But all of it was told, and event topics are kept for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain

import msgspec

from deploy.rebuild.reading import Reading
from schemas.events import CloseKind, Event, QuarterClosed, TierChanged, WeeklySummary
from schemas.topics import QUARTER_CLOSES, TIER_CHANGES, WEEKLY_SUMMARIES
from schemas.values import Quarter
from streams.rules.terms import Programme

Key = tuple[str, str]
"""Partner and quarter."""


class History(msgspec.Struct):
    """What was told of one partner's quarter."""

    tier_sequence: int = 0
    units: int = 0
    """The units with which the latest tier was told."""
    revision: int = -1
    payable: dict[int, int] = {}
    """What each revision made payable; of a revision told twice, the first: services act on that one."""
    week: str = ""
    week_units: int = 0
    week_rebate_minor: int = 0
    week_at: datetime | None = None

    @property
    def payable_minor(self) -> int:
        return sum(self.payable.values())


class Told:
    """What a partition has told."""

    def __init__(self, programme: Programme) -> None:
        self._programme = programme
        self.histories: dict[Key, History] = {}
        self.calendar_at: datetime | None = None
        """The latest moment of the calendar that was told of; None if none was."""

    def note(self, event: Event) -> None:
        """Take in one event, in the order of its topic."""
        match event:
            case TierChanged() | QuarterClosed() | WeeklySummary() if event.programme_id != self._programme.id:
                return
            case TierChanged():
                history = self._of(event.partner_id, event.quarter)
                if event.sequence > history.tier_sequence:
                    history.tier_sequence, history.units = event.sequence, event.units
            case QuarterClosed():
                history = self._of(event.partner_id, event.quarter)
                history.payable.setdefault(event.revision, event.payable_minor)
                history.revision = max(history.revision, event.revision)
                self._note_close(event)
            case WeeklySummary():
                history = self._of(event.partner_id, event.quarter)
                if history.week_at is None or event.as_of > history.week_at:
                    history.week, history.week_at = event.week, event.as_of
                    history.week_units, history.week_rebate_minor = event.units, event.rebate_minor
                self._note_moment(event.as_of)

    def _note_close(self, event: QuarterClosed) -> None:
        dates = self._programme.dates(Quarter.parse(event.quarter))
        match event.kind:
            case CloseKind.PROVISIONAL:
                self._note_moment(dates.provisional_at)
            case CloseKind.FINAL | CloseKind.ADJUSTMENT:
                self._note_moment(dates.final_at)

    def _note_moment(self, at: datetime) -> None:
        self.calendar_at = at if self.calendar_at is None else max(self.calendar_at, at)

    def _of(self, partner_id: str, quarter: str) -> History:
        return self.histories.setdefault((partner_id, quarter), History())


def told(reading: Reading, programme: Programme) -> Told:
    """What the partition has told."""
    found = Told(programme)
    for event in _events(reading):
        found.note(event)
    return found


def _events(reading: Reading) -> Iterator[Event]:
    topics = (TIER_CHANGES, QUARTER_CLOSES, WEEKLY_SUMMARIES)
    for _, event in chain.from_iterable(map(reading.events, topics)):
        if event is not None:
            yield event
