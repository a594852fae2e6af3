"""The calendar once more, apart from the stream's rules: which moments were due, and whom each concerned."""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from deploy.runtime.clock import clock_file, open_clock, read_segments
from deploy.runtime.settings import Settings
from schemas.codec import Codec, Undecodable
from schemas.events import Partner
from schemas.topics import PARTNERS
from services.kit.log import records


class Moment(NamedTuple):
    """A week (``week`` is set) or the close of a quarter; ``day`` is the Monday, or the quarter's first day."""

    day: date
    week: str = ""
    quarter: str = ""
    revision: int = 0


class Due:
    """Reads what the positions say of the calendar, and compares with what was due."""

    def __init__(self, settings: Settings) -> None:
        programme = tomllib.loads(Path(settings.programme).read_text("utf-8"))
        self.seen = 0
        """Moments that were found, in all partitions."""
        self._zone = ZoneInfo(programme["time_zone"])
        self._grace = timedelta(days=programme["terms"][0]["grace_days"])
        self._begun = datetime.fromtimestamp(read_segments(clock_file(settings))[0].shown, UTC)
        self._now = open_clock(settings).now()

    def of(self, positions: Sequence[tuple[str, int]]) -> tuple[list[str], list[tuple[Moment, int]]]:
        """What is wrong with a partition's calendar; and its moments, each with how far the registry was applied."""
        wrong: list[str] = []
        done: list[tuple[Moment, int]] = []
        registry_at, before = -1, None
        instants = [self._begun]
        for source, offset in positions:
            if source == PARTNERS.name:
                registry_at = offset
            elif source == "calendar" and offset != before:
                at = datetime.fromtimestamp(offset / 1000, UTC)
                moment = self._moment(at)
                if before is not None and offset < before:
                    wrong.append(f"its calendar went back to {at:%Y-%m-%d %H:%M}")
                if moment is not None:
                    done.append((moment, registry_at))
                elif before is not None:
                    wrong.append(f"its calendar stands at {at:%Y-%m-%d %H:%M}, when nothing is due")
                before = offset
                instants.append(at)
        self.seen += len(done)
        wrong += [f"what was due on {at:%Y-%m-%d %H:%M} was not done" for at in self._missing(instants)]
        return wrong, done

    def behind(self, positions: Sequence[tuple[str, int]]) -> bool:
        """Whether something is still to be done."""
        instants = [datetime.fromtimestamp(offset / 1000, UTC) for source, offset in positions if source == "calendar"]
        return any(self._missing([self._begun, *instants]))

    def _missing(self, instants: Sequence[datetime]) -> Iterator[datetime]:
        """Closes since the first that are not among them; and the latest Monday."""
        first, found = instants[0], set(instants)
        day = (first - self._grace - timedelta(days=100)).date()
        while day <= self._now.date():
            for at in (self._starts(day), self._starts(day + self._grace)):
                if day.day == 1 and day.month % 3 == 1 and first < at <= self._now and at not in found:
                    yield at
            day += timedelta(days=1)
        local = self._now.astimezone(self._zone)
        monday = datetime.combine(local.date() - timedelta(days=local.weekday()), time(8), self._zone)
        latest = monday if monday <= local else monday - timedelta(days=7)
        if first < latest and latest not in found:
            yield latest

    def _moment(self, at: datetime) -> Moment | None:
        local = at.astimezone(self._zone)
        if local.weekday() == 0 and local.time() == time(8):
            year, week, _ = local.isocalendar()
            return Moment(local.date(), week=f"{year:04d}-W{week:02d}")
        if local.time() == time(0):
            for revision, day in ((0, local.date()), (1, local.date() - self._grace)):
                if day.day == 1 and day.month % 3 == 1:
                    last = day - timedelta(days=1)
                    quarter = (last.month + 2) // 3
                    return Moment(date(last.year, 3 * quarter - 2, 1), "", f"{last.year}Q{quarter}", revision)
        return None

    def _starts(self, day: date) -> datetime:
        return datetime.combine(day, time(), self._zone)


class Membership:
    """Who was registered, by how far the registry was applied."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._log: dict[int, list[tuple[int, str, Partner | None]]] = defaultdict(list)
        for message in records(settings, PARTNERS):
            key, value = (message.key() or b"").decode("utf-8", "replace"), message.value()
            try:
                partner = None if value is None else codec.decode(PARTNERS, value)
            except Undecodable:
                continue
            if partner is None or (isinstance(partner, Partner) and partner.partner_id == key):
                self._log[message.partition()].append((message.offset(), key, partner))

    def on(self, partition: int, registry_at: int, first: date, last: date) -> set[str]:
        """Whose registration touches these days, both included."""
        log = self._log[partition]
        known = {who: partner for _, who, partner in log[: bisect_right(log, registry_at, key=lambda row: row[0])]}
        return {
            who
            for who, partner in known.items()
            if partner is not None
            and partner.registered_on <= last
            and (partner.left_on is None or partner.left_on > first)
        }

    def in_quarter(self, partition: int, registry_at: int, first: date) -> set[str]:
        """Who was registered on some day of the quarter."""
        return self.on(partition, registry_at, first, (first + timedelta(days=100)).replace(day=1) - timedelta(days=1))
