"""A source that is not the log that the state was made from, or has lost some of it, is refused at a take-over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from schemas.topics import PARTNERS, POSITIONS, SALES
from streams.mark import hash_of
from streams.partition import Partition
from streams.restore import restore
from streams.transport import Slice
from tests.rules.facts import a_partner, a_sale
from tests.simulation.broker import Transaction
from tests.simulation.given import PREFIX
from tests.simulation.test_partition import Bench
from tests.simulation.test_restore import bench, log, put, refused

__all__ = ["bench"]


def created_anew(bench: Bench) -> None:
    bench.broker.create(SALES.full_name(PREFIX), 1)
    bench.send(SALES, a_sale("A", units=10), a_sale("B"), a_sale("C"))


def behind_an_earlier_epoch(bench: Bench) -> None:
    log(bench, SALES).leader_epoch = 3
    bench.send(SALES, a_sale("C"))
    partition = Partition.take(0, bench.around)
    partition.apply(SALES, [bench.piece(SALES, 2, 3)])
    bench.broker.write_all_markers()
    log(bench, SALES).leader_epoch = 2


def begun_later(bench: Bench) -> None:
    bench.send(SALES, a_sale("C"), a_sale("D"))
    log(bench, SALES).delete_before(3)


def cut(bench: Bench) -> None:
    log(bench, SALES).cut(1)


def cut_and_written_on(bench: Bench) -> None:
    cut(bench)
    bench.send(SALES, a_sale("C"), a_sale("D"))


def cut_and_sent_again(bench: Bench) -> None:
    """By a reporter who knows what was lost: the same report in the same place, at another time."""
    cut(bench)
    bench.true += 1
    bench.send(SALES, a_sale("B", product_id="XX-1"))


def cut_to_a_marker(bench: Bench) -> None:
    cut(bench)
    log(bench, SALES).mark(Transaction(0), 0)
    bench.send(SALES, a_sale("D"))


def cut_to_nothing_but_a_marker(bench: Bench) -> None:
    cut(bench)
    log(bench, SALES).mark(Transaction(0), 0)


def partners_cut_and_written_on(bench: Bench) -> None:
    log(bench, PARTNERS).cut(0)
    bench.send(PARTNERS, a_partner(country="AT"))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (created_anew, "created anew"),
        (behind_an_earlier_epoch, "earlier leader epoch"),
        (begun_later, "begins at 3, records from 2 on are gone"),
        (cut, "ends at 1, before offset 2"),
        (cut_and_written_on, "sales partition 0 does not hold at 1 what was applied from there"),
        (cut_and_sent_again, "sales partition 0 does not hold at 1 what was applied from there"),
        (cut_to_a_marker, "sales partition 0 does not hold at 1 what was applied from there"),
        (cut_to_nothing_but_a_marker, "sales partition 0 does not hold at 1 what was applied from there"),
        (partners_cut_and_written_on, "partners partition 0 does not hold at 0 what was applied from there"),
    ],
)
def test_a_log_that_is_not_the_one_is_refused(bench: Bench, damage: Callable[[Bench], None], why: str) -> None:
    damage(bench)
    refused(bench, why)


def test_a_partition_does_not_begin_where_the_first_record_is_gone() -> None:
    bench = Bench()
    bench.send(SALES, a_sale("A"), a_sale("B"))
    log(bench, SALES).delete_before(1)
    refused(bench, "begins at 1, records from 0 on are gone")


def test_a_log_that_begins_at_the_next_record_or_has_a_later_epoch_is_the_same(bench: Bench) -> None:
    log(bench, SALES).leader_epoch = 1
    log(bench, SALES).delete_before(2)
    assert restore(bench.around, 0)[1][SALES.name].start == 2


def test_a_registration_that_compaction_took_away_is_no_other_one(bench: Bench) -> None:
    bench.send(PARTNERS, a_partner(country="AT"))
    log(bench, PARTNERS).entries.pop(0)
    assert restore(bench.around, 0)[0].positions[PARTNERS.name].last_offset == 0


def test_the_last_record_is_remembered_behind_markers(bench: Bench) -> None:
    log(bench, SALES).mark(Transaction(0), 0)
    partition = Partition.take(0, bench.around)
    partition.apply(SALES, [Slice(2, 3, [], 3)])
    bench.broker.write_all_markers()
    position = restore(bench.around, 0)[0].positions[SALES.name]
    assert (position.offset, position.last_offset, bool(position.last_hash)) == (2, 1, True)


def test_where_no_record_was_applied_none_is_remembered() -> None:
    bench = Bench()
    log(bench, SALES).mark(Transaction(0), 0)
    partition = Partition.take(0, bench.around)
    partition.apply(SALES, [bench.piece(SALES, 0, 1)])
    position = restore(bench.around, 0)[0].positions[SALES.name]
    assert (position.offset, position.last_offset, position.last_hash) == (0, -1, "")


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        (b"P1", b"sale", "3fd7f7d857c3797a"),
        (None, b"sale", "0b9db9fd07293fa1"),
        (b"P1", None, "34c464859d210602"),
    ],
)
def test_a_record_keeps_the_hash_that_was_written_down(key: bytes | None, value: bytes | None, wanted: str) -> None:
    assert hash_of(key, value, 1_800_000_000_000) == wanted


def test_a_state_of_before_the_last_record_was_remembered_is_taken(bench: Bench) -> None:
    position = restore(bench.around, 0)[0].positions[SALES.name]
    earlier = replace(position, last_offset=-1, last_hash="")
    put(bench, POSITIONS, SALES.name, bench.around.codec.encode(POSITIONS, earlier))
    cut_and_written_on(bench)
    assert restore(bench.around, 0)[0].positions[SALES.name] == earlier
