"""Rule 5 as a property: any order, repetition, delay and split of the same events ends in the same standing.

What is recorded past the horizon of a sale comes after what is recorded before it, for a broker's time never goes back.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.audit.recount import Recount, Standing
from schemas.events import Partner, QuarterClosed, SaleReported, SaleReturned, TierChanged, content_hash
from streams.rules.calendar import due
from tests.rules.facts import NOON, ROOT, Bench, a_partner
from tests.rules.recount import Fact, as_it_can_come, rebate_cents, recount

START = datetime(2026, 9, 15, tzinfo=UTC)
END = datetime(2027, 4, 20, tzinfo=UTC)
days = st.sampled_from(["2025-12-31", "2026-09-30", "2026-10-01", "2026-11-05", "2026-12-31"]).map(date.fromisoformat)
who = st.sampled_from(["P1", "P2", "P3"])
moments = st.integers(0, 217).map(lambda day: START + timedelta(days=day, hours=day % 24))
minutes = st.integers(0, 3).map(lambda minute: NOON + timedelta(minutes=minute))
sales = st.builds(
    SaleReported,
    sale_id=st.sampled_from("ABCDEF"),
    partner_id=who,
    product_id=st.sampled_from(["TS-100", "TS-100", "TS-100", "XX-1"]),
    quantity=st.sampled_from([-1, 0, 1, 9, 10, 24, 25, 49, 50]),
    sold_on=days,
    reported_at=minutes,
)
returns = st.builds(
    SaleReturned,
    return_id=st.sampled_from(["R1", "R2"]),
    sale_id=st.sampled_from("ABCDEF"),
    partner_id=who,
    product_id=st.just("TS-100"),
    quantity=st.sampled_from([0, 1, 2, 60]),
    returned_on=days,
    reported_at=minutes,
)
partners = st.builds(
    a_partner,
    who,
    country=st.sampled_from(["DE", "DE", "US"]),
    left_on=st.sampled_from([None, None, date(2026, 11, 5), date(2026, 10, 1)]),
)
facts = st.lists(st.tuples(st.one_of(sales, sales, returns), moments), max_size=25)


@settings(max_examples=400, deadline=None)
@given(facts, st.lists(partners, max_size=4), st.randoms(use_true_random=False))
def test_any_order_split_and_repetition_ends_in_the_recount(
    given_facts: list[Fact], registrations: list[Partner], random
) -> None:  # type: ignore[no-untyped-def]
    repeated = random.sample(given_facts, len(given_facts) // 3)
    work: list[Fact | Partner] = [*as_it_can_come([*given_facts, *repeated], random)]
    # Registrations keep their order among themselves: the registry is one writer.
    places = sorted(random.choices(range(len(work) + 1), k=len(registrations)))
    for shift, (place, partner) in enumerate(zip(places, registrations, strict=True)):
        work.insert(place + shift, partner)
    bench = Bench(START)
    ticks = iter(sorted(random.choices([START + timedelta(days=d) for d in range(217)], k=3)))
    while work:
        size = random.randint(1, 6)
        batch, work = work[:size], work[size:]
        draft = bench.draft()
        for item in batch:
            if isinstance(item, Partner):
                draft.partner(item.partner_id, item, START)
            else:
                draft.sale(item[0], item[1], bench.offset)
                bench.offset += 1
        bench.keep(draft)
        assert bench.state.check(bench.offset) == ([], 0)
        if random.random() < 0.4:
            let_time_pass(bench, next(ticks, END))
    let_time_pass(bench, END)

    known = {partner.partner_id: partner for partner in registrations}
    expected = recount(given_facts, known, content_hash)
    found = {
        (
            tally.partner_id,
            (int(tally.quarter[:4]), int(tally.quarter[5])),
        ): tally.units
        for tally in bench.state.tallies()
        if tally.units
    }
    assert found == {key: units for key, units in expected.items() if units}
    assert {
        (tally.partner_id, tally.quarter): Standing(*(getattr(tally, field) for field in Standing._fields))
        for tally in bench.state.tallies()
        if tally.units or tally.counted or tally.pending or tally.rejected or tally.returned
    } == audited(given_facts, known)
    paid: dict[tuple[str, str], int] = {}
    for event in bench.told:
        if isinstance(event, QuarterClosed):
            key = event.partner_id, event.quarter
            paid[key] = paid.get(key, 0) + event.payable_minor
            assert event.payable_total_minor == paid[key]
    for tally in bench.state.tallies():
        due_now = rebate_cents(tally.units) if tally.quarter != "2027Q2" else 0
        assert tally.rebate_minor == rebate_cents(tally.units)
        assert paid.get((tally.partner_id, tally.quarter), 0) == due_now
        changes = [e for e in bench.told if isinstance(e, TierChanged) and e.partner_id == tally.partner_id]
        sequences = [e.sequence for e in changes if e.quarter == tally.quarter]
        assert sequences == list(range(1, tally.tier_sequence + 1))


def audited(given_facts: list[Fact], known: dict[str, Partner]) -> dict[tuple[str, str], Standing]:
    """What the auditor's recount makes of the same facts: verdicts too."""
    auditor = Recount((ROOT / "programme.toml").read_text("utf-8"))
    for event, recorded_at in sorted(given_facts, key=lambda fact: fact[1]):
        auditor.add(event, recorded_at)
    return auditor.standings(known)


def let_time_pass(bench: Bench, until: datetime) -> None:
    for moment in due(bench.programme, bench.at, until):
        draft = bench.draft()
        draft.moment(moment)
        bench.state.absorb(draft)
        bench.told += draft.events
    bench.at = max(bench.at, until)
