"""Rules 1, 5, 8 and 9 as one property: any programme, in any zone, its terms changing between quarters; facts at the
edges (midnights, horizons, leap days, thresholds); partners who leave, are forgotten and come back; in any order, split
and with calendar moments in between."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.audit.recount import Recount, Standing
from schemas.events import Partner, QuarterClosed, SaleReported, SaleReturned, TierChanged, WeeklySummary
from streams.rules.calendar import due
from streams.rules.terms import parse
from tests.rules.facts import Bench, a_partner
from tests.rules.recount import as_it_can_come

START, END = datetime(2026, 12, 1, tzinfo=UTC), datetime(2029, 9, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "Pacific/Midway"]
LADDERS = [
    [(0, 0), (10, 500), (25, 1000), (50, 1500)],
    [(0, 100), (9, 700)],
    [(0, 0), (1, 1), (49, 3), (50, 999)],
]
EDGES = [date(2026, 12, 31), date(2027, 1, 1), date(2027, 3, 31), date(2027, 4, 1), date(2028, 2, 28)]
EDGES += [date(2028, 2, 29), date(2028, 3, 1), date(2028, 3, 31), date(2028, 4, 1), date(2028, 12, 31)]


class Terms(NamedTuple):
    """One version of the terms, as drawn."""

    valid_from: date
    ladder: list[tuple[int, int]]
    countries: list[str]
    grace: int
    horizon: int


class Drawn(NamedTuple):
    """A programme, as drawn."""

    zone: str
    terms: list[Terms]
    valid_to: date | None

    def text(self) -> str:
        lines = ['id = "drawn"', 'name = "Drawn"', f'time_zone = "{self.zone}"']
        for number, terms in enumerate(self.terms):
            tiers = ", ".join(f"{{ units = {units}, rate_minor = {rate} }}" for units, rate in terms.ladder)
            lines += ["[[terms]]", f'version = "v{number}"', f"valid_from = {terms.valid_from}", 'currency = "EUR"']
            lines += [f"countries = {terms.countries}", f"tiers = [{tiers}]"]
            lines += [f"grace_days = {terms.grace}", f"horizon_days = {terms.horizon}"]
        lines += ["[[products]]", 'id = "TS-100"', 'name = "One"', "valid_from = 2026-01-01"]
        return "\n".join([*lines, f"valid_to = {self.valid_to}"] if self.valid_to else lines)

    def midnight(self, day: date, days: int) -> datetime:
        """So many days after a day, at midnight in the programme's zone."""
        on = day + timedelta(days=days)
        return datetime(on.year, on.month, on.day, tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def horizon(self, day: date) -> datetime:
        """From when on nothing changes a sale of a day."""
        return self.midnight(end_of(day), self.of(first_of(day)).horizon)

    def of(self, first_day: date) -> Terms:
        return next((t for t in reversed(self.terms) if t.valid_from <= first_day), self.terms[0])


versions = st.builds(
    Terms,
    st.just(date(2026, 1, 1)),
    st.sampled_from(LADDERS),
    st.sampled_from([["DE"], ["DE", "US"]]),
    st.sampled_from([0, 28]),
    st.sampled_from([45, 180]),
)
begins = st.lists(st.sampled_from([date(2027, 1, 1), date(2027, 2, 15), date(2028, 4, 1)]), unique=True).map(sorted)


@st.composite
def programmes(draw: Any) -> Drawn:
    later = [draw(versions)._replace(valid_from=day) for day in draw(begins)]
    valid_to = draw(st.sampled_from([None, None, date(2028, 2, 29)]))
    return Drawn(draw(st.sampled_from(ZONES)), [draw(versions), *later], valid_to)


def end_of(day: date) -> date:
    """The day after the quarter of a day."""
    month = (day.month + 2) // 3 * 3 + 1
    return date(day.year + 1, 1, 1) if month > 12 else date(day.year, month, 1)


def first_of(day: date) -> date:
    """The first day of the quarter of a day."""
    return date(day.year, (day.month + 2) // 3 * 3 - 2, 1)


@st.composite
def facts(draw: Any, programme: Drawn) -> tuple[SaleReported | SaleReturned, datetime]:
    day = draw(st.sampled_from(EDGES))
    terms = programme.of(first_of(day))
    edges = [
        datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=14),  # it begins somewhere on earth
        programme.midnight(end_of(day), 0),
        programme.midnight(end_of(day), terms.grace),
        programme.midnight(end_of(day), terms.horizon),
    ]
    recorded_at = draw(st.sampled_from(edges)) + draw(st.sampled_from([-MILLISECOND, timedelta(0), MILLISECOND]))
    partner, sale, reported_at = draw(st.sampled_from(["P1", "P2"])), draw(st.sampled_from("ABCD")), recorded_at
    if draw(st.booleans()):
        reported_at = START + timedelta(minutes=draw(st.integers(0, 2)))
    if draw(st.integers(0, 3)):
        quantity = draw(st.sampled_from([-1, 0, 1, 9, 10, 24, 25, 26, 49, 50, 51]))
        product = draw(st.sampled_from(["TS-100"] * 5 + ["XX-1"]))
        return SaleReported(sale, partner, product, quantity, day, reported_at), recorded_at
    quantity, return_id = draw(st.sampled_from([0, 1, 25, 60])), draw(st.sampled_from(["R1", "R2"]))
    return SaleReturned(return_id, sale, partner, "TS-100", quantity, day, reported_at), recorded_at


registrations = st.lists(
    st.tuples(
        st.sampled_from(["P1", "P2"]),
        st.builds(
            a_partner,
            st.just(""),
            country=st.sampled_from(["DE", "DE", "US"]),
            left_on=st.sampled_from([None, None, date(2027, 1, 1), date(2028, 2, 29)]),
        )
        | st.none(),
    ),
    max_size=5,
)


@st.composite
def stories(draw: Any) -> tuple[Drawn, list[Any], list[tuple[str, Partner | None]]]:
    programme = draw(programmes())
    return programme, draw(st.lists(facts(programme), max_size=14)), draw(registrations)


@settings(max_examples=200, deadline=None)
@given(stories(), st.randoms(use_true_random=False))
def test_any_programme_in_any_order_ends_in_the_recount(story: Any, random: Any) -> None:
    programme, given_facts, said = story
    # Whoever was forgotten registers again in the end: what is owed is owed to somebody.
    final = {who: partner for who, partner in said if partner is not None}
    said = [*said, *((who, partner) for who, partner in final.items())]
    repeated = random.sample(given_facts, len(given_facts) // 3)
    work: list[Any] = as_it_can_come([*given_facts, *repeated], random, programme.horizon)
    for shift, place in enumerate(sorted(random.choices(range(len(work) + 1), k=len(said)))):
        work.insert(place + shift, said[shift])
    bench = Bench(START)
    bench.programme = parse(programme.text())
    while work:
        size = random.randint(1, 5)
        batch, work = work[:size], work[size:]
        feed(bench, batch)
        assert bench.state.check(len(given_facts) * 2).differences == []
        if random.random() < 0.4:
            let_time_pass(bench, bench.at + timedelta(days=random.choice([0, 1, 30, 100, 400])))
    let_time_pass(bench, max(END, bench.at))
    # Past all horizons: no verdict changes any more.
    feed(bench, [(who, a_partner(who, country="US", left_on=START.date())) for who in ("P1", "P2")], bench.at)

    auditor = Recount(programme.text())
    for event, recorded_at in sorted(given_facts, key=lambda fact: fact[1]):
        auditor.add(event, recorded_at)
    partners = {who: _named(partner, who) for who, partner in final.items()}
    expected = {key: standing for key, standing in auditor.standings(partners).items() if any(standing)}
    tallies = {(tally.partner_id, tally.quarter): tally for tally in bench.state.tallies()}
    found = {key: Standing(*(getattr(t, name) for name in Standing._fields)) for key, t in tallies.items()}
    assert {key: standing for key, standing in found.items() if any(standing)} == expected
    for key, tally in tallies.items():
        what_was_told_leads_to(tally, [e for e in bench.told if told_of(e) == key])
    weeks = Counter((e.partner_id, e.week) for e in bench.told if isinstance(e, WeeklySummary))
    assert set(weeks.values()) <= {1}


def what_was_told_leads_to(tally: Any, told: list[Any]) -> None:
    """Tier changes are an unbroken way to the tier; closes sum up to the rebate, each revision once."""
    changes = [e for e in told if isinstance(e, TierChanged)]
    assert [c.sequence for c in changes] == list(range(1, tally.tier_sequence + 1))
    assert all(before.to_tier == after.from_tier != after.to_tier for before, after in pairwise(changes))
    assert not changes or changes[-1].to_tier == tally.tier
    closes = [e for e in told if isinstance(e, QuarterClosed)]
    revisions = [c.revision for c in closes]
    assert revisions == list(range(revisions[0], revisions[0] + len(revisions))) if revisions else True
    total = 0
    for close in closes:
        total += close.payable_minor
        assert (close.payable_total_minor, total) == (total, close.rebate_minor if close.revision else 0)
    assert total == (tally.rebate_minor if tally.quarter <= "2029Q1" else 0)


def told_of(event: Any) -> tuple[str, str]:
    return event.partner_id, event.quarter


def feed(bench: Bench, batch: list[Any], registered_at: datetime = START) -> None:
    draft = bench.draft()
    for who, what in batch:
        if isinstance(who, str):
            draft.partner(who, None if what is None else _named(what, who), registered_at)
        else:
            draft.sale(who, what, bench.offset)
            bench.offset += 1
    bench.keep(draft)


def _named(partner: Partner, partner_id: str) -> Partner:
    return a_partner(partner_id, country=partner.country, left_on=partner.left_on)


def let_time_pass(bench: Bench, until: datetime) -> None:
    for moment in due(bench.programme, bench.at, until):
        draft = bench.draft()
        draft.moment(moment)
        bench.state.absorb(draft)
        bench.told += draft.events
    bench.at = max(bench.at, until)
