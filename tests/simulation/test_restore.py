"""What a worker finds when it takes a partition over: what it goes on from, and what it refuses, one by one."""

from __future__ import annotations

import dataclasses
import logging
from functools import partial
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, TopicPartition

from deploy.runtime.errors import NotReady, StaffelError
from schemas.codec import Codec
from schemas.events import SaleLine, Tally
from schemas.topics import (
    DEAD_LETTERS,
    PARTNERS,
    POSITIONS,
    QUARTER_CLOSES,
    SALE_LINES,
    SALES,
    SETTLED_SALES,
    TALLIES,
    TIER_CHANGES,
    WEEKLY_SUMMARIES,
    Topic,
)
from streams.letters import Excess
from streams.partition import Partition
from streams.restore import restore
from streams.rules.terms import parse
from tests.rules.facts import a_partner, a_sale
from tests.simulation.broker import Log
from tests.simulation.clients import EndOfPartition, Reader
from tests.simulation.given import PREFIX, codec, programme_text, settings
from tests.simulation.test_partition import Bench


@pytest.fixture
def bench() -> Bench:
    """With a partner, a sale that lifts him to a tier, and one that does not count, all applied."""
    made = Bench()
    made.send(PARTNERS, a_partner())
    made.send(SALES, a_sale("A", units=10), a_sale("B", product_id="XX-1"))
    partition = Partition.take(0, made.around)
    partition.apply(PARTNERS, [made.piece(PARTNERS, 0, 1)])
    partition.apply(SALES, [made.piece(SALES, 0, 2)])
    made.broker.write_all_markers()
    return made


def log(bench: Bench, topic: Topic) -> Log:
    return bench.broker.log(topic.full_name(PREFIX), 0)


def put(bench: Bench, topic: Topic, key: str, value: bytes | None, headers: Any = ()) -> None:
    bench.broker.append(topic.full_name(PREFIX), 0, key.encode(), value, list(headers))


def refused(bench: Bench, why: str) -> StaffelError:
    with pytest.raises(StaffelError, match=why) as found:
        restore(bench.around, 0)
    assert found.value.hint
    return found.value


def test_a_state_is_found_as_it_was_left(bench: Bench) -> None:
    restored, logs = restore(bench.around, 0)
    assert {name: position.offset for name, position in restored.positions.items() if name in logs} == {
        SALES.name: 1,
        PARTNERS.name: 0,
    }
    assert restored.state.partners == {"P1": a_partner()}
    tally, first = restored.state.tally("P1", "2026Q4"), restored.state.line("P1", "A")
    assert isinstance(tally, Tally)
    assert isinstance(first, SaleLine)
    assert (tally.units, tally.counted, tally.rejected, first.units) == (10, 1, 1, 10)
    assert restored.excess == Excess()
    assert (logs[SALES.name].start, logs[SALES.name].end, logs[PARTNERS.name].end) == (0, 2, 1)
    assert logs[SALES.name].topic_id != logs[PARTNERS.name].topic_id
    for epoch in (0, None):
        log(bench, SALES).leader_epoch = cast(Any, epoch)
        assert restore(bench.around, 0)[1][SALES.name].leader_epoch == 0


def test_only_partners_up_to_the_position_are_known(bench: Bench) -> None:
    """Who registered behind it is to be applied: his pending sales are counted then."""
    bench.send(PARTNERS, a_partner("P2"))
    assert set(restore(bench.around, 0)[0].state.partners) == {"P1"}


def test_what_was_deleted_is_gone(bench: Bench) -> None:
    put(bench, SALE_LINES, "P1/B", None)
    put(bench, SALE_LINES, "P1/A", None)
    put(bench, TALLIES, "topseller/P1/2026Q4", None)
    put(bench, SETTLED_SALES, "P1/2026Q3/0123456789abcdef", None)
    state = restore(bench.around, 0)[0].state
    assert (state.line("P1", "A"), state.line("P1", "B"), state.tally("P1", "2026Q4")) == (None, None, None)


def test_who_was_forgotten_is_not_known_and_what_was_no_registration_changes_nothing(bench: Bench) -> None:
    bench.broker.append(PARTNERS.full_name(PREFIX), 0, b"P1", None, [])
    put(bench, PARTNERS, "P2", b"no event")
    partition = Partition.take(0, bench.around)
    partition.apply(PARTNERS, [bench.piece(PARTNERS, 1, 3)])
    bench.broker.write_all_markers()
    assert restore(bench.around, 0)[0].state.partners == {}


def test_a_line_written_with_an_earlier_schema_is_read(bench: Bench) -> None:
    """Its bytes are not ours from the sixth on: it is decoded, and packed anew."""
    known = restore(bench.around, 0)[0].state.line("P1", "A")

    class Older(Codec):
        def head(self, topic: Topic) -> bytes:
            return b"\0\0\0\3\xe7" if topic is SALE_LINES else super().head(topic)

    older = Older.__new__(Older)
    older.__dict__.update(codec().__dict__)
    state = restore(bench.around._replace(codec=older), 0)[0].state
    assert state.line("P1", "A") == known


class Trouble:
    """What a consumer is told instead of a record."""

    def __init__(self, retriable: bool) -> None:
        self._error = KafkaError(KafkaError._TRANSPORT, "the broker went away", retriable=retriable)

    def error(self) -> KafkaError:
        return self._error


def reading_with(bench: Bench, kind: Any) -> Bench:
    """With another consumer."""
    make = partial(kind, bench.broker, bench.call)
    bench.around = bench.around._replace(clients=bench.around.clients._replace(reader=make))
    return bench


@pytest.mark.parametrize("retriable", [True, False])
def test_an_error_amid_reading_is_passed_over_if_the_client_tries_again(bench: Bench, retriable: bool) -> None:
    class Troubled(Reader):
        def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Any]:
            return [Trouble(retriable), *super().consume(num_messages, timeout)]

    reading_with(bench, Troubled)
    if retriable:
        assert restore(bench.around, 0)[0].state.check(9) == ([], 0)
    else:
        with pytest.raises(NotReady, match=r"reading s\.positions failed: the broker went away"):
            restore(bench.around, 0)


def test_reading_ends_where_the_state_ends_though_nobody_says_so(bench: Bench) -> None:
    """Behind the last record lies the marker of its transaction: only the consumer's place tells."""

    class Silent(Reader):
        def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Any]:
            found = super().consume(num_messages, timeout)
            return [message for message in found if not isinstance(message, EndOfPartition)]

        def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
            ends = [self._broker.log(place.topic, place.partition).end for place in places]
            return [TopicPartition(p.topic, p.partition, end) for p, end in zip(places, ends, strict=True)]

    assert restore(reading_with(bench, Silent).around, 0)[0].state.check(9) == ([], 0)


# --- a state that is not whole ---------------------------------------------------------------------------------------


def test_a_state_that_an_open_transaction_hides_is_waited_for(bench: Bench) -> None:
    producer = bench.around.clients.producer(transactional_id="somebody", transaction_timeout_ms=1000)
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(TALLIES.full_name(PREFIX), value=b"", key=b"x", partition=0)
    producer.flush()
    waited = bench.elapsed
    found = refused(bench, f"an open transaction hides records of {TALLIES.full_name(PREFIX)} partition 0")
    assert isinstance(found, NotReady)
    assert 60 < bench.elapsed - waited < 61
    bench.broker.expire()
    assert restore(bench.around, 0)[0].state.tally("P1", "2026Q4") is not None


@pytest.mark.parametrize("told", [TIER_CHANGES, WEEKLY_SUMMARIES, QUARTER_CLOSES])
def test_a_partition_that_has_told_something_and_has_no_state_is_refused(told: Topic) -> None:
    bench = Bench()
    put(bench, told, "P1", b"an event")
    refused(bench, "has told events, and its state is gone")


def test_a_partition_that_has_told_nothing_begins() -> None:
    bench = Bench()
    put(bench, SALES, "P1", b"a sale")
    bench.send(PARTNERS, a_partner())
    restored = restore(bench.around, 0)[0]
    assert (restored.positions, restored.state.partners) == ({}, {})
    Partition.take(0, bench.around)
    assert [entry.key for entry in bench.committed(POSITIONS)] == [b"calendar"]


def test_what_is_read_with_is_closed_also_if_the_state_is_refused(bench: Bench) -> None:
    closed = []
    make = bench.around.clients.reader

    def reader(**options: Any) -> Any:
        assert options["auto_offset_reset"] == "earliest", "a state topic may begin later"
        made: Any = make(**options)
        made.close = lambda: closed.append(made)
        return made

    bench.around = bench.around._replace(clients=bench.around.clients._replace(reader=reader))
    restore(bench.around, 0)
    log(bench, SALES).cut(1)
    refused(bench, "ends at 1")
    assert len(closed) == 2


def test_a_partition_that_somebody_else_begins_meanwhile_is_left_to_him() -> None:
    bench = Bench()
    put(bench, TIER_CHANGES, "P1", b"an event")
    put(bench, POSITIONS, "calendar", None)
    name = POSITIONS.full_name(PREFIX)
    bench.broker.log(name, 0).entries.clear()

    def begin(what: str) -> None:
        if what == "consume":
            bench.at_call = lambda _: None
            producer = bench.around.clients.producer(transactional_id="somebody")
            producer.init_transactions()
            producer.begin_transaction()
            producer.produce(name, value=b"", key=b"calendar", partition=0)
            producer.flush()

    bench.at_call = begin
    with pytest.raises(NotReady, match="taken over by somebody else"):
        restore(bench.around, 0)


def test_partners_who_belong_elsewhere_are_refused(bench: Bench) -> None:
    around = bench.around._replace(settings=dataclasses.replace(settings(1), partitions=7))
    with pytest.raises(StaffelError, match="made with another number of partitions"):
        restore(around, 0)


def test_a_line_that_its_tally_does_not_know_is_refused(bench: Bench) -> None:
    records = [e for e in log(bench, SALE_LINES).entries if e.key == b"P1/A"]
    put(bench, SALE_LINES, "P1/C", records[0].value)
    refused(bench, "partition 0: 1 tallies are not the sum of their lines")


def test_a_line_behind_the_position_is_refused(bench: Bench) -> None:
    positions = log(bench, POSITIONS)
    positions.entries = [e for e in positions.entries if e.key != SALES.name.encode()]
    refused(bench, "partition 0: 2 sale lines lie beyond the position")


# --- the programme ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [('"2026-1"', '"2026-2"'), ('"EUR"', '"CHF"'), ("units = 10, rate_minor = 500", "units = 10, rate_minor = 600")],
)
def test_a_programme_that_computes_otherwise_what_was_counted_is_refused(bench: Bench, old: str, new: str) -> None:
    around = bench.around._replace(programme=parse(programme_text().replace(old, new)))
    with pytest.raises(StaffelError, match="computes 2026Q4 otherwise"):
        restore(around, 0)


def test_a_programme_that_was_added_to_is_taken_and_said(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "streams.restore")
    restore(bench.around, 0)
    assert caplog.records == []
    restore(bench.around._replace(programme=parse(programme_text() + "# one more word")), 0)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


# --- dead letters ----------------------------------------------------------------------------------------------------


def letter(offset: int, headers: Any = None) -> list[tuple[str, bytes]]:
    return [("dlq.excess", f"{offset}.00@{offset}".encode())] if headers is None else headers


@pytest.mark.parametrize("others", [0, 19, 20, 499])
def test_the_latest_letter_says_the_excess_also_behind_others(others: int) -> None:
    """Letters of partners' records say none, nor do aborted transactions."""
    bench = Bench()
    put(bench, DEAD_LETTERS, "k", b"", letter(6))
    put(bench, DEAD_LETTERS, "k", b"", letter(7))
    for _ in range(others):
        put(bench, DEAD_LETTERS, "k", b"", letter(0, []))
    assert restore(bench.around, 0)[0].excess == Excess(7.0, 7)


def test_a_restart_does_not_begin_anew_to_count_letters(bench: Bench) -> None:
    bench.around = bench.around._replace(
        settings=dataclasses.replace(settings(1), dead_letters_percent_max=5, dead_letters_excess_max=3)
    )
    for number in range(4):
        put(bench, SALES, "P1", b"bad")
        partition = Partition.take(0, bench.around)
        if number == 3:
            with pytest.raises(StaffelError, match="3 more dead letters than 5 percent"):
                partition.apply(SALES, [bench.piece(SALES, 2 + number, 3 + number)])
        else:
            partition.apply(SALES, [bench.piece(SALES, 2 + number, 3 + number)])
    said = [dict(entry.headers)["dlq.excess"] for entry in bench.committed(DEAD_LETTERS)]
    assert said == [b"1.00@2", b"1.95@3", b"2.90@4"]
