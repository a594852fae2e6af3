"""A worker as a real process, a producer, and a reader of what it wrote."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.group import LeaveGroupRequest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from deploy.runtime import kafka
from deploy.runtime.clock import Segment, clock_file, write_segments
from deploy.runtime.settings import Port, Settings
from schemas.codec import Codec, ConfluentRegistry, header, headers_for
from schemas.events import Event, Partner, SaleReported, SaleReturned, Tally
from schemas.topics import PARTNERS, SALES, TALLIES, Topic
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The settings of a test, as a process started by hand would get them."""
    own = {
        "DATA": settings.data,
        "PORT_BASE": settings.port_base,
        "KAFKA": settings.kafka,
        "REGISTRY_URL": settings.registry_url,
        "TOPIC_PREFIX": settings.topic_prefix,
        "PARTITIONS": settings.partitions,
        "PROGRAMME": settings.programme,
        "SINGLE_NODE": settings.single_node,
        "DEAD_LETTERS_PERCENT_MAX": settings.dead_letters_percent_max,
        "DEAD_LETTERS_EXCESS_MAX": settings.dead_letters_excess_max,
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STAFFEL_")}
    return clean | {f"STAFFEL_{name}": str(value) for name, value in own.items()} | {"PYTHONPATH": str(ROOT)} | more


class Worker:
    """``python -m streams``, or another command that starts a worker."""

    def __init__(
        self,
        settings: Settings,
        number: int = 0,
        command: Sequence[str] = (sys.executable, "-m", "streams"),
        on_test_clock: bool = True,
    ) -> None:
        self.log = settings.data / f"worker-{number}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if on_test_clock and not clock_file(settings).exists():
            # Begun a minute ago, so that what was sent just now falls into it.
            write_segments(clock_file(settings), (Segment(time.time() - 60, NOW.timestamp(), 1.0),))
        self.port = settings.port_base + Port.WORKER + 20 * number
        more = {"STAFFEL_PORT_BASE": str(settings.port_base + 20 * number)}
        with self.log.open("ab") as log:
            self._log_begins = log.tell()
            self.process = subprocess.Popen(
                command, env=environment(settings, **more), cwd=ROOT, stdout=log, stderr=log
            )

    def ready(self) -> Worker:
        until(self.is_ready, 60, f"worker ready; its log: {self.log}")
        return self

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"worker ended with {self.process.returncode}: {self.log.read_text()[-3000:]}")
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def said(self) -> str:
        """Its log, without what one before it has left there."""
        return self.log.read_bytes()[self._log_begins :].decode()

    def metric(self, name: str) -> float:
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((name + "{", name + " "))
        )

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end. Returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def stop(self) -> None:
        """End it if it runs. In order, so that the group need not wait for its session to expire."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            try:
                self.kill(signal.SIGTERM)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def working(settings: Settings, number: int = 0) -> Iterator[Worker]:
    """A worker that is ready, and gone at the end."""
    worker = Worker(settings, number)
    try:
        yield worker.ready()
    finally:
        worker.stop()


def refusal(settings: Settings) -> str:
    """What a worker says that refuses to start, while no other one works."""
    worker = Worker(settings)
    try:
        assert worker.process.wait(60) == 1
    finally:
        worker.stop()
    forget_the_dead(settings)
    return worker.said()


def forget_the_dead(settings: Settings) -> None:
    """Take everybody out of the workers' group: for those who ended without a word when no other one works.

    The broker would do it when their sessions expire, ten seconds later, and let nobody else begin before.
    """
    group = f"{settings.topic_prefix}{settings.app_id}"
    admin = kafka.admin(settings)  # kept until it has answered: nobody would, once it is gone
    try:
        found = admin.describe_consumer_groups([group], request_timeout=10)[group].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return  # nobody came as far as joining it
        raise
    asyncio.run(_leave(settings, group, [member.member_id for member in found.members]))


async def _leave(settings: Settings, group: str, members: Sequence[str]) -> None:
    client = AIOKafkaClient(bootstrap_servers=settings.kafka)
    await client.bootstrap()
    try:
        for member in members:
            answer = await client.send(client.get_random_node(), LeaveGroupRequest(group, member))
            assert answer.error_code == 0
    finally:
        await client.close()


class Written(NamedTuple):
    """A record of ours, decoded."""

    event: Event
    event_id: str | None
    partition: int
    offset: int


class Wire:
    """Sends and reads with plain clients, apart from the product's own services."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        self.settings = settings
        self.codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)
        self.producer = kafka.producer(settings, queue_buffering_max_messages=1_000_000, **options)

    def send(self, *events: SaleReported | SaleReturned | Partner) -> None:
        for event in events:
            topic = PARTNERS if isinstance(event, Partner) else SALES
            headers = headers_for(event, source="/tests", time=NOW, subject=event.partner_id)
            self.raw(topic, event.partner_id.encode(), self.codec.encode(topic, event), headers)
            self.producer.poll(0)

    def raw(self, topic: Topic, key: bytes | None, value: bytes | None, headers: Any = None, **where: int) -> None:
        self.producer.produce(topic.full_name(self.settings.topic_prefix), value, key, headers=headers, **where)

    def flush(self) -> None:
        assert self.producer.flush(60) == 0

    def messages(self, topic: Topic) -> list[Any]:
        """All committed records of a topic, partition by partition.

        A transaction ends on one partition after the other: what was seen on one may still be open on the next, so
        this waits until nothing that is there now is open.
        """
        consumer = kafka.reader(self.settings, fetch_wait_max_ms=10)
        name = topic.full_name(self.settings.topic_prefix)
        places = [(name, p) for p in range(self.settings.partitions)]
        with_open = kafka.reader(self.settings, isolation_level="read_uncommitted")
        high = kafka.ends(with_open, places)
        with_open.close()
        until(
            lambda: all(end >= high[at] for at, end in kafka.ends(consumer, places).items()),
            what="the end of what is open",
        )
        consumer.assign([TopicPartition(name, p, OFFSET_BEGINNING) for p in range(self.settings.partitions)])
        found, ended = [], set()
        while len(ended) < self.settings.partitions:
            for message in consumer.consume(5000, 0.02):
                if message.error() is None:
                    found.append(message)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                else:
                    raise AssertionError(message.error())
        consumer.close()
        return sorted(found, key=lambda m: (m.partition(), m.offset()))

    def written(self, topic: Topic) -> list[Written]:
        return [
            Written(self.codec.decode(topic, m.value()), header(m.headers(), "ce_id"), m.partition(), m.offset())
            for m in self.messages(topic)
        ]

    def tallies(self) -> dict[tuple[str, str], Tally]:
        """The latest tally of each partner and quarter."""
        found: dict[tuple[str, str], Tally] = {}
        for record in self.written(TALLIES):
            assert isinstance(record.event, Tally)
            found[record.event.partner_id, record.event.quarter] = record.event
        return found

    def units(self) -> dict[str, int]:
        return {partner_id: tally.units for (partner_id, _), tally in self.tallies().items()}


def a_partner(partner_id: str) -> Partner:
    return Partner(partner_id, "Beispiel GmbH", "einkauf@beispiel.example", "de", "DE", date(2026, 1, 1))


def a_sale(sale_id: str, partner_id: str, units: int = 1, product: str = "TS-100") -> SaleReported:
    return SaleReported(sale_id, partner_id, product, units, date(2026, 11, 2), NOW)
