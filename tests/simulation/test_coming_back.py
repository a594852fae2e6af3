"""Who was away comes back with all that had been published of him, also if something else is wrong in the batch."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.runtime.errors import NotReady
from schemas.events import Tally
from schemas.topics import DEAD_LETTERS, PARTNERS, SALES, TALLIES
from streams.partition import Partition
from tests.rules.facts import a_partner, a_sale
from tests.simulation.given import PREFIX
from tests.simulation.test_partition import Bench
from tests.simulation.test_settling import A_YEAR


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def partition(bench: Bench) -> Partition:
    """Two partners sold something, were paid, and were forgotten; then all that was theirs was over."""
    bench.send(PARTNERS, a_partner("P1"), a_partner("P2"))
    bench.send(SALES, a_sale(partner="P1", units=10), a_sale(partner="P2", units=10))
    made = Partition.take(0, bench.around)
    made.apply(PARTNERS, [bench.piece(PARTNERS, 0, 2)])
    made.apply(SALES, [bench.piece(SALES, 0, 2)])
    let_a_year_pass(bench, made)
    for who in (b"P1", b"P2"):
        bench.broker.append(PARTNERS.full_name(PREFIX), 0, who, None, [])
    made.apply(PARTNERS, [bench.piece(PARTNERS, 2, 4)])
    let_a_year_pass(bench, made)
    assert away(made) == {"P1", "P2"}
    return made


def let_a_year_pass(bench: Bench, partition: Partition) -> None:
    bench.true += A_YEAR
    for _ in range(3):  # lines leave, then partners
        bench.elapsed += 11
        partition.apply_calendar()


def away(partition: Partition) -> set[str]:
    return partition._restored.state.away


def standings(partition: Partition, partner_id: str) -> dict[str, Tally]:
    return {tally.quarter: tally for tally in partition._restored.state.tallies_of(partner_id)}


def test_a_late_sale_is_added_to_what_the_partner_had(bench: Bench, partition: Partition) -> None:
    bench.send(SALES, a_sale("late", partner="P1"))
    partition.apply(SALES, [bench.piece(SALES, 2, 3)])
    tally = bench.events(TALLIES)[-1]
    assert (tally.partner_id, tally.quarter) == ("P1", "2026Q4")
    assert (tally.units, tally.counted, tally.rejected, tally.payable_minor) == (10, 1, 1, 5000)
    assert Partition.take(0, bench.around).next_offset(SALES) == 3


def test_who_registers_again_has_his_standings_and_others_stay_away(bench: Bench, partition: Partition) -> None:
    bench.send(PARTNERS, a_partner("P1"))
    partition.apply(PARTNERS, [bench.piece(PARTNERS, 4, 5)])
    assert away(partition) == {"P2"}
    assert standings(partition, "P1")["2026Q4"].payable_minor == 5000
    assert standings(partition, "P2") == {}
    assert partition._restored.state.check(9) == ([], 0)


def test_what_is_no_event_beside_it_is_put_aside(bench: Bench, partition: Partition) -> None:
    bench.send(SALES, a_sale("late", partner="P1"))
    bench.broker.append(SALES.full_name(PREFIX), 0, b"P1", b"no event", [])
    bench.broker.append(PARTNERS.full_name(PREFIX), 0, b"P1", b"no event", [])
    partition.apply(PARTNERS, [bench.piece(PARTNERS, 4, 5)])
    partition.apply(SALES, [bench.piece(SALES, 2, 4)])
    assert [entry.value for entry in bench.committed(DEAD_LETTERS)] == [b"no event"] * 2
    assert away(partition) == {"P2"}


def test_standings_that_an_open_transaction_hides_are_waited_for(bench: Bench, partition: Partition) -> None:
    producer = bench.around.clients.producer(transactional_id="somebody", transaction_timeout_ms=1000)
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(TALLIES.full_name(PREFIX), value=b"", key=b"x", partition=0)
    producer.flush()
    bench.send(SALES, a_sale("late", partner="P1"))
    began = bench.elapsed
    with pytest.raises(NotReady, match="an open transaction hides records"):
        partition.apply(SALES, [bench.piece(SALES, 2, 3)])
    assert 60 < bench.elapsed - began < 61


def test_a_later_owner_lets_him_go_too(bench: Bench, partition: Partition) -> None:
    """Of his lines nothing is left but the tombstones, until their topic is compacted."""
    owner = Partition.take(0, bench.around)
    bench.elapsed += 11
    owner.apply_calendar()
    assert away(owner) == {"P1", "P2"}


def test_what_is_read_with_is_closed(bench: Bench, partition: Partition) -> None:
    make, still_open = bench.around.clients.reader, []

    def reader(**options: Any) -> Any:
        made: Any = make(**options)
        made.close = lambda: still_open.remove(made)
        still_open.append(made)
        return made

    partition._around = bench.around._replace(clients=bench.around.clients._replace(reader=reader))
    bench.send(SALES, a_sale("late", partner="P1"))
    partition.apply(SALES, [bench.piece(SALES, 2, 3)])
    assert still_open == []
    let_a_year_pass(bench, partition)  # the late line leaves: how far the sources are applied must be known
    assert away(partition) == {"P1", "P2"}
    assert still_open == []
