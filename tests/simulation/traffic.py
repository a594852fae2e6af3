"""What reporters, the registry and strangers write: right and wrong, once and again, in the right place or not."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from msgspec.structs import replace

from schemas.events import Partner, SaleReported, SaleReturned
from schemas.topics import PARTNERS, POSITIONS, SALE_LINES, SALES, SETTLED_LINES, SETTLED_SALES, TALLIES, Topic
from schemas.values import partition_of
from tests.simulation.broker import Broker, Refused

QUANTITIES = [1, 1, 1, 2, 3, 5, 9, 10, 15, 24, 25, 26, 49, 50, 0, -1]
POISON = [None, b"", b"\x00\x00", b"not avro at all", b"\x00\x00\x00\xff\xff?"]


class Open(NamedTuple):
    """A stranger's open transaction."""

    name: str
    epoch: int
    commits: bool
    sent: list[SaleReported | SaleReturned]


class Traffic:
    """Writes one thing at a time, straight into the broker."""

    def __init__(self, world: Any) -> None:
        self._broker: Broker = world.broker
        self._codec, self._prefix, self._now = world.codec, world.prefix, world.now
        self._chance: random.Random = world.chance
        self._partitions: int = world.partitions
        self._partners = [f"P{n}" for n in range(self._chance.randint(2, 4))]
        self._registered: dict[str, Partner] = {}
        self.registrations: list[tuple[Partner, datetime]] = []
        """All that the registry ever said of partners, and when: the topic may be compacted."""
        self._forgotten: set[str] = set()
        self._sent: list[SaleReported | SaleReturned] = []
        self._open: list[Open] = []
        self._strangers = 0
        self._kinds = self._mixture()

    def one(self) -> None:
        """Something happens."""
        self._chance.choice(self._kinds)()

    def end(self) -> None:
        """Strangers end what they began, and everybody is registered in the end."""
        for one in self._open:
            self._end(one)
        self._open.clear()
        for partner_id in self._partners:
            if partner_id not in self._registered or partner_id in self._forgotten:
                self._register(partner_id)

    def forget_some(self) -> None:
        """Some leave for good, and the registry forgets them."""
        for partner_id in sorted(self._registered.keys() - self._forgotten):
            if self._chance.random() < 0.5:
                self._forget_one(partner_id)

    def late(self, others_too: bool) -> None:
        """What was reported is reported again; or otherwise, or comes back, or somebody sells or registers."""
        others = [self._conflict, self._return, self._sale, self._registration]
        self._chance.choice([self._again, *others] if others_too else [self._again])()

    # --- what there is -------------------------------------------------------------------------------------------

    def _mixture(self) -> list[Callable[[], None]]:
        """Each world has its own habits: some kinds often, some never."""
        weights: list[tuple[Callable[[], None], tuple[int, int]]] = [
            (self._sale, (6, 14)),
            (self._return, (0, 4)),
            (self._again, (0, 4)),
            (self._conflict, (0, 3)),
            (self._stray, (0, 3)),
            (self._poison, (0, 2)),
            (self._registration, (1, 4)),
            (self._forget, (0, 1)),
            (self._transaction, (0, 3)),
            (self._state_stranger, (0, 1)),
            (self._end_one, (2, 4)),
        ]
        return [kind for kind, (low, high) in weights for _ in range(self._chance.randint(low, high))]

    def _sale(self) -> None:
        self._send(self._a_sale())

    def _a_sale(self) -> SaleReported:
        chance = self._chance
        sold_on = self._day(chance.choice([0, 0, 1, 3, 10, 20, 40, 100, -2, 300]))
        return SaleReported(
            f"S{chance.randrange(40)}",
            chance.choice(self._partners),
            chance.choice(["TS-100"] * 8 + ["XX-9"]),
            chance.choice(QUANTITIES),
            sold_on,
            self._moment(),
        )

    def _return(self) -> None:
        known = [event for event in self._sent if isinstance(event, SaleReported)]
        sale = self._chance.choice(known) if known and self._chance.random() < 0.8 else self._a_sale()
        quantity = self._chance.choice([1, 1, 2, sale.quantity, 60, 0])
        day = self._day(self._chance.choice([0, 0, 1, 5, -2]))
        return_id = f"R{self._chance.randrange(3)}"
        self._send(
            SaleReturned(return_id, sale.sale_id, sale.partner_id, sale.product_id, quantity, day, self._moment())
        )

    def _again(self) -> None:
        if self._sent:
            self._send(self._chance.choice(self._sent))

    def _conflict(self) -> None:
        if self._sent:
            event = self._chance.choice(self._sent)
            self._send(replace(event, quantity=self._chance.choice(QUANTITIES), reported_at=self._moment()))

    def _stray(self) -> None:
        event = self._a_sale()
        key = self._chance.choice([event.partner_id.encode(), b"somebody", None])
        self._put(SALES, key, self._codec.encode(SALES, event), self._chance.randrange(self._partitions))

    def _poison(self) -> None:
        value = self._chance.choice(POISON)
        if self._sent and self._chance.random() < 0.3:
            value = self._codec.encode(SALES, self._sent[-1]) + b"!"
        self._put(SALES, b"P0", value, self._chance.randrange(self._partitions))

    def _registration(self) -> None:
        self._register(self._chance.choice(self._partners))

    def _register(self, partner_id: str) -> None:
        chance = self._chance
        known = self._registered.get(partner_id)
        since = known.registered_on if known else self._day(chance.choice([0, 30, 400]))
        left_on = self._day(chance.choice([0, 5, 30])) if chance.random() < 0.15 else None
        country = known.country if known else chance.choice(["DE"] * 5 + ["US"])
        partner = Partner(partner_id, "Beispiel GmbH", "a@b.example", "de", country, since, left_on)
        self._registered[partner_id] = partner
        self.registrations.append((partner, datetime.fromtimestamp(self._now(), UTC)))
        self._forgotten.discard(partner_id)
        self._put_keyed(PARTNERS, partner_id, self._codec.encode(PARTNERS, partner))

    def _forget(self) -> None:
        if self._registered:
            self._forget_one(self._chance.choice(sorted(self._registered)))

    def _forget_one(self, partner_id: str) -> None:
        self._forgotten.add(partner_id)
        self._put_keyed(PARTNERS, partner_id, None)

    # --- strangers with transactions -----------------------------------------------------------------------------

    def _transaction(self) -> None:
        """A reporter with transactions: some end in nothing."""
        one = self._begin(commits=self._chance.random() < 0.5)
        for _ in range(self._chance.randint(1, 4)):
            event = self._a_sale()
            partition = partition_of(event.partner_id.encode(), self._partitions)
            self._put_in(one, SALES, partition, event.partner_id.encode(), self._codec.encode(SALES, event))
            if one.commits:
                one.sent.append(event)
                self._sent.append(event)
        if self._chance.random() < 0.5:
            self._end(one)
        else:
            self._open.append(one)

    def _state_stranger(self) -> None:
        """Somebody's transaction on a state topic, which he never commits."""
        topic = self._chance.choice([POSITIONS, SALE_LINES, TALLIES, SETTLED_LINES, SETTLED_SALES])
        one = self._begin(commits=False)
        self._put_in(one, topic, self._chance.randrange(self._partitions), b"x", b"x")
        self._open.append(one)

    def _end_one(self) -> None:
        if self._open:
            self._end(self._open.pop(self._chance.randrange(len(self._open))))

    def _begin(self, commits: bool) -> Open:
        self._strangers += 1
        name = f"stranger-{self._strangers}"
        return Open(name, self._broker.begin_epoch(name, self._chance.choice([5.0, 20.0])), commits, [])

    def _put_in(self, one: Open, topic: Topic, partition: int, key: bytes, value: bytes) -> None:
        log = self._broker.log(topic.full_name(self._prefix), partition)
        self._broker.append_in(one.name, one.epoch, log, key, value, [])

    def _end(self, one: Open) -> None:
        try:
            self._broker.end(one.name, one.epoch, one.commits)
        except Refused:  # its time was over: nobody has reported anything
            self._sent = [event for event in self._sent if event not in one.sent]

    # --- below ---------------------------------------------------------------------------------------------------

    def _send(self, event: SaleReported | SaleReturned) -> None:
        self._sent.append(event)
        self._put_keyed(SALES, event.partner_id, self._codec.encode(SALES, event))

    def _put_keyed(self, topic: Topic, key: str, value: bytes | None) -> None:
        self._put(topic, key.encode(), value, partition_of(key.encode(), self._partitions))

    def _put(self, topic: Topic, key: bytes | None, value: bytes | None, partition: int) -> None:
        self._broker.append(topic.full_name(self._prefix), partition, key, value, [])

    def _day(self, ago: int) -> date:
        return (datetime.fromtimestamp(self._now(), UTC) - timedelta(days=ago)).date()

    def _moment(self) -> datetime:
        minutes = self._chance.choice([0, 0, 1, 5, 600])
        at = datetime.fromtimestamp(int(self._now()), UTC) - timedelta(minutes=minutes)
        return at.replace(microsecond=0, second=0)
