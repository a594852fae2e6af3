"""One worker on a real broker: what it counts, what it puts aside, what it refuses."""

from __future__ import annotations

import dataclasses
import signal
import sys
from datetime import date
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.runtime import kafka
from deploy.runtime.settings import Settings
from schemas.events import LineStatus, SaleLine, SaleReturned, TierChanged, id_of
from schemas.topics import DEAD_LETTERS, SALE_LINES, SALES, TIER_CHANGES
from schemas.values import partition_of
from services.intake import topics
from tests.streams.harness import NOW, ROOT, Wire, Worker, a_partner, a_sale, refusal, working
from tests.waiting import until


def test_sales_become_tallies_and_tier_changes_and_returns_take_them_back(settings: Settings) -> None:
    wire = Wire(settings)
    wire.send(a_partner("P1"))
    wire.flush()
    with working(settings) as worker:
        until(lambda: worker.metric("rebate_tally_apply_seconds_count") == 1, what="the partner applied")
        wire.send(a_sale("A", "P1", 9), a_sale("B", "P1", 2), a_sale("B", "P1", 2))
        wire.send(SaleReturned("R1", "B", "P1", "TS-100", 2, date(2026, 11, 5), NOW))
        wire.flush()
        tally = until(lambda: (t := wire.tallies().get(("P1", "2026Q4"))) and t.returned and t, what="the return")
        assert (tally.units, tally.tier, tally.counted, tally.returned) == (9, 0, 1, 1)
        changes = [w.event for w in wire.written(TIER_CHANGES)]
        assert [(c.from_tier, c.to_tier) for c in changes if isinstance(c, TierChanged)] == [(0, 10), (10, 0)]
        assert [w.event_id for w in wire.written(TIER_CHANGES)] == [id_of(c) for c in changes]
        assert worker.metric("rebate_unaccounted_records") == 0
        assert worker.kill(15) == 0


def test_the_groups_offset_for_lag_tools_follows_the_position(settings: Settings) -> None:
    wire = Wire(settings)
    wire.send(a_partner("P1"), *(a_sale(f"S-{n}", "P1") for n in range(500)))
    wire.flush()
    name = SALES.full_name(settings.topic_prefix)
    places = [TopicPartition(name, n) for n in range(settings.partitions)]
    group = kafka.reader(settings, group_id=f"{settings.topic_prefix}{settings.app_id}")

    def behind() -> int:
        ends = kafka.ends(group, [(name, n) for n in range(settings.partitions)])
        return sum(ends.values()) - sum(max(0, found.offset) for found in group.committed(places, 10))

    with working(settings):
        until(lambda: behind() == 0, what="the group's offset behind all of them")
        wire.send(a_sale("last", "P1"))
        wire.flush()
        until(lambda: behind() == 0, what="the group's offset behind the last one")
        assert wire.units() == {"P1": 501}
    group.close()


def test_sales_wait_for_the_partner_and_are_counted_when_he_registers(settings: Settings) -> None:
    wire = Wire(settings)
    wire.send(a_sale("A", "P1", 12))
    wire.flush()
    with working(settings):
        until(lambda: wire.tallies()["P1", "2026Q4"].pending == 1 if wire.tallies() else False, what="pending")
        wire.send(a_partner("P1"))
        wire.flush()
        until(lambda: wire.units() == {"P1": 12}, what="counted")


def test_a_poison_record_goes_to_the_dead_letters_untouched_and_the_next_is_counted(settings: Settings) -> None:
    wire = Wire(settings)
    good = wire.codec.encode(SALES, a_sale("A", "P1", 1))
    poison = [b"", b"\x00\x00", b"not avro at all", b"\x00\x00\x00\xff\xff?", good[:-4], good + b"!", None]
    wire.send(a_partner("P1"))
    for value in poison:
        wire.raw(SALES, b"P1", value)
    wire.raw(SALES, b"../etc", wire.codec.encode(SALES, a_sale("X", "../etc")))
    wire.raw(SALES, b"../huge", wire.codec.encode(SALES, a_sale("H", "P1", 2**62)))
    wire.send(a_sale("A", "P1", 1))
    wire.flush()
    with working(settings) as worker:
        until(lambda: wire.units() == {"P1": 1}, what="the good sale behind the bad ones")
        letters = until(lambda: len(found := wire.messages(DEAD_LETTERS)) == len(poison) + 2 and found)
        assert sorted(m.value() or b"" for m in letters if m.key() == b"P1") == sorted(v or b"" for v in poison)
        headers = [dict(m.headers()) for m in letters]
        assert {h["dlq.topic"] for h in headers} == {SALES.full_name(settings.topic_prefix).encode()}
        assert {h["dlq.reason"] for h in headers} == {
            b"not-avro",
            b"unknown-schema",
            b"bad-avro",
            b"no-value",
            b"bad-partner-id",
            b"bad-quantity",
        }
        assert worker.metric("rebate_unaccounted_records") == 0


def test_a_record_with_another_key_or_partitioner_is_rerouted_and_counted_once(settings: Settings) -> None:
    wire = Wire(settings)
    ids = [f"P{n}" for n in range(8)]
    wire.send(*map(a_partner, ids))
    for partner_id in ids:
        value = wire.codec.encode(SALES, a_sale("A", partner_id, 3))
        wrong = 1 - partition_of(partner_id.encode(), 2)
        wire.raw(SALES, b"somebody", value, partition=wrong)
        wire.raw(SALES, partner_id.encode(), value, partition=wrong)
        wire.raw(SALES, None, value)
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == dict.fromkeys(ids, 3), what="each counted once")
        for record in wire.written(SALE_LINES):
            assert isinstance(record.event, SaleLine)
            assert record.partition == partition_of(record.event.partner_id.encode(), 2)


def test_sales_of_an_aborted_transaction_never_count_in_any_compression(settings: Settings) -> None:
    wire = Wire(settings)
    wire.send(a_partner("P1"))
    wire.flush()
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    for codec in codecs:
        other = Wire(settings, transactional_id=f"{settings.topic_prefix}outsider", compression_type=codec)
        other.producer.init_transactions(30)
        for end in (other.producer.abort_transaction, other.producer.commit_transaction):
            other.producer.begin_transaction()
            other.send(*(a_sale(f"{codec}-{end.__name__}-{n}", "P1") for n in range(20)))
            other.flush()
            end(30)
    with working(settings):
        until(lambda: wire.units().get("P1", 0) >= 20 * len(codecs), what="the committed ones")
        wire.send(a_sale("last", "P1"))
        wire.flush()
        until(lambda: wire.units().get("P1", 0) > 20 * len(codecs), what="one more")
        assert wire.units() == {"P1": 20 * len(codecs) + 1}


def test_a_worker_goes_on_where_its_state_is_not_where_the_group_is(settings: Settings) -> None:
    wire = Wire(settings)
    wire.send(a_partner("P1"), *(a_sale(f"A{n}", "P1") for n in range(30)))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P1": 30}, what="the first thirty")
    AdminClient({"bootstrap.servers": settings.kafka}).delete_consumer_groups([f"{settings.topic_prefix}staffel"])
    wire.send(*(a_sale(f"B{n}", "P1") for n in range(5)))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P1": 35}, what="five more, none twice")


def test_a_sales_topic_that_was_created_anew_is_refused_with_the_way_out(settings: Settings) -> None:
    wire = Wire(settings)
    wire.send(a_partner("P1"), a_sale("A", "P1"))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P1": 1}, what="the first sale")
    name = SALES.full_name(settings.topic_prefix)
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    admin.delete_topics([name])[name].result()
    until(lambda: name not in admin.list_topics(timeout=5).topics, what="the topic's end")
    until(lambda: name in topics.create(settings), what="a new topic")
    assert "created anew" in refusal(settings)


def test_terms_that_were_in_force_and_changed_are_refused_and_added_ones_are_not(
    settings: Settings, tmp_path: Path
) -> None:
    wire = Wire(settings)
    wire.send(a_partner("P1"), a_sale("A", "P1", 10))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P1": 10}, what="ten units")
    text = (ROOT / "programme.toml").read_text("utf-8")
    terms, products = text.split("[[products]]", 1)
    later = terms[terms.index("\n[[terms]]") :].replace("2026-1", "2027-1").replace("2026-01-01", "2027-01-01")
    own = dataclasses.replace(settings, programme=str(tmp_path / "programme.toml"))

    Path(own.programme).write_text(text.replace("rate_minor = 500 ", "rate_minor = 600 "), "utf-8")
    assert "computes 2026Q4 otherwise" in refusal(own)

    Path(own.programme).write_text(f"{terms}{later}[[products]]{products}", "utf-8")
    wire.send(a_sale("B", "P1", 1))
    wire.flush()
    with working(own) as worker:
        until(lambda: wire.units() == {"P1": 11}, what="one more")
        assert "the programme file has changed" in worker.log.read_text()


def test_state_hidden_by_a_strangers_open_transaction_is_waited_for(settings: Settings) -> None:
    wire = Wire(settings)
    wire.send(a_partner("P1"), *(a_sale(f"A{n}", "P1") for n in range(10)))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P1": 10}, what="ten")
    stranger = kafka.producer(settings, transactional_id=f"{settings.topic_prefix}stranger")
    stranger.init_transactions(30)
    stranger.begin_transaction()
    partition = partition_of(b"P1", 2)
    line = wire.messages(SALE_LINES)[0]
    stranger.produce(SALE_LINES.full_name(settings.topic_prefix), line.value(), line.key(), partition=partition)
    stranger.flush(10)
    worker = Worker(settings)
    try:
        wire.send(a_sale("B", "P1"))
        wire.flush()
        until(lambda: worker.log.read_text().count("Starting") >= 3, 30, "the worker's start")
        assert not worker.is_ready()
        stranger.abort_transaction(30)
        worker.ready()
        until(lambda: wire.units() == {"P1": 11}, what="one more, none twice")
    finally:
        worker.stop()


def test_a_line_says_what_became_of_its_sale(settings: Settings) -> None:
    wire = Wire(settings)
    wire.send(a_partner("P1"), a_sale("A", "P1", product="XX-9"))
    wire.flush()
    with working(settings):
        found = until(lambda: wire.written(SALE_LINES), what="the line")[0].event
        assert isinstance(found, SaleLine)
        assert (found.status, found.reason) == (LineStatus.REJECTED, "product-not-in-programme")


def test_fausts_own_command_starts_a_worker_too(settings: Settings) -> None:
    wire = Wire(settings)
    wire.send(a_partner("P1"), a_sale("A", "P1", 3))
    wire.flush()
    faust = str(Path(sys.executable).with_name("faust"))
    worker = Worker(settings, command=(faust, "-A", "streams.app", "worker", "--without-web"))
    try:
        worker.ready()
        until(lambda: wire.units() == {"P1": 3}, what="the sale")
        assert worker.kill(signal.SIGTERM) == 0
    finally:
        worker.stop()
