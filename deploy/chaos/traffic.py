"""Reports as the world sends them: late, twice, contradicted, taken back, aborted, astray, in every compression."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterator
from datetime import date, timedelta
from threading import Event as Flag
from threading import Thread
from typing import Any, NamedTuple

from confluent_kafka import KafkaException
from msgspec.structs import replace

from deploy.runtime import kafka
from deploy.runtime.clock import Clock, open_clock
from deploy.runtime.settings import Settings
from schemas.codec import Codec, headers_for
from schemas.events import Event, Partner, SaleReported, SaleReturned
from schemas.topics import PARTNERS, SALES
from schemas.values import partition_of
from services.kit.sender import open_codec

COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")
_PARTNERS = 200
_REMEMBERED = 2_000
_RESENT = ("sale", "resent", "contradicted", "taken back", "returned first", "astray", "odd")
_WEIGHTS = (60, 10, 6, 12, 3, 6, 4)


class Record(NamedTuple):
    """A record to be sent. Without a partition, the key decides."""

    key: bytes | None
    event: Event
    partition: int | None = None


class Traffic:
    """Ten reporters and a registry, each a thread with a chance of its own, until ``stop``."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._codec = open_codec(settings, [SALES, PARTNERS])
        self._over = Flag()
        remembered: deque[SaleReported] = deque(maxlen=_REMEMBERED)
        self._registry = _Registry(settings, self._codec, self._over, random.Random(f"{seed}/registry"))  # noqa: S311
        self._reporters = [
            _Reporter(
                settings,
                self._codec,
                self._over,
                random.Random(f"{seed}/{compression}/{transactional}"),  # noqa: S311  # chaos, no secret
                compression,
                transactional,
                remembered,
            )
            for compression in COMPRESSIONS
            for transactional in (False, True)
        ]

    def start(self) -> None:
        """Register some of the partners, then let everything flow."""
        self._registry.begin()
        for thread in (self._registry, *self._reporters):
            thread.start()

    def stop(self) -> None:
        """End it, and wait until all that was sent is there."""
        self._over.set()
        for thread in (self._registry, *self._reporters):
            thread.join(60)

    @property
    def sent(self) -> Counter[str]:
        """What was sent so far, by kind."""
        return sum((thread.sent for thread in (self._registry, *self._reporters)), Counter())


class _Sender(Thread):
    """A thread that sends records to a topic."""

    def __init__(self, name: str, settings: Settings, codec: Codec, over: Flag, chance: random.Random) -> None:
        super().__init__(name=name, daemon=True)
        self.sent: Counter[str] = Counter()
        self._settings, self._codec, self._over, self._chance = settings, codec, over, chance
        self._clock: Clock = open_clock(settings)

    def _put(self, producer: Any, record: Record) -> None:
        topic = PARTNERS if isinstance(record.event, Partner) else SALES
        subject: str = record.event.partner_id  # type: ignore[attr-defined]
        headers = headers_for(record.event, source="/staffel/chaos", time=self._clock.now(), subject=subject)
        where = {} if record.partition is None else {"partition": record.partition}
        value = self._codec.encode(topic, record.event)
        while True:
            try:
                producer.produce(
                    topic.full_name(self._settings.topic_prefix), value, record.key, headers=headers, **where
                )
                break
            except BufferError:  # the broker is away; what waits is sent when it is back
                producer.poll(0.2)
        producer.poll(0)

    def _today(self) -> date:
        return self._clock.now().date()


class _Registry(_Sender):
    """Registers partners, and lets some leave, come back, or move to another country."""

    def __init__(self, settings: Settings, codec: Codec, over: Flag, chance: random.Random) -> None:
        super().__init__("registry", settings, codec, over, chance)
        self._producer = kafka.producer(settings)

    def begin(self) -> None:
        for number in range(_PARTNERS * 6 // 10):
            self._tell(number)
        self._producer.flush(30)

    def run(self) -> None:
        while not self._over.wait(self._chance.uniform(0.3, 1.0)):
            self._tell(self._chance.randrange(_PARTNERS))
        self._producer.flush(60)

    def _tell(self, number: int) -> None:
        left = self._today() - timedelta(days=self._chance.randrange(60)) if self._chance.random() < 0.15 else None
        country = self._chance.choices(("DE", "AT", "US"), (80, 15, 5))[0]
        who = partner_id(number)
        partner = Partner(who, "Chaos", "chaos@partner.example", "de", country, date(2026, 1, 1), left)
        self._put(self._producer, Record(who.encode(), partner))
        self.sent["leavers" if left else "registrations"] += 1


class _Reporter(_Sender):
    """One producer of sales: plain, or in transactions of which some are aborted and some left open for a while."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        over: Flag,
        chance: random.Random,
        compression: str,
        transactional: bool,
        remembered: deque[SaleReported],
    ) -> None:
        name = f"{compression}-{'t' if transactional else 'p'}"
        super().__init__(name, settings, codec, over, chance)
        self._compression, self._transactional, self._remembered = compression, transactional, remembered
        self._later: list[Record] = []
        self._numbers = 0

    def run(self) -> None:
        producer = self._open()
        while producer is not None and not self._over.wait(self._chance.uniform(0.1, 0.5)):
            batch = [record for _ in range(self._chance.randint(1, 12)) for record in self._draw()]
            if not self._transactional:
                for record in batch:
                    self._put(producer, record)
                continue
            try:
                self._transaction(producer, batch)
            except KafkaException:  # whatever became of it: a new producer ends what this one left
                self.sent["broken transactions"] += 1
                producer = self._open()
        if producer is not None:
            producer.flush(60)

    def _open(self) -> Any:
        """A producer that is ready; None if there is no time left for it."""
        if not self._transactional:
            return kafka.producer(self._settings, compression_type=self._compression)
        while not self._over.is_set():
            producer = kafka.producer(
                self._settings,
                compression_type=self._compression,
                transactional_id=f"chaos-{self.name}",
                transaction_timeout_ms=10_000,
            )
            try:
                producer.init_transactions(15)
                return producer
            except KafkaException:
                self._over.wait(1)
        return None

    def _transaction(self, producer: Any, batch: list[Record]) -> None:
        producer.begin_transaction()
        for record in batch:
            self._put(producer, record)
        fate = self._chance.random()
        if fate < 0.02:
            self.sent["transactions left open for seconds"] += 1
            self._over.wait(self._chance.uniform(2, 6))
        if fate < 0.25:
            producer.abort_transaction(15)
            self.sent["aborted"] += len(batch)
        else:
            producer.commit_transaction(15)

    def _draw(self) -> Iterator[Record]:
        """The next report, with what belongs to it."""
        kind = self._chance.choices(_RESENT, _WEIGHTS)[0]
        known = self._chance.choice(self._remembered) if self._remembered and kind in _RESENT[1:4] else None
        if kind in _RESENT[1:4] and known is None:
            kind = "sale"
        self.sent[kind] += 1
        if known is not None:
            yield self._about(kind, known)
            return
        sale = self._sale(odd=kind == "odd")
        self._remembered.append(sale)
        if kind == "returned first":
            self._later.append(_record(sale))
            yield _record(self._return(sale))
        elif kind == "astray":
            right = partition_of(sale.partner_id.encode(), self._settings.partitions)
            wrong = (right + self._chance.randrange(1, self._settings.partitions)) % self._settings.partitions
            yield Record(self._chance.choice((None, b"somebody", sale.partner_id.encode())), sale, wrong)
        else:
            yield _record(sale)
        if self._later and self._chance.random() < 0.3:
            yield self._later.pop(0)

    def _about(self, kind: str, sale: SaleReported) -> Record:
        if kind == "taken back":
            return _record(self._return(sale))
        if kind == "contradicted":
            apart = timedelta(seconds=self._chance.randint(-60, 60))
            sale = replace(sale, quantity=sale.quantity + 1, reported_at=sale.reported_at + apart)
        return _record(sale)

    def _sale(self, odd: bool) -> SaleReported:
        self._numbers += 1
        now = self._clock.now()
        sale = SaleReported(
            sale_id=f"{self.name}-{self._numbers}",
            partner_id=partner_id(self._chance.randrange(_PARTNERS)),
            product_id=f"TS-{self._chance.randint(1, 9)}00",
            quantity=self._chance.choice((1, 1, 1, 2, 3)),
            sold_on=now.date() - timedelta(days=self._chance.randrange(110)),
            reported_at=now,
            reported_by=self.name,
        )
        if not odd:
            return sale
        return self._chance.choice(
            (
                replace(sale, product_id="XX-1"),
                replace(sale, quantity=0),
                replace(sale, sold_on=now.date() + timedelta(days=40)),
                replace(sale, sold_on=now.date() - timedelta(days=400)),
            )
        )

    def _return(self, sale: SaleReported) -> SaleReturned:
        self._numbers += 1
        return SaleReturned(
            return_id=f"R-{self.name}-{self._numbers}",
            sale_id=sale.sale_id,
            partner_id=sale.partner_id,
            product_id=sale.product_id,
            quantity=self._chance.randint(1, 2),
            returned_on=self._today(),
            reported_at=self._clock.now(),
            reported_by=self.name,
        )


def partner_id(number: int) -> str:
    """The partner with this number."""
    return f"C-{number:03d}"


def _record(event: SaleReported | SaleReturned) -> Record:
    return Record(event.partner_id.encode(), event)
