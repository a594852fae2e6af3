"""Rules 6, 7 and 8: tier changes both ways, weekly summaries, closes and adjustments."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from schemas.events import CloseKind, Phase, QuarterClosed, TierChanged, WeeklySummary, id_of
from streams.rules.calendar import MomentKind, due
from streams.rules.terms import parse
from tests.rules.facts import NOON, ROOT, Bench, a_partner, a_return, a_sale, programme


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
    bench.programme = parse((ROOT / "programme.toml").read_text("utf-8").replace("grace_days = 28", "grace_days = 0"))
    pass_time(bench, datetime(2027, 1, 2, tzinfo=UTC))
    bench.feed(a_sale("B", units=1))
    assert closes(bench) == [("provisional", 0, 0), ("final", 1, 5000), ("adjustment", 2, 500)]


def test_a_summary_says_what_changed_since_the_last_one() -> None:
    bench = Bench().feed(a_partner(), a_sale("A", units=8))
    pass_time(bench, NOON + timedelta(days=4))
    bench.feed(a_sale("B", units=4))
    pass_time(bench, NOON + timedelta(days=11))
    assert [e.units_change for e in bench.told if isinstance(e, WeeklySummary)] == [8, 4]


def test_after_a_month_away_only_the_latest_week_is_told() -> None:
    moments = due(programme(), NOON, NOON + timedelta(days=31))
    assert [(m.kind, m.day) for m in moments] == [(MomentKind.WEEK, date(2026, 12, 21))]


def test_moments_missed_are_caught_up_in_order_and_none_twice() -> None:
    until = datetime(2027, 2, 3, tzinfo=UTC)
    at_once = due(programme(), NOON, until)
    assert [m.kind for m in at_once] == [MomentKind.PROVISIONAL, MomentKind.FINAL, MomentKind.WEEK]
    middle = datetime(2027, 1, 10, tzinfo=UTC)
    closes_of = [m for m in (*due(programme(), NOON, middle), *due(programme(), middle, until)) if m.kind != "week"]
    assert closes_of == [m for m in at_once if m.kind != "week"]


def test_a_provisional_close_makes_nothing_payable_and_the_final_one_all() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=50))
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
