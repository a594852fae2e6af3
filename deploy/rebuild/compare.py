"""Holds what a partition publishes against what its sources come to, and says what to write so that both agree. Pure.

What can be counted from the reports is: lines, units, tier, rebate, verdicts. What only history knows (how many tier
changes, what closes made payable, the last weekly mail) is taken from the events that told it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, cast

from msgspec.structs import replace

from deploy.rebuild.settled import KnownAgain, compare_settled
from deploy.rebuild.told import History, Key
from schemas.events import (
    CloseKind,
    Event,
    LineStatus,
    Partner,
    Phase,
    Position,
    QuarterClosed,
    SaleLine,
    Tally,
    TierChanged,
)
from schemas.settled import SettledSales
from schemas.values import Quarter, line_key, tally_key
from streams.rules import calendar, lines, tallies
from streams.rules.lines import Reason
from streams.rules.settled import key_of
from streams.rules.terms import Programme

_BY_HIS_REGISTRATION = (Reason.COUNTRY_NOT_IN_PROGRAMME, Reason.PARTNER_LEFT)
_STANDING = ("units", "tier", "rebate_minor", "counted", "pending", "rejected", "returned")
_HISTORY = ("phase", "tier_sequence", "revision", "payable_minor", "week", "week_units", "week_rebate_minor")
_QUARTER = re.compile(r"\d{4}Q[1-4]")
_TERMS = ("rate_minor", "currency", "terms_version")


class Difference(NamedTuple):
    """Something that stands otherwise than it should."""

    partner_id: str
    what: str

    def __str__(self) -> str:
        return f"{self.partner_id}: {self.what}" if self.partner_id else self.what


@dataclass
class Corrections:
    """What to write, by the key of the record; None removes the key."""

    lines: dict[str, SaleLine | None] = field(default_factory=dict)
    moved_lines: dict[str, SaleLine | None] = field(default_factory=dict)
    """Of sales whose lines have left the stream's state."""
    settled: dict[str, SettledSales | None] = field(default_factory=dict)
    tallies: dict[str, Tally | None] = field(default_factory=dict)
    events: list[TierChanged | QuarterClosed] = field(default_factory=list)
    """What partners were told otherwise: a tier, or a close that must be adjusted."""
    positions: list[Position] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lines or self.moved_lines or self.settled or self.tallies or self.events or self.positions)

    def without(self, partners: Container[str]) -> Corrections:
        """The same without what concerns these partners."""
        return Corrections(
            {key: line for key, line in self.lines.items() if line_owner(key) not in partners},
            {key: line for key, line in self.moved_lines.items() if line_owner(key) not in partners},
            {key: sales for key, sales in self.settled.items() if line_owner(key) not in partners},
            {key: tally for key, tally in self.tallies.items() if tally_owner(key) not in partners},
            [event for event in self.events if event.partner_id not in partners],
            self.positions,
            [difference for difference in self.differences if difference.partner_id not in partners],
        )


class Former(NamedTuple):
    """A partner whom the registry has forgotten, and when."""

    partner: Partner
    forgotten_at: datetime


class Live(NamedTuple):
    """The records that stand, by key. None is one that can't be what its key says."""

    lines: dict[str, SaleLine | None]
    moved_lines: dict[str, SaleLine | None]
    settled: dict[str, SettledSales | None]
    tallies: dict[str, Tally | None]

    def line(self, key: str) -> SaleLine | None:
        """What stands of a sale, wherever it stands."""
        return self.lines.get(key) or self.moved_lines.get(key)


class Comparison:
    """The state of one partition, as it stands and as it should be."""

    def __init__(
        self,
        programme: Programme,
        partners: dict[str, Partner],
        registered_at: dict[str, datetime],
        former: dict[str, Former],
        histories: dict[Key, History],
        calendar_at: datetime,
        now: datetime,
    ) -> None:
        self._programme, self._histories = programme, histories
        self._partners, self._registered_at, self._former = partners, registered_at, former
        self._calendar_at, self._now = calendar_at, now

    def compare(self, live: Live, merged: dict[str, SaleLine], same: Callable[[Event, Event], bool]) -> Corrections:
        """Hold the live state against the lines merged from the reports.

        ``same`` says whether two records say the same once they are written: writing drops what is finer than a
        millisecond.
        """
        found = Corrections()
        judged = {key: self._judged(line, live.line(key)) for key, line in merged.items()}
        known = KnownAgain(sales for sales in live.settled.values() if sales is not None)
        moved = {
            key: line
            for key, line in judged.items()
            if key not in live.lines and (key in live.moved_lines or known.knows(line))
        }
        for key in sorted(judged.keys() | live.lines.keys()):
            if key not in moved:
                self._compare_lines(key, live.lines.get(key), judged.get(key), same, found, found.lines)
        for key in sorted(moved.keys() | (live.moved_lines.keys() - live.lines.keys())):
            self._compare_lines(key, live.moved_lines.get(key), moved.get(key), same, found, found.moved_lines)
        for partner_id, what, records in compare_settled(moved.values(), live.settled):
            found.settled |= records
            found.differences.append(Difference(partner_id, what))
        expected = self._tallies(judged.values(), live.tallies)
        for key in sorted(expected.keys() | live.tallies.keys()):
            self._compare_tallies(key, live.tallies.get(key), expected.get(key), same, found)
        return found

    # --- lines ---------------------------------------------------------------------------------------------------

    def _judged(self, line: SaleLine, live: SaleLine | None) -> SaleLine:
        """The line with its verdict.

        Whom the registry has forgotten, or changed when the sale was settled, keeps the verdicts that were given before
        (decision 0006): those of the live line, and if that is lost, those that follow from what the log still holds.
        """
        partner = self._partners.get(line.partner_id)
        if live is not None and partner is not None and self._changed_since(line):
            partner = None
        judged = lines.judged(line, partner, self._programme)
        if judged.reason != Reason.PARTNER_NOT_REGISTERED or line.sold_on is None:
            return judged
        if live is None:
            former = self._former.get(line.partner_id)
            if former is not None and line.recorded_at < former.forgotten_at:
                return lines.judged(line, former.partner, self._programme)
            return judged
        if live.reason in _BY_HIS_REGISTRATION:
            return replace(judged, status=LineStatus.REJECTED, reason=live.reason)
        if live.status in (LineStatus.COUNTED, LineStatus.RETURNED):
            return lines.judged(line, self._stand_in(line), self._programme)
        return judged

    def _changed_since(self, line: SaleLine) -> bool:
        """Whether the registry said what it says of a partner only when nothing changed the line any more."""
        return lines.settled(line, self._programme, self._registered_at[line.partner_id])

    def _stand_in(self, line: SaleLine) -> Partner:
        """A partner for whom the line's sale counts."""
        assert line.sold_on is not None
        countries = self._programme.terms_for(Quarter.of(line.sold_on)).countries
        return Partner(line.partner_id, "", "", "", min(countries), line.sold_on)

    def _compare_lines(
        self,
        key: str,
        live: SaleLine | None,
        right: SaleLine | None,
        same: Callable[[Event, Event], bool],
        found: Corrections,
        put: dict[str, SaleLine | None],
    ) -> None:
        if right is None:
            put[key] = None
            what = f"sale {key.partition('/')[2]} stands there and was never reported"
            found.differences.append(Difference(line_owner(key), what))
            return
        if live is not None and (same(live, right) or _but_for_the_reporter(live, right, same)):
            return
        put[key] = right
        what = f"sale {right.sale_id} is missing: {_verdict(right)}" if live is None else _otherwise(live, right)
        found.differences.append(Difference(right.partner_id, what))

    # --- tallies -------------------------------------------------------------------------------------------------

    def _tallies(self, judged: Iterable[SaleLine], live: dict[str, Tally | None]) -> dict[str, Tally]:
        """Every tally there should be: where there are lines, where something was told, and where one stands now."""
        by_key: defaultdict[Key, list[SaleLine]] = defaultdict(list)
        for line in judged:
            if line.quarter:
                by_key[line.partner_id, line.quarter].append(line)
        for key in self._histories:
            by_key.setdefault(key, [])
        for tally in live.values():
            if tally is not None and tally.programme_id == self._programme.id:
                by_key.setdefault((tally.partner_id, tally.quarter), [])
        expected: dict[str, Tally] = {}
        for (partner_id, quarter), own in by_key.items():
            record = tally_key(self._programme.id, partner_id, quarter)
            expected[record] = self._tally(partner_id, quarter, own, live.get(record))
        return expected

    def _tally(self, partner_id: str, name: str, own: list[SaleLine], live: Tally | None) -> Tally:
        quarter = Quarter.parse(name)
        terms = self._programme.terms_for(quarter)
        phase = calendar.phase_at(self._programme, quarter, self._calendar_at)
        running = tallies.Running(tallies.new_tally(self._programme, partner_id, quarter, phase), terms)
        for line in own:
            running.include(line)
        running.changed(self._now)
        history = self._histories.get((partner_id, name), History())
        return replace(
            running.result(),
            tier_sequence=history.tier_sequence,
            revision=history.revision,
            payable_minor=history.payable_minor,
            week=history.week,
            week_units=history.week_units,
            week_rebate_minor=history.week_rebate_minor,
            # When the latest record was applied is not told anywhere; nothing hangs on it.
            as_of=live.as_of if live else max((line.recorded_at for line in own), default=None),
        )

    def _compare_tallies(
        self,
        key: str,
        live: Tally | None,
        right: Tally | None,
        same: Callable[[Event, Event], bool],
        found: Corrections,
    ) -> None:
        if right is None:
            found.tallies[key] = None
            found.differences.append(Difference(tally_owner(key), f"a tally stands under {key}, where none belongs"))
            return
        if live is not None and same(live, right):
            return
        what = f"{right.quarter} has no tally: {_standing(right)}" if live is None else _changes(live, right)
        found.differences.append(Difference(right.partner_id, what))
        right = self._told_anew(right, found)
        found.tallies[key] = right

    def _told_anew(self, right: Tally, found: Corrections) -> Tally:
        """Where partners were told otherwise: another tier is a tier change, another rebate an adjustment."""
        history = self._histories.get((right.partner_id, right.quarter), History())
        terms = self._programme.terms_for(Quarter.parse(right.quarter))
        running = tallies.Running(replace(right, units=history.units), terms)
        running.units = right.units
        change = running.changed(self._now)
        if change is not None:
            right = replace(right, tier_sequence=change.sequence)
            found.events.append(change)
        owed = right.phase is Phase.FINAL and right.rebate_minor != right.payable_minor
        if owed and right.partner_id in self._partners:
            kind = CloseKind.ADJUSTMENT if right.revision >= 1 else CloseKind.FINAL
            right, close = calendar.closed(right, kind, self._now)
            found.events.append(close)
        return right


Records = Iterable[tuple[str, Event | None]]
"""Keys and events; the event of one that can't be decoded is None."""


def live_of(lines_: Records, moved_lines: Records, settled: Records, tallies_: Records) -> Live:
    """What stands."""

    def line_of(key: str, event: Event | None) -> SaleLine | None:
        fits = isinstance(event, SaleLine) and key == line_key(event.partner_id, event.sale_id)
        return cast(SaleLine, event) if fits else None

    def settled_of(key: str, event: Event | None) -> SettledSales | None:
        fits = isinstance(event, SettledSales) and key == key_of(event)
        return cast(SettledSales, event) if fits else None

    def tally_of(key: str, event: Event | None) -> Tally | None:
        fits = (
            isinstance(event, Tally)
            and key == tally_key(event.programme_id, event.partner_id, event.quarter)
            and _QUARTER.fullmatch(event.quarter)
        )
        return cast(Tally, event) if fits else None

    return Live(
        {key: line_of(key, event) for key, event in lines_},
        {key: line_of(key, event) for key, event in moved_lines},
        {key: settled_of(key, event) for key, event in settled},
        {key: tally_of(key, event) for key, event in tallies_},
    )


def line_owner(key: str) -> str:
    """The partner of a line's key."""
    return key.partition("/")[0]


def tally_owner(key: str) -> str:
    """The partner of a tally's key."""
    return key.split("/")[1] if "/" in key else ""


def _verdict(line: SaleLine) -> str:
    reason = f" ({line.reason})" if line.reason else ""
    return f"{line.status.value}{reason}, {line.units} units"


def _but_for_the_reporter(live: SaleLine, right: SaleLine, same: Callable[[Event, Event], bool]) -> bool:
    """Whether a line of before the reporter was kept says the rest as it should."""
    return not live.reported_by and same(live, replace(right, reported_by=""))


def _otherwise(live: SaleLine, right: SaleLine) -> str:
    said, should = _verdict(live), _verdict(right)
    if said != should:
        return f"sale {right.sale_id} stands as {said}, reported was {should}"
    names = ", ".join(_unequal(live, right, SaleLine.__struct_fields__))
    return f"sale {right.sale_id} stands otherwise than reported in {names}"


def _standing(tally: Tally) -> str:
    return ", ".join(f"{name} {getattr(tally, name)}" for name in _STANDING)


def _changes(live: Tally, right: Tally) -> str:
    names = list(_unequal(live, right, (*_STANDING, *_HISTORY, *_TERMS)))
    said = ", ".join(
        f"{name} {_plain(getattr(live, name))} instead of {_plain(getattr(right, name))}" for name in names
    )
    return f"{right.quarter} has {said}"


def _unequal(live: Event, right: Event, names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if getattr(live, name) != getattr(right, name))


def _plain(value: object) -> object:
    return value.value if isinstance(value, Phase) else value
