"""An explanation leaves nothing out and says nothing twice, whatever the lines are."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import CloseKind, LineStatus
from streams.rules.explain import Close, Line, explain, kind_of
from tests.rules.facts import Bench, a_partner, a_return, a_sale, programme
from tests.rules.recount import rebate_cents

TERMS = programme().terms[0]
DAYS = [date(2026, 10, 1), date(2026, 10, 31), date(2026, 11, 15), date(2026, 12, 31)]
products = st.sampled_from(["TS-100", "TS-200"])
counted = st.builds(
    lambda sale_id, product_id, units, back, day, conflicts: Line(
        sale_id,
        LineStatus.COUNTED if units else LineStatus.RETURNED,
        None,
        product_id,
        units + back + (0 if units else 1),
        units,
        day,
        conflicts,
    ),
    st.text(max_size=5),
    products,
    st.integers(0, 60),
    st.integers(0, 5),
    st.sampled_from(DAYS),
    st.integers(0, 2),
)
aside = st.builds(
    Line,
    sale_id=st.text(max_size=5),
    status=st.sampled_from([LineStatus.PENDING, LineStatus.REJECTED]),
    reason=st.sampled_from(["sold-in-future", "partner-not-registered", "return-before-sale", None]),
    product_id=products,
    quantity=st.integers(-3, 60),
    units=st.just(0),
    sold_on=st.sampled_from([None, *DAYS]),
    conflicts=st.integers(0, 2),
)
lines = st.lists(st.one_of(counted, aside), max_size=30)
closes = st.lists(st.integers(0, 120), max_size=5)


def test_a_revision_is_provisional_then_final_then_an_adjustment() -> None:
    kinds = [CloseKind.PROVISIONAL, CloseKind.FINAL, CloseKind.ADJUSTMENT, CloseKind.ADJUSTMENT]
    assert [kind_of(revision) for revision in range(4)] == kinds


def test_a_line_is_picked_from_what_is_published() -> None:
    bench = Bench().feed(a_partner(), a_sale(units=5, minute=1), a_sale(units=4, minute=2), a_return(units=2))
    bench.feed(a_sale("S2", product_id="XX-1"))
    published = [bench.state.line("P1", sale_id) for sale_id in ("S1", "S2")]
    assert [Line.of(line) for line in published if line] == [
        Line("S1", LineStatus.COUNTED, None, "TS-100", 5, 3, date(2026, 11, 2), 1),
        Line("S2", LineStatus.REJECTED, "product-not-in-programme", "XX-1", 1, 0, date(2026, 11, 2), 0),
    ]


@given(lines)
def test_the_groups_sum_up_to_what_was_reported(some: list[Line]) -> None:
    whole = explain(some, TERMS, [])
    set_aside = [*whole.pending, *whole.rejected]
    assert whole.reported.sales == len(some)
    assert whole.reported.units == sum(line.quantity for line in some)
    assert whole.reported.units == (whole.counted.units + whole.came_back.units + sum(part.units for part in set_aside))
    gone = sum(line.status is LineStatus.RETURNED for line in some)
    assert whole.reported.sales == whole.counted.sales + gone + sum(part.sales for part in set_aside)
    counts = (LineStatus.COUNTED, LineStatus.RETURNED)
    assert whole.came_back.sales == sum(line.units != line.quantity for line in some if line.status in counts)
    for status, parts in ((LineStatus.PENDING, whole.pending), (LineStatus.REJECTED, whole.rejected)):
        of_status = [line for line in some if line.status is status]
        sales, units = Counter(line.reason or "" for line in of_status), Counter[str]()
        for line in of_status:
            units[line.reason or ""] += line.quantity
        assert [(part.reason, part.sales, part.units) for part in parts] == [
            (reason, sales[reason], units[reason]) for reason in sorted(sales)
        ]
    assert whole.conflicts == sum(line.conflicts > 0 for line in some)


@given(lines)
def test_every_cell_is_in_the_sum_and_every_cent_in_the_rebate(some: list[Line]) -> None:
    whole = explain(some, TERMS, [])
    assert sum(cell.units for cell in whole.cells) == whole.counted.units == sum(line.units for line in some)
    assert sum(cell.sales for cell in whole.cells) == whole.counted.sales
    assert sum(cell.rebate_minor for cell in whole.cells) == whole.rebate_minor == rebate_cents(whole.counted.units)
    places, sales = Counter[tuple[date, str]](), Counter[tuple[date, str]]()
    for line in some:
        if line.units and line.sold_on is not None:
            places[line.sold_on.replace(day=1), line.product_id] += line.units
            sales[line.sold_on.replace(day=1), line.product_id] += 1
    assert {(cell.month, cell.product_id): cell.units for cell in whole.cells} == places
    assert {(cell.month, cell.product_id): cell.sales for cell in whole.cells} == sales


@given(lines, st.randoms(use_true_random=False))
def test_the_order_of_the_lines_changes_nothing(some: list[Line], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = random.sample(some, len(some))
    assert explain(some, TERMS, []) == explain(shuffled, TERMS, [])


@given(lines, closes)
def test_what_the_closes_changed_sums_up_to_the_last_one(some: list[Line], units: list[int]) -> None:
    made, before = [], 0
    for revision, number in enumerate(units, 1):
        total = rebate_cents(number)
        made.append(Close(revision, number, total, total - before, datetime(2027, 1, revision, tzinfo=UTC)))
        before = total
    whole = explain(some, TERMS, made)
    assert whole.payable_minor == before
    assert whole.payable_minor + whole.unsettled_minor == whole.rebate_minor
    assert sum(close.units_change for close in whole.revisions) == (units[-1] if units else 0)
    assert sum(close.rebate_change_minor for close in whole.revisions) == before
    assert all(close.units * close.rate_minor == close.rebate_minor for close in whole.revisions)
    kinds = [CloseKind.FINAL, *[CloseKind.ADJUSTMENT] * len(units)]
    assert [close.kind for close in whole.revisions] == kinds[: len(units)]
