"""What must hold at the end of a run, from the committed records alone. No code of the product but the contract's, and
the auditor's recount, which shares none with the rules."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from deploy.audit.recount import Recount, Standing
from schemas.codec import Undecodable, header
from schemas.events import (
    CloseKind,
    Event,
    Partner,
    Position,
    QuarterClosed,
    SaleLine,
    Tally,
    TierChanged,
    WeeklySummary,
    id_of,
)
from schemas.topics import (
    DEAD_LETTERS,
    PARTNERS,
    POSITIONS,
    QUARTER_CLOSES,
    SALE_LINES,
    SALES,
    SETTLED_LINES,
    TALLIES,
    TIER_CHANGES,
    WEEKLY_SUMMARIES,
    Topic,
)
from schemas.values import partition_of
from tests.simulation.broker import Entry
from tests.simulation.given import programme_text
from tests.simulation.world import World

BERLIN = ZoneInfo("Europe/Berlin")
CLOCK_TOLERANCE = timedelta(minutes=5)
REROUTED = "staffel-rerouted-from"
EVENTS = (TIER_CHANGES, WEEKLY_SUMMARIES, QUARTER_CLOSES)


class Wrong(AssertionError):
    """What was published is not what the records say."""


class Published:
    """All that readers of committed records can see, decoded once."""

    def __init__(self, world: World) -> None:
        self._world, self._records = world, world.committed
        self._events: dict[Topic, list[tuple[int, Entry, Any]]] = {}
        self.prefix, self.grace_days = world.prefix, world.grace_days
        self.partitions = world.partitions
        self.registrations = world.traffic.registrations
        self.now = datetime.fromtimestamp(world.now(), UTC)

    def records(self, topic: Topic) -> Iterator[tuple[int, Entry]]:
        for number, entries in enumerate(self._records[topic]):
            for entry in entries:
                yield number, entry

    def events(self, topic: Topic) -> list[tuple[int, Entry, Any]]:
        """With the event; what is no event is left out."""
        if topic not in self._events:
            found = ((number, entry, self._decoded(topic, entry)) for number, entry in self.records(topic))
            self._events[topic] = [each for each in found if each[2] is not None]
        return self._events[topic]

    def lines(self) -> dict[tuple[str, str], SaleLine]:
        """What is said of each sale, wherever its line is by now."""
        found: dict[tuple[str, str], SaleLine] = {}
        for topic in (SETTLED_LINES, SALE_LINES):
            found |= {(line.partner_id, line.sale_id): line for line in self.latest(topic).values()}
        return found

    def live_lines(self) -> dict[tuple[int, bytes | None], SaleLine]:
        """Those of the stream's state, by partition and key."""
        values = {(number, entry.key): entry.value for number, entry in self.records(SALE_LINES)}
        return {place: line for place, line in self.latest(SALE_LINES).items() if values[place] is not None}

    def latest(self, topic: Topic) -> dict[tuple[int, bytes | None], Any]:
        """By partition and key."""
        return {(number, entry.key): event for number, entry, event in self.events(topic)}

    def tallies(self) -> dict[tuple[str, str], Tally]:
        """By partner and quarter."""
        return {(tally.partner_id, tally.quarter): tally for tally in self.latest(TALLIES).values()}

    def _decoded(self, topic: Topic, entry: Entry) -> Event | None:
        try:
            return None if entry.value is None else self._world.codec.decode(topic, entry.value)
        except Undecodable:
            return None

    def home(self, partner_id: str) -> int:
        return partition_of(partner_id.encode(), self.partitions)


def check(world: World) -> None:
    """Raises Wrong."""
    published = Published(world)
    tallies = published.tallies()
    each_in_its_place(published)
    every_record_is_accounted_for(published)
    standings_are_the_recount(published, tallies)
    tier_changes_are_unbroken(published, tallies)
    weeks_are_told_once(published, world.calm_since)
    closes_make_payable_what_is_due(published, tallies)
    positions_are_at_the_ends(published, world)
    lines_leave_when_nothing_changes_them(published)
    memory_is_what_was_published(published, world)


def check_standings(world: World) -> None:
    """What must hold even if a broker tears a batch: what counts is right. That is not said of events. Raises Wrong."""
    published = Published(world)
    standings_are_the_recount(published, published.tallies())
    memory_is_what_was_published(published, world)


def each_in_its_place(published: Published) -> None:
    for topic in (TALLIES, SALE_LINES, SETTLED_LINES, *EVENTS):
        for number, entry, event in published.events(topic):
            if published.home(event.partner_id) != number:
                raise Wrong(f"{topic.name} of {event.partner_id} in partition {number}")
            if topic in EVENTS and header(entry.headers, "ce_id") != id_of(event):
                raise Wrong(f"another id: {event}")


def every_record_is_accounted_for(published: Published) -> None:
    """Counted, rejected, pending or known: it has a line. Else it was put aside or sent on, exactly once."""
    sales = SALES.full_name(published.prefix)
    letters = Counter(
        f"{header(e.headers, 'dlq.partition')}/{header(e.headers, 'dlq.offset')}"
        for _, e in published.records(DEAD_LETTERS)
        if header(e.headers, "dlq.topic") == sales
    )
    rerouted = Counter(origin for _, e in published.records(SALES) if (origin := header(e.headers, REROUTED)))
    lines = published.lines()
    events = {(number, entry.offset): event for number, entry, event in published.events(SALES)}
    for number, entry in published.records(SALES):
        event = events.get((number, entry.offset))
        origin = f"{number}/{entry.offset}"
        stray = event is not None and published.home(event.partner_id) != number
        if letters.pop(origin, 0) != (event is None):
            raise Wrong(f"sales {origin} ({event}) and the dead letters")
        if rerouted.pop(origin, 0) != stray:
            raise Wrong(f"sales {origin} ({event}) was not re-routed once")
        if event is not None and not stray:
            known = event.partner_id, event.sale_id
            if known not in lines:
                raise Wrong(f"sales {origin}: {known} has no line")
    if rerouted:
        raise Wrong(f"re-routed from nowhere: {rerouted}")
    if letters:
        raise Wrong(f"dead letters from nowhere: {letters}")


def partners_of(published: Published) -> dict[str, tuple[Partner, Entry]]:
    found = {}
    for number, entry, partner in published.events(PARTNERS):
        if published.home(partner.partner_id) == number:
            found[partner.partner_id] = partner, entry
    return found


def forgotten_in(published: Published) -> set[str]:
    """Whom the registry has forgotten in the end."""
    last = {entry.key: entry.value for _, entry in published.records(PARTNERS)}
    return {key.decode() for key, value in last.items() if key is not None and value is None}


def standings_are_the_recount(published: Published, tallies: dict[tuple[str, str], Tally]) -> None:
    auditor = Recount(programme_text(published.grace_days))
    for number, entry, event in published.events(SALES):
        if published.home(event.partner_id) == number:
            auditor.add(event, datetime.fromtimestamp(entry.timestamp / 1000, UTC))
    partners = {partner.partner_id: partner for partner, _ in published.registrations}
    expected = {key: standing for key, standing in auditor.standings(partners).items() if any(standing)}
    found = {key: Standing(*(getattr(t, name) for name in Standing._fields)) for key, t in tallies.items()}
    found = {key: standing for key, standing in found.items() if any(standing)}
    for key in _registered_late(published, auditor, expected.keys() & found.keys()):
        _is_between(key, found.pop(key), _possible(published, auditor, key))
        del expected[key]
    if found != expected:
        raise Wrong(_difference(found, expected))


def _registered_late(published: Published, auditor: Recount, keys: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Where the registry said something of a partner past the horizon of a quarter.

    It changes no sale that the worker knew by then. But one that was away applies reports of before in any order.
    """
    said = [(partner.partner_id, at) for partner, at in published.registrations]
    return {key for key in keys for who, at in said if who == key[0] and auditor.settled(key[1], at)}


def _possible(published: Published, auditor: Recount, key: tuple[str, str]) -> list[Standing]:
    """A standing by each thing that the registry ever said of the partner, and as if it had said nothing."""
    said = [{key[0]: partner} for partner, _ in published.registrations if partner.partner_id == key[0]]
    return [auditor.standings(partners)[key] for partners in ({}, *said)]


def _is_between(key: tuple[str, str], found: Standing, possible: list[Standing]) -> None:
    """What counts lies between the least and the most, and no sale is missing."""
    for name in ("units", "tier", "rebate_minor"):
        each = [getattr(standing, name) for standing in possible]
        if not min(each) <= getattr(found, name) <= max(each):
            raise Wrong(f"{key}: published {found}, possible {possible}")
    if {sum(standing[3:]) for standing in possible} != {sum(found[3:])}:
        raise Wrong(f"{key}: published {found}, possible {possible}")


def _difference(found: dict[Any, Any], expected: dict[Any, Any]) -> str:
    keys = sorted(k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k))
    return "; ".join(f"{k}: published {found.get(k)}, recounted {expected.get(k)}" for k in keys)


def tier_changes_are_unbroken(published: Published, tallies: dict[tuple[str, str], Tally]) -> None:
    told: defaultdict[tuple[str, str], list[TierChanged]] = defaultdict(list)
    for _, _, change in published.events(TIER_CHANGES):
        told[change.partner_id, change.quarter].append(change)
    for key, tally in tallies.items():
        changes = told.pop(key, [])
        numbers = [change.sequence for change in changes]
        if numbers != list(range(1, len(numbers) + 1)):
            raise Wrong(f"tier changes of {key}: {numbers}")
        steps = [0, *(change.to_tier for change in changes)]
        if not ([change.from_tier for change in changes] == steps[:-1] and steps[-1] == tally.tier):
            raise Wrong(f"tier changes of {key} do not lead to {tally.tier}: {changes}")
    if told:
        raise Wrong(f"tier changes without a tally: {sorted(told)}")


def weeks_are_told_once(published: Published, calm_since: float) -> None:
    told: Counter[tuple[str, str]] = Counter()
    for _, entry, summary in published.events(WEEKLY_SUMMARIES):
        assert isinstance(summary, WeeklySummary)
        told[summary.partner_id, summary.week] += 1
        _not_before_its_time(entry, summary.as_of, f"week {summary.week} of {summary.partner_id}")
    twice = {key for key, number in told.items() if number > 1}
    if twice:
        raise Wrong(f"told twice: {sorted(twice)}")
    local = published.now.astimezone(BERLIN)
    monday = local.date() - timedelta(days=local.weekday())
    if datetime(monday.year, monday.month, monday.day, 8, tzinfo=BERLIN) > local:
        monday -= timedelta(days=7)
    at = datetime(monday.year, monday.month, monday.day, 8, tzinfo=BERLIN).timestamp()
    for partner_id, (partner, entry) in partners_of(published).items():
        if partner_id in forgotten_in(published):
            continue
        member = partner.registered_on <= monday and (partner.left_on is None or partner.left_on > monday)
        if member and at > calm_since + 3600 and entry.timestamp / 1000 < at:
            year, week, _ = monday.isocalendar()
            key = partner_id, f"{year}-W{week:02d}"
            if told[key] != 1:
                raise Wrong(f"not told: {key}")


def closes_make_payable_what_is_due(published: Published, tallies: dict[tuple[str, str], Tally]) -> None:
    told: defaultdict[tuple[str, str], list[QuarterClosed]] = defaultdict(list)
    forgotten = forgotten_in(published)
    for _, entry, close in published.events(QUARTER_CLOSES):
        told[close.partner_id, close.quarter].append(close)
        _not_before_its_time(entry, close.closed_at, f"close {close.revision} of {close.partner_id} {close.quarter}")
    for key, tally in tallies.items():
        closes = told.pop(key, [])
        revisions = [close.revision for close in closes]
        first = revisions[0] if revisions else 0
        if not (first in (0, 1) and revisions == list(range(first, first + len(revisions)))):
            raise Wrong(f"closes of {key}: revisions {revisions}")
        total = 0
        for close in closes:
            kinds = {0: CloseKind.PROVISIONAL, 1: CloseKind.FINAL}
            total += close.payable_minor
            if not (
                close.kind is kinds.get(close.revision, CloseKind.ADJUSTMENT)
                and close.payable_total_minor == total
                and (total == (close.rebate_minor if close.revision else 0))
            ):
                raise Wrong(f"a close that does not add up: {close}")
        final = published.now >= _final_at(key[1], published.grace_days)
        if key[0] in forgotten and total == 0:
            continue  # forgotten before it was final: paid if he comes back
        if total != (tally.rebate_minor if final else 0):
            raise Wrong(f"{key}: payable {total}, rebate {tally.rebate_minor}")
    if told:
        raise Wrong(f"closes without a tally: {sorted(told)}")


def _final_at(quarter: str, grace_days: int) -> datetime:
    year, number = int(quarter[:4]), int(quarter[5])
    end = date(year + 1, 1, 1) if number == 4 else date(year, 3 * number + 1, 1)
    day = end + timedelta(days=grace_days)
    return datetime(day.year, day.month, day.day, tzinfo=BERLIN)


def _not_before_its_time(entry: Entry, said: datetime, what: str) -> None:
    written = datetime.fromtimestamp(entry.timestamp / 1000, UTC)
    if said > written + CLOCK_TOLERANCE:
        raise Wrong(f"{what}: of {said}, written already at {written}")


def positions_are_at_the_ends(published: Published, world: World) -> None:
    positions: dict[tuple[int, bytes | None], Position] = published.latest(POSITIONS)
    for source in (SALES, PARTNERS):
        topic = world.broker.topics[source.full_name(world.prefix)]
        for number, log in enumerate(topic.logs):
            last = max((e.offset for e in log.read(0, committed=True)), default=-1)
            position = positions.get((number, source.name.encode()))
            said = position.offset if position else -1
            if not last <= said < max(log.end, 1):
                raise Wrong(f"{source.name}/{number}: position {said}, last record {last}, end {log.end}")
            if not (position is None or position.topic_id == topic.identity):
                raise Wrong(f"another log: {position}")


def lines_leave_when_nothing_changes_them(published: Published) -> None:
    """What left was past its horizon; its line is kept elsewhere, as it stood, and nowhere twice."""
    auditor = Recount(programme_text(published.grace_days))
    moved = published.latest(SETTLED_LINES)
    for (number, key), line in moved.items():
        entry = next(e for n, e in published.records(SETTLED_LINES) if (n, e.key) == (number, key))
        if not auditor.settled(line.quarter, datetime.fromtimestamp(entry.timestamp / 1000, UTC)):
            raise Wrong(f"left too early: {line}")
    if both := moved.keys() & published.live_lines().keys():
        raise Wrong(f"left and still there: {sorted(both)}")
    if lost := published.latest(SALE_LINES).keys() - moved.keys() - published.live_lines().keys():
        raise Wrong(f"left for nowhere: {sorted(lost)}")


def memory_is_what_was_published(published: Published, world: World) -> None:
    """What the owners have in memory is what the next owners will read."""
    for worker in world.workers:
        for held in worker.owned.all():
            state = held._partition._restored.state
            lines = [line for (number, _), line in published.live_lines().items() if number == held.number]
            tallies = [tally for (number, _), tally in published.latest(TALLIES).items() if number == held.number]
            of = held.number
            for line in lines:
                known = state.line(line.partner_id, line.sale_id)
                if known != line:
                    raise Wrong(f"in memory of {of} {known}, published {line}")
            for tally in tallies:
                sum_ = state.tally(tally.partner_id, tally.quarter)
                if sum_ != tally and tally.partner_id not in state.away:
                    raise Wrong(f"in memory of {of} {sum_}, published {tally}")
            kept = sum(len(state.packed_lines(p)) for p in {line.partner_id for line in lines})
            if kept != len(lines):
                raise Wrong(f"{kept} lines in memory of {of}, {len(lines)} published")
            if len(list(state.tallies())) != sum(tally.partner_id not in state.away for tally in tallies):
                raise Wrong(f"other tallies in memory of {of}")
