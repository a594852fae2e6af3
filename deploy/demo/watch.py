"""What the demo sees of the stack while it runs: read from the published topics, as anybody may."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, TopicPartition

from deploy.runtime import kafka
from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import Settings
from schemas.codec import Codec, ConfluentRegistry
from schemas.events import (
    Event,
    LineStatus,
    PayoutStatus,
    PayoutStatusChanged,
    Position,
    QuarterClosed,
    SaleLine,
    Tally,
    TierChanged,
    WeeklySummary,
)
from schemas.topics import (
    DEAD_LETTERS,
    PAYOUTS,
    POSITIONS,
    QUARTER_CLOSES,
    SALE_LINES,
    SALES,
    TALLIES,
    TIER_CHANGES,
    WEEKLY_SUMMARIES,
)
from services.payout.holds import BANK_DETAILS_INVALID

_TOPICS = (TALLIES, SALE_LINES, TIER_CHANGES, WEEKLY_SUMMARIES, QUARTER_CLOSES, PAYOUTS, POSITIONS, DEAD_LETTERS)
_LATEST_KEPT = 4
_HARMLESS = (KafkaError._PARTITION_EOF, KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT)
"""The end of a partition; and a broker that is away, to which the client returns by itself."""


class Money(StrEnum):
    """Where the money of a close is."""

    PAYABLE = "payable"
    IN_PAYMENT = "in payment"
    PAID = "paid"
    CAME_BACK = "came back"
    WAITING = "no bank details"
    HELD = "held"
    CLAWBACK = "to be set off"


_HANDED_OVER = (Money.IN_PAYMENT, Money.PAID, Money.CAME_BACK)


class Figures(NamedTuple):
    """What there is to show at a moment. Money in cents."""

    verdicts: Counter[LineStatus]
    tiers: Counter[int]
    earned_minor: int
    tier_changes: int
    latest_changes: tuple[TierChanged, ...]
    """The latest last."""
    summaries: int
    closes: Counter[str]
    payable_minor: int
    money: Counter[Money]
    """Cents by where they are."""
    payments: int
    """How many amounts have been in a payment file."""
    payments_waiting: int
    """How many amounts are payable and in no payment file yet."""
    dead_letters: int
    mails: int


class Watch:
    """Reads the stream's topics in a thread of its own, from their beginning. Close it."""

    def __init__(self, settings: Settings, quarter: str) -> None:
        self._settings, self._quarter = settings, quarter
        self._mails = settings.data / "mail"
        self._codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)
        self._topics = {topic.full_name(settings.topic_prefix): topic for topic in _TOPICS}
        self._consumer, self._asking = kafka.reader(settings), kafka.reader(settings)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._lines: dict[tuple[str, str], LineStatus] = {}
        self._tallies: dict[str, Tally] = {}
        self._changes: deque[TierChanged] = deque(maxlen=_LATEST_KEPT)
        self._counts: Counter[str] = Counter()
        self._closes: Counter[str] = Counter()
        self._payable: dict[str, int] = {}
        self._payouts: dict[tuple[str, str, int], PayoutStatusChanged] = {}
        self._positions: dict[int, int] = {}
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="watch", daemon=True)
        self._thread.start()

    def figures(self) -> Figures:
        """The figures as of now. Raises what ended the reading."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            places = [_place(payout) for payout in self._payouts.values()]
            money: Counter[Money] = Counter()
            for place, payout in zip(places, self._payouts.values(), strict=True):
                if place is not None:
                    money[place] += payout.amount_minor
            return Figures(
                verdicts=Counter(self._lines.values()),
                tiers=Counter(tally.tier for tally in self._tallies.values()),
                earned_minor=sum(tally.rebate_minor for tally in self._tallies.values()),
                tier_changes=self._counts["tier-changes"],
                latest_changes=tuple(self._changes),
                summaries=self._counts["weekly-summaries"],
                closes=self._closes.copy(),
                payable_minor=sum(self._payable.values()),
                money=money,
                payments=sum(place in _HANDED_OVER for place in places),
                payments_waiting=places.count(Money.PAYABLE),
                dead_letters=self._counts["sales-dead-letters"],
                mails=count_mails(self._mails),
            )

    def payable_by_partner(self) -> dict[str, int]:
        """What all closes of the quarter together made payable, in cents."""
        with self._lock:
            return dict(self._payable)

    def arrived_by_partner(self) -> dict[str, int]:
        """What the partners have on their accounts, as far as it is known, in cents."""
        with self._lock:
            payouts = list(self._payouts.values())
        return _by_partner(payout for payout in payouts if payout.status in (PayoutStatus.PAID, PayoutStatus.NETTED))

    def came_back_by_partner(self) -> dict[str, int]:
        """What the bank has sent back and nobody has got since, in cents."""
        with self._lock:
            payouts = list(self._payouts.values())
        return _by_partner(payout for payout in payouts if _place(payout) is Money.CAME_BACK)

    def caught_up(self) -> bool:
        """Whether the stream has applied every record that is in ``sales``."""
        name = SALES.full_name(self._settings.topic_prefix)
        places = [(name, partition) for partition in kafka.partitions_of(self._asking, name)]
        ends = kafka.ends(self._asking, places)
        with self._lock:
            return all(self._positions.get(partition, -1) + 1 >= end for (_, partition), end in ends.items())

    def close(self) -> None:
        """Stop reading."""
        self._stopping.set()
        self._thread.join()
        self._asking.close()

    def _read(self) -> None:
        try:
            places = [
                TopicPartition(name, partition, OFFSET_BEGINNING)
                for name in self._topics
                for partition in kafka.partitions_of(self._consumer, name)
            ]
            self._consumer.assign(places)
            while not self._stopping.is_set():
                for message in self._consumer.consume(2000, 0.2):
                    self._take(message)
        except Exception as error:  # noqa: BLE001  # raised again in the thread that asks for figures
            self._failure = error
        finally:
            self._consumer.close()

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.code() in _HARMLESS or error.retriable():
                return
            raise StaffelError(f"reading {message.topic()} failed: {error.str()}")
        topic = self._topics[message.topic()]
        value = message.value()
        event = self._codec.decode(topic, value) if topic.events and value is not None else None
        with self._lock:
            self._counts[topic.name] += 1
            if event is not None:
                self._note(event, message.partition())

    def _note(self, event: Event, partition: int) -> None:
        match event:
            case SaleLine():
                self._lines[event.partner_id, event.sale_id] = event.status
            case Tally() if event.quarter == self._quarter:
                self._tallies[event.partner_id] = event
            case TierChanged():
                self._changes.append(event)
            case QuarterClosed() if event.quarter == self._quarter:
                self._closes[event.kind.value] += 1
                self._payable[event.partner_id] = self._payable.get(event.partner_id, 0) + event.payable_minor
            case PayoutStatusChanged():
                self._payouts[event.partner_id, event.quarter, event.revision] = event
            case Position() if event.source == SALES.name:
                self._positions[partition] = event.offset
            case WeeklySummary():
                pass  # counted with its topic


def _place(payout: PayoutStatusChanged) -> Money | None:
    match payout.status:
        case PayoutStatus.PAYABLE:
            return Money.PAYABLE if payout.amount_minor > 0 else Money.CLAWBACK
        case PayoutStatus.IN_PAYMENT:
            return Money.IN_PAYMENT
        case PayoutStatus.PAID:
            return Money.PAID
        case PayoutStatus.RETURNED:
            return Money.CAME_BACK
        case PayoutStatus.WAITING:
            return Money.CAME_BACK if payout.reason == BANK_DETAILS_INVALID else Money.WAITING
        case PayoutStatus.HELD:
            return Money.HELD
    return None


def _by_partner(payouts: Iterable[PayoutStatusChanged]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for payout in payouts:
        sums[payout.partner_id] += payout.amount_minor
    return dict(sums)


def count_mails(folder: Path) -> int:
    """How many mails the catcher has kept."""
    return sum(entry.name.endswith(".eml") for entry in os.scandir(folder)) if folder.is_dir() else 0
