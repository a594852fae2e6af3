"""The stream under load: many sales at once, a restart with all of them, then sales at a steady rate.

First the sales are written, then the workers start and work them off: so what is measured is the stream alone. All
rules, the deduplication, the durable state and one transaction a batch are in it; nothing is left out for speed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import psutil
from confluent_kafka import TopicPartition

from deploy.embedded.stack import Stack, environment
from deploy.runtime import kafka
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import NotReady
from deploy.runtime.settings import Loaded, Port, load
from schemas.codec import Codec, ConfluentRegistry, header, headers_for
from schemas.events import Partner, SaleReported
from schemas.topics import PARTNERS, SALES, TIER_CHANGES
from services.intake.applied import Deadline, ends_of, wait_for_stream
from services.kit.sender import Sender, open_codec

_PARTNERS = 20_000
_START_SECONDS = 120
_LOOK_SECONDS = 0.1  # each look costs the workers a page of metrics
_APPLIED = re.compile(r'^rebate_position_offset\{partition="(\d+)",source="sales"\} (\S+)$', re.MULTILINE)
Say = Callable[[str], None]


class Throughput(NamedTuple):
    """Sales worked off, the first to the last."""

    sales: int
    seconds: float
    per_second: int
    per_cpu_second: int
    """Per second of the workers' processor time, their start included."""
    memory_mb: int
    """Peak, all workers together."""
    memory_bytes_per_sale: int
    """What the sales added to the memory of the workers, by their number."""


class Latency(NamedTuple):
    """From a sale being sent to the tier change that it causes being readable by others, in milliseconds."""

    per_second: int
    tier_changes: int
    p50_ms: float
    p99_ms: float


class Figures(NamedTuple):
    """What a run came to."""

    workers: int
    throughput: Throughput
    restore_seconds: float
    """A new worker's start to its having every partition, with all those sales in its memory."""
    latency: Latency


def run(sales: int, workers: int, rate: int, seconds: float, port_base: int, say: Say) -> Figures:
    """Measure on this machine. Raises StaffelError if the stack can't start."""
    with tempfile.TemporaryDirectory(prefix="staffel-bench-") as folder:
        loaded = load({"data": Path(folder), "port_base": port_base}, {})
        with Stack(loaded, parts=("kafka", "registry"), services=()) as stack:
            stack.wait_ready()
            say(f"writing {sales:,} sales of {_PARTNERS:,} partners …")
            _register(loaded)
            _write(loaded, sales)
            with _workers(loaded, workers) as running:
                throughput = _work_off(running, sales, say)
            with _workers(loaded, 1) as running:
                say("starting again with all of them …")
                begun = time.monotonic()
                running[0].ready()
                restored = time.monotonic() - begun
                say(f"sending {rate:,} sales a second for {seconds:.0f} s …")
                latency = _latency(loaded, rate, seconds)
    return Figures(workers, throughput, restored, latency)


class _Worker:
    """A worker as its own process, with ports of its own."""

    def __init__(self, loaded: Loaded, number: int) -> None:
        settings = loaded.settings
        base = settings.port_base + 20 * (number + 1)
        self._page = f"http://127.0.0.1:{base + Port.WORKER}"
        own = {
            "STAFFEL_PORT_BASE": str(base),
            "STAFFEL_KAFKA": settings.kafka,
            "STAFFEL_REGISTRY_URL": settings.registry_url,
        }
        self._log = settings.data / f"worker-{number}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "streams"], env={**environment(loaded), **own}, stdout=log, stderr=log
            )
        self._figures = psutil.Process(self._process.pid)

    def ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self.must_run()
            if self._ask("/healthz") is not None:
                return
            time.sleep(0.02)
        raise NotReady(f"the worker was not ready within {_START_SECONDS} s")

    def must_run(self) -> None:
        """Raises NotReady if it has ended: nothing that is waited for would come."""
        if self._process.poll() is not None:
            raise NotReady("the worker ended", f"the end of its log: {self._log.read_text()[-1000:].strip()}")

    def applied(self) -> Mapping[str, int]:
        """For each partition that it owns or owned, how many sales it has applied."""
        return {number: int(float(offset)) + 1 for number, offset in _APPLIED.findall(self._ask("/metrics") or "")}

    def cpu_seconds(self) -> float:
        times = self._figures.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        """Bytes in memory now."""
        return int(self._figures.memory_info().rss)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, path: str) -> str | None:
        try:
            with urlopen(self._page + path, timeout=2) as answer:  # noqa: S310  # our own process
                return str(answer.read().decode())
        except OSError:
            return None


@contextmanager
def _workers(loaded: Loaded, number: int) -> Iterator[list[_Worker]]:
    running = [_Worker(loaded, n) for n in range(number)]
    try:
        yield running
    finally:
        for worker in running:
            worker.stop()


def _work_off(workers: list[_Worker], sales: int, say: Say) -> Throughput:
    begun, peak, base, told = time.monotonic(), 0, 0, 0
    while True:
        at = time.monotonic()
        partitions: dict[str, int] = {}
        for worker in workers:
            worker.must_run()
            for number, applied in worker.applied().items():
                partitions[number] = max(partitions.get(number, 0), applied)
        done = sum(partitions.values())
        memory = sum(worker.memory() for worker in workers)
        peak = max(peak, memory)
        if not done:  # the first sale is applied after this look
            begun, base = at, max(base, memory)
        if done * 5 // sales > told:
            told = done * 5 // sales
            say(f"  {done:,} applied")
        if done >= sales:
            break
        time.sleep(_LOOK_SECONDS)
    seconds = at - begun
    cpu = sum(worker.cpu_seconds() for worker in workers)
    return Throughput(
        sales,
        round(seconds, 2),
        round(sales / seconds),
        round(sales / cpu),
        round(peak / 1e6),
        round((peak - base) / sales),
    )


def _register(loaded: Loaded) -> None:
    settings, now = loaded.settings, datetime.now(UTC)  # noqa: TID251  # the benchmark runs on real time
    codec = open_codec(settings, [PARTNERS])
    with Sender(settings, codec, open_clock(settings), PARTNERS) as sender:
        for n in range(_PARTNERS):
            sender.send(_partner_id(n), Partner(_partner_id(n), "Bench", "b@bench.example", "de", "DE", now.date()))


def _write(loaded: Loaded, number: int) -> None:
    """Sales as any producer writes them, spread over the partners."""
    settings = loaded.settings
    codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)
    producer = kafka.producer(settings, queue_buffering_max_messages=1_000_000, linger_ms=50)
    topic = SALES.full_name(settings.topic_prefix)
    for n in range(number):
        sale = _sale(n, _partner_id(n * 7919 % _PARTNERS))
        while True:
            try:
                producer.produce(topic, codec.encode(SALES, sale), sale.partner_id.encode())
                break
            except BufferError:
                producer.poll(0.1)
        if n % 10_000 == 0:
            producer.poll(0)
    producer.flush()


def _latency(loaded: Loaded, rate: int, seconds: float) -> Latency:
    """Each sale has ten units and a partner of its own, so that each one reaches a tier."""
    settings = loaded.settings
    codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)
    producer = kafka.producer(settings, linger_ms=0)
    reader = kafka.reader(settings, fetch_wait_max_ms=5)
    name = TIER_CHANGES.full_name(settings.topic_prefix)
    places = kafka.ends(reader, [(name, n) for n in kafka.partitions_of(reader, name)])
    reader.assign([TopicPartition(*place, offset) for place, offset in places.items()])
    registered = datetime.now(UTC) - timedelta(days=1)  # noqa: TID251
    number = round(rate * seconds)
    for n in range(number):
        partner = Partner(f"L-{n}", "Bench", "b@bench.example", "de", "DE", registered.date())
        producer.produce(
            PARTNERS.full_name(settings.topic_prefix), codec.encode(PARTNERS, partner), partner.partner_id.encode()
        )
        producer.poll(0)
    producer.flush()
    # A sale before its partner's registration would wait for that, and be measured with it.
    wait_for_stream(settings, ends_of(settings, (PARTNERS,)), Deadline.after(_START_SECONDS))
    sent: dict[str, float] = {}
    waits: list[float] = []
    begun = time.monotonic()
    deadline = begun + seconds + 30
    while len(waits) < number and time.monotonic() < deadline:
        while len(sent) < number and time.monotonic() - begun >= len(sent) / rate:
            sale = _sale(len(sent), f"L-{len(sent)}", 10)
            headers = headers_for(sale, source="/bench", time=registered, subject=sale.partner_id)
            sent[sale.partner_id] = time.monotonic()
            producer.produce(
                SALES.full_name(settings.topic_prefix),
                codec.encode(SALES, sale),
                sale.partner_id.encode(),
                headers=headers,
            )
            producer.poll(0)
        for message in reader.consume(500, 0.001):
            partner_id = header(message.headers(), "ce_subject") if message.error() is None else None
            if partner_id in sent:
                waits.append(time.monotonic() - sent[partner_id])
    reader.close()
    waits.sort()
    return Latency(rate, len(waits), _ms(waits, 0.5), _ms(waits, 0.99))


def _ms(waits: list[float], share: float) -> float:
    return round(1000 * waits[min(len(waits) - 1, int(len(waits) * share))], 1) if waits else 0.0


def _partner_id(number: int) -> str:
    return f"B-{number:05d}"


def _sale(number: int, partner_id: str, units: int = 1) -> SaleReported:
    now = datetime.now(UTC)  # noqa: TID251
    return SaleReported(f"S-{partner_id[0]}{number}", partner_id, "TS-100", units, now.date(), now, (), "bench")
