"""A deployment with a past (closes, an adjustment, weekly mails, a forgotten partner), and ways to break it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from confluent_kafka.admin import AdminClient

from deploy.rebuild.rebuild import Found, Rebuild
from deploy.runtime import kafka
from deploy.runtime.clock import Segment, advance, clock_file, write_segments
from deploy.runtime.settings import Settings
from schemas.events import QuarterClosed, SaleLine, SaleReturned, Tally
from schemas.topics import (
    PARTNERS,
    QUARTER_CLOSES,
    SALE_LINES,
    SALES,
    TALLIES,
    TIER_CHANGES,
    TOPICS,
    WEEKLY_SUMMARIES,
    Topic,
)
from schemas.values import line_key, partition_of, tally_key
from services.intake import topics
from services.kit.log import records
from tests.streams.harness import NOW, Wire, a_partner, a_sale, working
from tests.waiting import until

START = datetime(2026, 12, 20, 12, tzinfo=UTC)
IDS = ["P1", "P2", "P3", "P4", "P5", "P6"]
TOLD = (TIER_CHANGES, WEEKLY_SUMMARIES, QUARTER_CLOSES)


class Scene:
    """Topics in which all of it has happened; no worker is alive any more."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.wire = settings, Wire(settings)
        real = datetime.now(UTC).timestamp()  # noqa: TID251 - the test's own clock begins at real time
        write_segments(clock_file(settings), (Segment(real - 5, START.timestamp(), 1.0),))
        self._live_through_a_quarter()

    def _live_through_a_quarter(self) -> None:
        wire = self.wire
        wire.send(*map(a_partner, IDS))
        for n, partner_id in enumerate(IDS):
            wire.send(*(a_sale(f"S{k}", partner_id, 10 + n) for k in range(3)))
        wire.send(a_sale("S0", "P1", 99), a_sale("X", "P2", 4, product="XX-9"), a_sale("W", "stranger", 5))
        wire.raw(SALES, b"P1", b"poison")
        wire.raw(SALES, b"else", wire.codec.encode(SALES, a_sale("B", "P2", 5)), partition=1 - partition_of(b"P2", 2))
        wire.flush()
        with working(self.settings):
            until(lambda: wire.units().get("P2") == 38, what="all counted")
            wire.raw(PARTNERS, b"P6", None)  # the registry forgets him, what he earned stays
            wire.flush()
            advance(self.settings, by=timedelta(days=45))
            until(lambda: self.closes() >= 10, what="provisional and final closes")
            wire.send(SaleReturned("R1", "S1", "P3", "TS-100", 12, NOW.date(), NOW))
            wire.flush()
            until(lambda: self.closes() >= 11, what="an adjustment")

    def closes(self) -> int:
        return len(list(records(self.settings, QUARTER_CLOSES)))

    def look(self) -> list[str]:
        """The differences that a look finds, in words."""
        return said(Rebuild(self.settings).look())

    def swap(self) -> list[str]:
        """The differences that a swap mended."""
        return said(Rebuild(self.settings).swap())

    def ends(self) -> dict[tuple[str, int], int]:
        """Where each partition ends: as long as it stays there, nothing was written."""
        client = kafka.reader(self.settings)
        names = [topic.full_name(self.settings.topic_prefix) for topic in TOPICS]
        found = kafka.ends(client, [(name, number) for name in names for number in range(2)])
        client.close()
        return found

    def told(self) -> dict[str, int]:
        """How many events of each kind were told."""
        return {topic.name: len(list(records(self.settings, topic))) for topic in TOLD}

    def state(self) -> dict[str, Any]:
        """The latest value of each key of the state, decoded."""
        found: dict[str, Any] = {}
        for topic in (SALE_LINES, TALLIES):
            for message in records(self.settings, topic):
                key = message.key().decode()
                found.pop(key, None)
                if message.value() is not None:
                    found[key] = self.wire.codec.decode(topic, message.value())
        return found

    def line(self, partner_id: str, sale_id: str) -> SaleLine:
        line = self.state()[line_key(partner_id, sale_id)]
        assert isinstance(line, SaleLine)
        return line

    def tally(self, partner_id: str, quarter: str = "2026Q4") -> Tally:
        tally = self.state()[tally_key("topseller", partner_id, quarter)]
        assert isinstance(tally, Tally)
        return tally

    def put(self, event: SaleLine | Tally, **changed: Any) -> None:
        """Write a record of the state, as nobody should."""
        event = msgspec.structs.replace(event, **changed)
        if isinstance(event, Tally):
            self._raw(TALLIES, tally_key(event.programme_id, event.partner_id, event.quarter), event)
        else:
            self._raw(SALE_LINES, line_key(event.partner_id, event.sale_id), event)

    def remove_line(self, partner_id: str, sale_id: str) -> None:
        self._raw(SALE_LINES, line_key(partner_id, sale_id), None)

    def _raw(self, topic: Topic, key: str, event: SaleLine | Tally | None) -> None:
        partner_id = key.split("/")[1 if topic is TALLIES else 0]
        value = None if event is None else self.wire.codec.encode(topic, event)
        self.wire.raw(topic, key.encode(), value, partition=partition_of(partner_id.encode(), 2))
        self.wire.flush()

    def lose(self, *lost: Topic) -> None:
        """Delete topics and create them anew."""
        lose(self.settings, *lost)

    def payable(self) -> dict[str, int]:
        """What all closes made payable, by partner."""
        sums: dict[str, int] = {}
        for record in self.wire.written(QUARTER_CLOSES):
            assert isinstance(record.event, QuarterClosed)
            sums[record.event.partner_id] = sums.get(record.event.partner_id, 0) + record.event.payable_minor
        return sums


def lose(settings: Settings, *lost: Topic) -> None:
    """Delete topics and create them anew."""
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    names = {topic.full_name(settings.topic_prefix) for topic in lost}
    for outcome in admin.delete_topics(sorted(names)).values():
        outcome.result()
    until(lambda: not names & set(admin.list_topics(timeout=5).topics), what="the topics' end")
    until(lambda: names <= {*topics.create(settings), *_existing(settings)}, what="new topics")


def _existing(settings: Settings) -> set[str]:
    return set(AdminClient({"bootstrap.servers": settings.kafka}).list_topics(timeout=5).topics)


def said(found: Iterable[Found]) -> list[str]:
    return sorted(str(difference) for part in found for difference in part.differences)
