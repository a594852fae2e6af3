"""Whatever comes in: no partition stands still, nothing is dropped silently, and the good record behind counts."""

from __future__ import annotations

import dataclasses
import hashlib
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
import pytest

from deploy.audit.verify import look
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit
from deploy.runtime.settings import Settings
from schemas.events import SaleReturned
from schemas.topics import DEAD_LETTERS, PARTNERS, SALES, SALES_BYTES_MAX
from schemas.values import partition_of
from services.kit.deadletters import replay
from tests.streams.harness import NOW, Wire, a_partner, a_sale, forget_the_dead, working
from tests.streams.test_topic_settings import set_topic
from tests.waiting import until

SOON = 10
"""Seconds within which the good record behind a bad one must be counted."""


def home(partner_id: str) -> int:
    return partition_of(partner_id.encode(), 2)


def number(value: int) -> bytes:
    """An Avro long."""
    rest, out = (value << 1) if value >= 0 else ~(value << 1), bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*out, rest])


def text(value: str) -> bytes:
    """An Avro string."""
    return number(len(value.encode())) + value.encode()


def letters(wire: Wire) -> list[tuple[str, dict[str, bytes], bytes | None]]:
    """Reason, headers and value of each dead letter."""
    found = [(dict(message.headers()), message.value()) for message in wire.messages(DEAD_LETTERS)]
    return [(headers["dlq.reason"].decode(), headers, value) for headers, value in found]


ABSURD = {
    "out-of-range": [
        {"sold_on": date(1, 1, 1)},
        {"sold_on": date(9999, 12, 31)},
        {"reported_at": datetime(1, 1, 1, tzinfo=UTC)},
        {"reported_at": datetime(9999, 12, 31, tzinfo=UTC)},
        {"serial_numbers": tuple(map(str, range(10_001)))},
    ],
    "bad-quantity": [{"quantity": 2**31 - 1}, {"quantity": 1_000_001}],
    "bad-id": [{"sale_id": ""}, {"sale_id": "a\nb"}, {"sale_id": "\x00"}, {"sale_id": "x" * 129}],
    "bad-text": [
        {"product_id": "\x1b[31m"},
        {"product_id": "x" * 1_000_000},
        {"serial_numbers": ("\x00",)},
        {"serial_numbers": ("x" * 1_000_000,)},
        {"reported_by": "a\r\nb"},
    ],
    "bad-partner-id": [{"partner_id": ""}, {"partner_id": "a/b"}, {"partner_id": "x" * 65}],
}


def test_values_that_no_sale_can_have_are_put_aside_one_by_one(settings: Settings) -> None:
    wire = Wire(settings, message_max_bytes=1_500_000)
    wire.send(a_partner("P1"))
    for changes in (changes for kind in ABSURD.values() for changes in kind):
        event = msgspec.structs.replace(a_sale("A", "P1"), **changes)
        wire.raw(SALES, b"P1", wire.codec.encode(SALES, event))
    for back in ({"returned_on": date(9999, 12, 31)}, {"return_id": ""}, {"quantity": -(2**31)}):
        event = msgspec.structs.replace(SaleReturned("R", "A", "P1", "TS-100", 1, date(2026, 11, 3), NOW), **back)
        wire.raw(SALES, b"P1", wire.codec.encode(SALES, event))
    serials = tuple(f"{n:08d}" for n in range(10_000))
    wire.send(msgspec.structs.replace(a_sale("B", "P1", 3), serial_numbers=serials))
    wire.flush()
    with working(settings) as worker:
        until(lambda: wire.units() == {"P1": 3}, SOON, "the good sale behind them")
        found = letters(wire)
        assert worker.metric("rebate_unaccounted_records") == 0
    expected = {reason: len(kinds) for reason, kinds in ABSURD.items()}
    expected["out-of-range"] += 1
    expected["bad-quantity"] += 1
    expected["bad-id"] += 1
    assert {reason: sum(r == reason for r, _, _ in found) for reason in expected} == expected
    assert len(found) == sum(expected.values())
    assert look(settings).differences == ()


def test_numbers_larger_than_their_type_do_not_stop_a_partition(settings: Settings) -> None:
    wire = Wire(settings)
    head = wire.codec.encode(SALES, a_sale("A", "P1"))[:6]
    wire.send(a_partner("P1"))
    for quantity in (2**63 - 1, -(2**63), 2**31):
        fields = [text("A"), text("P1"), text("TS-100"), number(quantity), number(20_000), number(1), b"\0", text("")]
        wire.raw(SALES, b"P1", head + b"".join(fields))
    wire.raw(SALES, b"P1", head + b"\xff" * 40)  # a length that never ends
    wire.raw(SALES, b"P1", head + text("A") + text("P1") + text("T") + b"\2" + b"\xfe\xff\xff\xff\x0f" * 2)  # a far day
    wire.send(a_sale("B", "P1", 3))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P1": 3}, SOON, "the good sale behind them")
    assert sorted(reason for reason, _, _ in letters(wire)) == ["bad-avro"] * 2 + ["bad-quantity"] * 3


def test_tombstones_and_strays_end_where_they_belong_and_count_once(settings: Settings) -> None:
    wire, wrong = Wire(settings), 1 - home("P1")
    wire.send(a_partner("P1"))
    value = wire.codec.encode(SALES, a_sale("A", "P1", 3))
    for key in (b"P1", b"somebody", None):
        wire.raw(SALES, key, value, partition=wrong)
        wire.raw(SALES, key, None)
    wire.raw(SALES, b"P1", value, headers=[("staffel-rerouted-from", b"0/7")], partition=wrong)
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P1": 3}, SOON, "the stray sale")
        until(lambda: len(letters(wire)) == 4, what="the letters")
    assert sorted(reason for reason, _, _ in letters(wire)) == ["no-value"] * 3 + ["stray-twice"]
    assert sum(header == "staffel-rerouted-from" for m in wire.messages(SALES) for header, _ in m.headers() or ()) == 4


def test_what_a_compressed_record_hides_is_put_aside_whole_or_cut_and_never_a_crash_loop(settings: Settings) -> None:
    """The broker's limit is on what was compressed: a record of ten megabytes passes it."""
    wire = Wire(settings, message_max_bytes=50_000_000, compression_type="zstd")
    wire.send(a_partner("P1"))
    sale = wire.codec.encode(SALES, a_sale("A", "P1"))
    fits, huge = sale + bytes(SALES_BYTES_MAX), sale + bytes(10_000_000)
    wire.raw(SALES, b"P1", fits)
    wire.raw(SALES, b"P1", huge)
    wire.raw(SALES, b"k" * 3_000_000, sale, headers=[("h", b"x" * 3_000_000)], partition=1 - home("P1"))
    wire.send(a_sale("B", "P1", 3))
    wire.flush()
    with working(settings) as worker:
        until(lambda: wire.units() == {"P1": 3}, SOON, "the good sale behind them")
        found = until(lambda: len(got := letters(wire)) == 3 and got, what="the letters")
        assert worker.metric("rebate_unaccounted_records") == 0
    assert {reason for reason, _, _ in found} == {"too-large"}
    whole, cut, keyed = sorted(found, key=lambda row: row[1].get("dlq.size", b"") != b"", reverse=False)[0:3]
    assert whole[2] == fits
    assert "dlq.cut" not in whole[1]
    cut, keyed = sorted((cut, keyed), key=lambda row: -int(row[1]["dlq.size"]))
    assert cut[2] == huge[:65_536]
    assert cut[1]["dlq.size"] == str(len(huge)).encode()
    assert cut[1]["dlq.sha256"] == hashlib.sha256(huge).hexdigest().encode()
    assert keyed[1]["dlq.cut"] == b"true"
    assert "h" not in keyed[1]


def test_a_topic_that_takes_larger_records_changes_nothing(settings: Settings) -> None:
    set_topic(settings, SALES, "max.message.bytes", "12000000")
    wire = Wire(settings, message_max_bytes=11_000_000, compression_type="none")
    wire.send(a_partner("P1"))
    noise = hashlib.shake_256(b"noise").digest(10_000_000)
    wire.raw(SALES, b"P1", noise)
    wire.send(a_sale("B", "P1", 3))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P1": 3}, SOON, "the good sale behind it")
    ((reason, headers, value),) = letters(wire)
    assert (reason, value, headers["dlq.size"]) == ("too-large", noise[:65_536], b"10000000")


def test_the_largest_sale_that_is_allowed_counts(settings: Settings) -> None:
    """Serial numbers that don't compress: its line is larger than the sale, and returns make it larger still."""
    wire = Wire(settings, message_max_bytes=1_500_000, compression_type="none")
    noise = hashlib.shake_256(b"serials").hexdigest(10_000 * 48)
    serials = tuple(noise[n * 96 : n * 96 + 96] for n in range(10_000))
    wire.send(a_partner("P1"), msgspec.structs.replace(a_sale("A", "P1", 900), serial_numbers=serials))
    wire.send(*(SaleReturned(f"R{n}", "A", "P1", "TS-100", 1, date(2026, 11, 3), NOW) for n in range(300)))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P1": 600}, SOON, "the sale and its returns")


def test_a_partner_whose_key_differs_is_put_aside_also_by_who_restores(settings: Settings) -> None:
    wire = Wire(settings)
    here = next(f"Q{n}" for n in range(9) if home(f"Q{n}") == home("P1"))
    wire.raw(PARTNERS, here.encode(), wire.codec.encode(PARTNERS, a_partner("P1")))
    wire.raw(PARTNERS, b"../etc", None)
    wire.send(a_sale("A", "P1", 3))
    wire.flush()
    for _ in range(2):
        with working(settings):
            until(lambda: wire.tallies()["P1", "2026Q4"].pending == 1 if wire.tallies() else False, what="pending")
            wire.send(a_sale(f"B{len(wire.messages(SALES))}", "P2", 1))
            wire.flush()
            until(lambda: len(wire.tallies()) == 2, what="the stranger's sale")
    wire.send(a_sale("C", "P1", 1))
    wire.flush()
    with working(settings):
        until(lambda: wire.tallies()["P1", "2026Q4"].pending == 2, what="still nobody")
    assert {reason for reason, _, _ in letters(wire)} == {"key-differs", "bad-partner-id"}


class Door:
    """Stands before the registry: lets requests through, or is shut as if it were away."""

    def __init__(self, registry_url: str) -> None:
        self.shut = False
        self.answer = 503
        door = self
        target = registry_url.split("/apis/")[0]

        class Handler(BaseHTTPRequestHandler):
            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
                if door.shut:
                    self.send_error(door.answer)
                    return
                kind = {"Content-Type": self.headers.get("Content-Type") or "application/json"}
                request = Request(target + self.path, body, kind, method=self.command)
                try:
                    with urlopen(request, timeout=10) as found:
                        status, answer = found.status, found.read()
                except HTTPError as error:
                    status, answer = error.code, error.read()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = _pass  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/apis/ccompat/v7"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def a_door(settings: Settings) -> Iterator[tuple[Door, Settings]]:
    door = Door(settings.registry_url)
    try:
        yield door, dataclasses.replace(settings, registry_url=door.url)
    finally:
        door.close()


@pytest.mark.parametrize("answer", [503, 404])
def test_without_the_registry_known_schemas_go_on_and_unknown_ones_wait_for_it(settings: Settings, answer: int) -> None:
    wire = Wire(settings)
    wire.send(a_partner("P1"), a_sale("A", "P1", 1))
    wire.flush()
    # Another version of the schema, which the worker has to ask for.
    other = wire.codec.encode(SALES, a_sale("C", "P1", 4))
    schema = wire.codec._registry.schema_by_id(struct.unpack(">I", other[1:5])[0])  # type: ignore[attr-defined]
    subject = f"{settings.topic_prefix}elsewhere-value"
    other_id = wire.codec._registry.register(subject, schema.replace("Somebody", "Anybody"))  # type: ignore[attr-defined]
    assert other_id != struct.unpack(">I", other[1:5])[0]
    with a_door(settings) as (door, own):
        with working(own) as worker:
            until(lambda: wire.units() == {"P1": 1}, what="the first")
            door.shut, door.answer = True, answer
            wire.send(a_sale("B", "P1", 2))
            wire.flush()
            until(lambda: wire.units() == {"P1": 3}, SOON, "one of a known schema")
            wire.raw(SALES, b"P1", b"\0" + struct.pack(">I", other_id) + other[5:])
            wire.send(a_sale("D", "P1", 8))
            wire.flush()
            assert worker.process.wait(60) == Exit.NOT_READY
            assert "schema registry" in worker.log.read_text().splitlines()[-2]
        forget_the_dead(own)
        assert wire.units() == {"P1": 3}
        door.shut = False
        with working(own):
            until(lambda: wire.units() == {"P1": 15}, SOON, "both when it is back")
    assert letters(wire) == []


def test_a_schema_that_nobody_knows_is_put_aside(settings: Settings) -> None:
    wire = Wire(settings)
    wire.send(a_partner("P1"))
    wire.raw(SALES, b"P1", b"\0\0\x0f\xff\xffnobody's")
    wire.send(a_sale("A", "P1", 1))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P1": 1}, SOON, "the good one behind it")
    assert [reason for reason, _, _ in letters(wire)] == ["unknown-schema"]


def test_a_batch_of_nothing_but_poison_is_put_aside_and_the_good_one_behind_counts(settings: Settings) -> None:
    wire = Wire(settings)
    wire.send(a_partner("P1"))
    for _ in range(200):
        wire.raw(SALES, b"P1", b"poison")
    wire.send(a_sale("A", "P1", 1))
    wire.flush()
    with working(settings):
        until(lambda: wire.units() == {"P1": 1}, SOON, "the good one behind them")
    assert len(letters(wire)) == 200


def test_too_many_dead_letters_stop_the_worker_and_whoever_takes_over_until_somebody_has_looked(
    settings: Settings,
) -> None:
    wire = Wire(settings)
    own = dataclasses.replace(settings, dead_letters_excess_max=20)
    wire.send(a_partner("P1"), a_sale("A", "P1", 1))
    for _ in range(15):
        wire.raw(SALES, b"P1", b"poison")
    wire.flush()
    with working(own) as worker:
        until(lambda: len(letters(wire)) == 15, what="what is still accepted")
        for _ in range(40):
            wire.raw(SALES, b"P1", b"poison")
        wire.send(a_sale("B", "P1", 2))
        wire.flush()
        until(lambda: worker.metric("rebate_stopped_by_dead_letters") == 1, what="the stop")
        assert "nothing more is put aside" in worker.log.read_text()
        assert worker.is_ready(), "it stays for a while, so that its metrics are read"
        assert worker.kill(signal.SIGTERM) == Exit.REFUSED
    forget_the_dead(own)
    before = len(letters(wire))
    assert before <= 26, "20 above a fifth of the records"
    # Another worker knows what went before, and eats nothing more.
    with working(own) as worker:
        until(lambda: worker.metric("rebate_stopped_by_dead_letters") == 1, what="the next one's stop")
    forget_the_dead(own)
    assert len(letters(wire)) == before
    # The sender is mended; what is bad has to pass.
    with working(dataclasses.replace(own, dead_letters_percent_max=0)):
        until(lambda: wire.units() == {"P1": 3}, SOON, "the good one behind them")
        assert len(letters(wire)) == 55
    with working(own):
        wire.send(a_sale("C", "P1", 4))
        wire.flush()
        until(lambda: wire.units() == {"P1": 7}, SOON, "business as usual")


ODD_NAME = """
import asyncio, os, sys
os.environ["AIOKAFKA_NO_EXTENSIONS"] = "1"
from aiokafka import AIOKafkaProducer

class Latin(str):
    def encode(self, *_):
        return b"Gr\\xf6\\xdfe"

async def main(server, topic, partition, *values):
    producer = AIOKafkaProducer(bootstrap_servers=server, linger_ms=200, compression_type="lz4")
    await producer.start()
    for number, value in enumerate(values):
        headers = [(Latin("12345"), b"XL")] if number % 5 == 2 else []
        await producer.send(topic, bytes.fromhex(value), b"P1", partition=int(partition), headers=headers)
    await producer.stop()

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_header_whose_name_is_no_utf8_stops_nothing_and_loses_nothing(settings: Settings) -> None:
    """Clients in C write whatever bytes they are given."""
    wire = Wire(settings)
    other = next(f"Q{n}" for n in range(9) if home(f"Q{n}") != home("P1"))
    wire.send(a_partner("P1"), a_partner(other), *(a_sale(f"O{n}", other) for n in range(50)))
    wire.flush()
    sales = [wire.codec.encode(SALES, a_sale(f"A{n}", "P1")) for n in range(20)]
    values = [value.hex() for value in (*sales, b"poison", b"poison", b"poison")]
    where = settings.kafka, SALES.full_name(settings.topic_prefix), str(home("P1"))
    subprocess.run([sys.executable, "-c", ODD_NAME, *where, *values], check=True, timeout=60)
    with working(settings) as worker:
        until(lambda: wire.units() == {"P1": 20, other: 50}, SOON, "all sales")
        until(lambda: len(letters(wire)) == 3, what="the poison among them")
        assert worker.metric("rebate_unaccounted_records") == 0
    assert look(settings).differences == ()
    subprocess.run([sys.executable, "-c", ODD_NAME, *where, *values[:5]], check=True, timeout=60)
    outcome = replay(settings, open_clock(settings), everything=True)  # looks for what it sent in the headers of sales
    assert outcome.letters["replayed"] == 3
