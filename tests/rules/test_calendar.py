"""Rules 6, 7 and 8: tier changes both ways, weekly summaries, closes and adjustments."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from schemas.events import CloseKind, Phase, QuarterClosed, TierChanged, WeeklySummary, id_of
from schemas.values import Quarter
from streams.rules.calendar import MomentKind, due, phase_at
from streams.rules.terms import parse
from tests.rules.facts import NOON, Bench, a_partner, a_return, a_sale, programme
from tests.rules.test_terms import TEXT, and_later

PROVISIONAL_AT = datetime(2026, 12, 31, 23, tzinfo=UTC)  # midnight in Berlin
FINAL_AT = PROVISIONAL_AT + timedelta(days=28)
INSTANT = timedelta(microseconds=1)


def pass_time(bench: Bench, until: datetime) -> None:
    for moment in due(bench.programme, bench.at, until):
        draft = bench.draft()
        draft.moment(moment)
        bench.state.absorb(draft)
        bench.told += draft.events
        bench.at = moment.at
    bench.at = until


def closes(bench: Bench) -> list[tuple[str, int, int]]:
    return [(e.kind.value, e.revision, e.payable_minor) for e in bench.told if isinstance(e, QuarterClosed)]


def test_each_crossing_is_told_once_upwards_and_downwards() -> None:
    bench = Bench().feed(
        a_partner(), a_sale("A", units=9), a_sale("B", units=1), a_return("B", units=1), a_sale("C", units=41)
    )
    changes = [e for e in bench.told if isinstance(e, TierChanged)]
    assert [(c.sequence, c.from_tier, c.to_tier) for c in changes] == [(1, 0, 10), (2, 10, 0), (3, 0, 50)]
    assert [c.rebate_after_minor for c in changes] == [5000, 0, 75000]
    assert len({id_of(c) for c in changes}) == 3


def test_every_week_each_partner_is_told_his_standing_also_who_sold_nothing() -> None:
    bench = Bench().feed(a_partner("P1"), a_partner("P2"), a_sale(units=8))
    pass_time(bench, NOON + timedelta(days=4))
    told = {e.partner_id: e for e in bench.told if isinstance(e, WeeklySummary)}
    assert {who: (s.units, s.units_missing, s.gain_minor, s.week) for who, s in told.items()} == {
        "P1": (8, 2, 5000, "2026-W48"),
        "P2": (0, 10, 5000, "2026-W48"),
    }
    assert told["P1"].as_of == datetime(2026, 11, 23, 7, tzinfo=UTC)


def test_who_has_sold_nothing_is_told_the_rate_of_the_first_tier() -> None:
    bench = Bench()
    bench.programme = parse(TEXT.replace("units = 0, rate_minor = 0", "units = 0, rate_minor = 100"))
    bench.feed(a_partner())
    pass_time(bench, NOON + timedelta(days=4))
    assert [(e.tier, e.rate_minor, e.rebate_minor) for e in bench.told if isinstance(e, WeeklySummary)] == [(0, 100, 0)]


def test_the_week_is_told_to_who_is_a_partner_on_its_monday() -> None:
    monday, next_day = date(2026, 11, 23), date(2026, 11, 24)
    bench = Bench().feed(
        a_partner("came", since=monday),
        a_partner("came-later", since=next_day),
        a_partner("left", left_on=monday),
        a_partner("left-later", left_on=next_day),
    )
    pass_time(bench, NOON + timedelta(days=4))
    assert {e.partner_id for e in bench.told if isinstance(e, WeeklySummary)} == {"came", "left-later"}


def test_closes_that_fall_on_one_instant_come_in_their_order() -> None:
    bench = Bench().feed(a_partner(), a_sale("A", units=10))
    bench.programme = parse(TEXT.replace("grace_days = 28", "grace_days = 0"))
    pass_time(bench, datetime(2027, 1, 2, tzinfo=UTC))
    bench.feed(a_sale("B", units=1))
    assert closes(bench) == [("provisional", 0, 0), ("final", 1, 5000), ("adjustment", 2, 500)]


def test_a_summary_says_what_changed_since_the_last_one() -> None:
    bench = Bench().feed(a_partner(), a_sale("A", units=8))
    pass_time(bench, NOON + timedelta(days=4))
    bench.feed(a_sale("B", units=4))
    pass_time(bench, NOON + timedelta(days=11))
    pass_time(bench, NOON + timedelta(days=18))
    told = [e for e in bench.told if isinstance(e, WeeklySummary)]
    assert [(e.units_change, e.rebate_change_minor) for e in told] == [(8, 0), (4, 6000), (0, 0)]
    tally = bench.state.tally("P1", "2026Q4")
    assert (tally.week, tally.week_units, tally.week_rebate_minor) == ("2026-W50", 12, 6000)


def test_who_is_at_the_top_misses_nothing() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=50))
    pass_time(bench, NOON + timedelta(days=4))
    told = next(e for e in bench.told if isinstance(e, WeeklySummary))
    change = next(e for e in bench.told if isinstance(e, TierChanged))
    for event in (told, change):
        assert (event.next_threshold, event.units_missing, event.gain_minor) == (None, 0, 0)


def test_after_a_month_away_only_the_latest_week_is_told() -> None:
    moments = due(programme(), NOON, NOON + timedelta(days=31))
    assert [(m.kind, m.day) for m in moments] == [(MomentKind.WEEK, date(2026, 12, 21))]


def test_moments_missed_are_caught_up_in_order_and_none_twice() -> None:
    until = datetime(2027, 2, 3, tzinfo=UTC)
    at_once = due(programme(), NOON, until)
    assert [m.kind for m in at_once] == [MomentKind.PROVISIONAL, MomentKind.FINAL, MomentKind.WEEK]
    middle = datetime(2027, 1, 10, tzinfo=UTC)
    closes_of = [*due(programme(), NOON, middle), *due(programme(), middle, until)]
    assert [m for m in closes_of if m.kind is not MomentKind.WEEK] == at_once[:2]


@pytest.mark.parametrize("at", [PROVISIONAL_AT, FINAL_AT, datetime(2026, 11, 23, 7, tzinfo=UTC)])
def test_a_moment_is_due_from_its_instant_on_and_once(at: datetime) -> None:
    before, then, after = (
        due(programme(), one, other)
        for one, other in ((at - 2 * INSTANT, at - INSTANT), (at - INSTANT, at), (at, at + INSTANT))
    )
    assert ([m.at for m in before], [m.at for m in then], [m.at for m in after]) == ([], [at], [])


def test_at_the_same_instant_quarters_are_closed_provisionally_first() -> None:
    late = parse(TEXT.replace("grace_days = 28", "grace_days = 92"))
    moments = due(late, PROVISIONAL_AT - INSTANT, PROVISIONAL_AT)
    assert [(m.kind, str(m.quarter)) for m in moments] == [
        (MomentKind.PROVISIONAL, "2026Q4"),
        (MomentKind.FINAL, "2026Q3"),
    ]


def test_a_quarter_with_a_long_grace_is_closed_though_other_terms_are_short() -> None:
    text = and_later("2027-1", "2027-01-01").replace("horizon_days = 180", "horizon_days = 400", 1)
    long = parse(text.replace("grace_days = 28", "grace_days = 400", 1))
    at = long.dates(Quarter(2026, 4)).final_at
    assert MomentKind.FINAL in [m.kind for m in due(long, at - INSTANT, at)]


@pytest.mark.parametrize(
    ("at", "phase"),
    [
        (PROVISIONAL_AT - INSTANT, Phase.OPEN),
        (PROVISIONAL_AT, Phase.PROVISIONAL),
        (FINAL_AT - INSTANT, Phase.PROVISIONAL),
        (FINAL_AT, Phase.FINAL),
    ],
)
def test_a_quarter_is_open_then_provisional_then_final(at: datetime, phase: Phase) -> None:
    assert phase_at(programme(), Quarter(2026, 4), at) is phase


def test_a_late_sale_is_told_in_the_phase_that_its_quarter_is_in() -> None:
    bench = Bench(at=PROVISIONAL_AT).feed(a_partner(), a_sale(units=10), recorded_at=PROVISIONAL_AT)
    assert [e.phase for e in bench.told if isinstance(e, TierChanged)] == [Phase.PROVISIONAL]


def test_a_provisional_close_makes_nothing_payable_and_the_final_one_all() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=50))
    pass_time(bench, datetime(2027, 1, 10, tzinfo=UTC))
    assert bench.state.tally("P1", "2026Q4").phase is Phase.PROVISIONAL
    pass_time(bench, datetime(2027, 1, 30, tzinfo=UTC))
    assert closes(bench) == [("provisional", 0, 0), ("final", 1, 75000)]


def test_late_facts_adjust_the_old_quarter_both_ways() -> None:
    bench = Bench().feed(a_partner(), a_sale("A", units=49), a_sale("B", units=1))
    pass_time(bench, datetime(2027, 1, 30, tzinfo=UTC))
    bench.feed(a_return("B", units=1), recorded_at=bench.at)
    bench.feed(a_sale("C", units=1), recorded_at=bench.at)
    assert closes(bench)[2:] == [("adjustment", 2, -26000), ("adjustment", 3, 26000)]
    tally = bench.state.tally("P1", "2026Q4")
    assert (tally.phase, tally.revision, tally.payable_minor) == (Phase.FINAL, 3, 75000)


def test_a_partner_who_registers_after_the_final_close_gets_his_close_then() -> None:
    bench = Bench().feed(a_sale(units=10))
    pass_time(bench, datetime(2027, 1, 30, tzinfo=UTC))
    assert closes(bench) == []
    bench.feed(a_partner(since=date(2027, 1, 30)), recorded_at=bench.at)
    assert closes(bench) == [(CloseKind.FINAL.value, 1, 5000)]


def test_a_change_that_moves_no_money_is_no_adjustment() -> None:
    bench = Bench().feed(a_partner(), a_sale("A", units=3))
    pass_time(bench, datetime(2027, 1, 30, tzinfo=UTC))
    bench.feed(a_sale("B", units=1), recorded_at=bench.at)
    assert len(closes(bench)) == 2


def test_who_left_before_the_quarter_is_not_told_its_close() -> None:
    bench = Bench().feed(a_partner(left_on=date(2026, 9, 1)))
    pass_time(bench, datetime(2027, 1, 30, tzinfo=UTC))
    assert bench.told == []
