"""The proof: what stands in the topics, held against what must stand there. Read from outside, as anybody may.

Tallies are recounted by the auditor (``deploy.audit``). What happened exactly once is proved here: each record
accounted for, each tier change, weekly summary and close told once, in unbroken sequences, to all whom it concerns.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from confluent_kafka import Message

from deploy.audit import verify
from deploy.chaos.calendar import Due, Membership
from deploy.runtime import kafka
from deploy.runtime.settings import Settings
from schemas.codec import Codec, ConfluentRegistry, Undecodable, header
from schemas.events import (
    CloseKind,
    Event,
    Phase,
    QuarterClosed,
    SaleLine,
    SaleReported,
    SaleReturned,
    Tally,
    TierChanged,
    WeeklySummary,
    id_of,
)
from schemas.fit import unfit
from schemas.topics import (
    DEAD_LETTERS,
    PARTNERS,
    QUARTER_CLOSES,
    SALE_LINES,
    SALES,
    SALES_BYTES_MAX,
    SETTLED_LINES,
    TALLIES,
    TIER_CHANGES,
    WEEKLY_SUMMARIES,
    Topic,
)
from schemas.values import partition_of
from services.kit.log import records

History = Mapping[int, Sequence[tuple[str, int]]]
"""For each partition, source and offset of each committed position in order."""
_REROUTED = "staffel-rerouted-from"
Told = tuple[int, str | None, Event]
"""Partition, event id, event."""


class Proof(NamedTuple):
    """What was looked at, in numbers, and what was wrong."""

    looked_at: dict[str, int]
    wrong: tuple[str, ...]


def prove(settings: Settings, history: History) -> Proof:
    """Look at everything. The stream must be at rest: all that was sent is applied, and nothing is being sent."""
    proof = _Prover(settings)
    wrong = [*proof.tallies(), *proof.records(), *proof.events(), *proof.tiers(), *proof.moments(history)]
    return Proof(proof.looked_at, tuple(wrong))


class _Prover:
    def __init__(self, settings: Settings) -> None:
        self.looked_at: dict[str, int] = {}
        self._settings = settings
        self._codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)
        self._codec.resolve([SALES, PARTNERS])
        self._tallies: dict[tuple[str, str], Tally] = {}
        for _, _, event in self._told(TALLIES):
            assert isinstance(event, Tally)
            self._tallies[event.partner_id, event.quarter] = event
        self._tiers, self._weeks, self._closes = (
            list(self._told(topic)) for topic in (TIER_CHANGES, WEEKLY_SUMMARIES, QUARTER_CLOSES)
        )

    def tallies(self) -> Iterator[str]:
        """Tallies and what closes make payable, by the auditor's own recount."""
        found = verify.look(self._settings)
        self.looked_at["reports recounted"] = found.reports
        self.looked_at["standings compared"] = found.compared
        yield from found.differences
        if found.moving:
            yield f"{found.moving} partners still moved although nothing was sent"

    def records(self) -> Iterator[str]:
        """Each record of the sources ended in just one place."""
        letters = Counter(
            tuple(header(m.headers(), f"dlq.{name}") or "" for name in ("topic", "partition", "offset"))
            for m in records(self._settings, DEAD_LETTERS)
        )
        lines = {
            (event.partner_id, event.sale_id)
            for topic in (SALE_LINES, SETTLED_LINES)
            for _, _, event in self._told(topic)
            if isinstance(event, SaleLine)
        }
        copies: Counter[str] = Counter()
        strays: set[str] = set()
        applied: set[tuple[str, str]] = set()
        bad: set[tuple[str, ...]] = set()
        for topic in (SALES, PARTNERS):
            for message in records(self._settings, topic):
                place = message.topic(), str(message.partition()), str(message.offset())
                event = self._event(topic, message)
                if event is None:
                    bad.add(place)
                elif isinstance(event, SaleReported | SaleReturned):
                    if self._at_home(event, message):
                        applied.add((event.partner_id, event.sale_id))
                        origin = header(kafka.headers_of(message), _REROUTED)
                        copies.update([origin] if origin is not None else [])
                    elif header(kafka.headers_of(message), _REROUTED) is None:
                        strays.add("/".join(place[1:]))
                    else:
                        bad.add(place)
        self.looked_at |= {"sales with a line": len(lines), "strays": len(strays), "dead letters": len(bad)}
        yield from _once("dead letter", {" ".join(p): n for p, n in letters.items()}, {" ".join(p) for p in bad})
        yield from _once("re-routed record", copies, strays)
        yield from _once("line", dict.fromkeys(map("/".join, lines), 1), set(map("/".join, applied)))

    def events(self) -> Iterator[str]:
        """Each event once, under the id that follows from it, in its partner's partition."""
        told = [*self._tiers, *self._weeks, *self._closes]
        ids = Counter(event_id for _, event_id, _ in told)
        yield from (f"event {event_id} was told {number} times" for event_id, number in ids.items() if number > 1)
        for partition, event_id, event in told:
            partner_id: str = event.partner_id  # type: ignore[attr-defined]
            if event_id != id_of(event):
                yield f"an event of {partner_id} has the id {event_id}, should have {id_of(event)}"
            if partition != partition_of(partner_id.encode(), self._settings.partitions):
                yield f"an event of {partner_id} stands in partition {partition}"

    def tiers(self) -> Iterator[str]:
        """Tier changes without gaps, each beginning where the one before ended, up to the tally's tier."""
        told: defaultdict[tuple[str, str], list[TierChanged]] = defaultdict(list)
        for _, _, event in self._tiers:
            assert isinstance(event, TierChanged)
            told[event.partner_id, event.quarter].append(event)
        self.looked_at["tier changes"] = len(self._tiers)
        for key in sorted({*told, *self._tallies}):
            changes, tally, who = told.get(key, []), self._tallies.get(key), " ".join(key)
            if [change.sequence for change in changes] != list(range(1, len(changes) + 1)):
                yield f"{who}: tier changes are numbered {[change.sequence for change in changes]}"
            if any(before.to_tier != after.from_tier for before, after in pairwise(changes)):
                yield f"{who}: a tier change does not begin where the one before ended"
            last = (changes[-1].to_tier if changes else 0), len(changes)
            if tally is None or last != (tally.tier, tally.tier_sequence):
                yield f"{who}: {last[1]} tier changes end at tier {last[0]}, the tally says otherwise"

    def moments(self, history: History) -> Iterator[str]:
        """Summaries and closes: each moment that was due, once, for every member, and closes without gaps."""
        due = Due(self._settings)
        members = Membership(self._settings, self._codec)
        weeks = Counter((p, e.week, e.partner_id) for p, _, e in self._weeks if isinstance(e, WeeklySummary))
        closes = Counter(
            (p, e.quarter, e.revision, e.partner_id) for p, _, e in self._closes if isinstance(e, QuarterClosed)
        )
        self.looked_at |= {"weekly summaries": len(self._weeks), "closes": len(self._closes)}
        expected: set[tuple[int, str, str]] = set()
        for partition, positions in sorted(history.items()):
            wrong, done = due.of(positions)
            yield from (f"partition {partition}: {text}" for text in wrong)
            for moment, registry_at in done:
                if moment.week:
                    found = members.on(partition, registry_at, moment.day, moment.day)
                    expected |= {(partition, moment.week, who) for who in found}
                    continue
                for who in members.in_quarter(partition, registry_at, moment.day):
                    if not closes[partition, moment.quarter, moment.revision, who]:
                        yield f"{who} {moment.quarter}: close {moment.revision} is missing"
        self.looked_at["moments of the calendar"] = due.seen
        yield from _once("weekly summary", {_text(k): n for k, n in weeks.items()}, set(map(_text, expected)))
        yield from self._revisions()

    def _revisions(self) -> Iterator[str]:
        told: defaultdict[tuple[str, str], list[QuarterClosed]] = defaultdict(list)
        for _, _, event in self._closes:
            assert isinstance(event, QuarterClosed)
            told[event.partner_id, event.quarter].append(event)
        for key, closes in told.items():
            who, numbers = " ".join(key), [close.revision for close in closes]
            if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or numbers[0] > 1:
                yield f"{who}: closes are numbered {numbers}"
            if any(close.kind is not _KINDS.get(close.revision, CloseKind.ADJUSTMENT) for close in closes):
                yield f"{who}: a close is not of the kind that its number says"
            total = 0
            for close in closes:
                total += close.payable_minor
                if close.payable_total_minor != total:
                    yield f"{who}: close {close.revision} says {close.payable_total_minor} in all, it is {total}"
            tally = self._tallies[key]
            if tally.revision != numbers[-1] or (numbers[-1] > 0 and tally.phase is not Phase.FINAL):
                yield f"{who}: the tally does not know close {numbers[-1]}"

    def _told(self, topic: Topic) -> Iterator[Told]:
        for message in records(self._settings, topic):
            value, event_id = message.value(), header(kafka.headers_of(message), "ce_id")
            if value is not None:  # a line that moved to where settled ones are says nothing here
                yield message.partition(), event_id, self._codec.decode(topic, value)

    def _event(self, topic: Topic, message: Message) -> Event | None:
        """The event in a source's record; None if it must have been put aside. A partner who left is Membership's."""
        value, key = message.value(), (message.key() or b"").decode("utf-8", "replace")
        if topic is SALES and len(value or b"") > SALES_BYTES_MAX:
            return None
        try:
            event = self._codec.decode(topic, value or b"")
        except Undecodable:
            return None
        if isinstance(event, SaleReported | SaleReturned):
            return event if unfit(event) is None else None
        return event if getattr(event, "partner_id", None) == key else None

    def _at_home(self, event: SaleReported | SaleReturned, message: Message) -> bool:
        return partition_of(event.partner_id.encode(), self._settings.partitions) == int(message.partition())


_KINDS = {0: CloseKind.PROVISIONAL, 1: CloseKind.FINAL}


def _once(what: str, found: Mapping[str, int], expected: set[str]) -> Iterator[str]:
    for key in sorted({*found, *expected}):
        number, wanted = found.get(key, 0), int(key in expected)
        if number != wanted:
            yield f"{number} instead of {wanted}: {what} of {key}"


def _text(parts: Iterable[object]) -> str:
    return " ".join(map(str, parts))
