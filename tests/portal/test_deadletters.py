"""Records that the stream could not use, as staff sees them and sends them back: on a real Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from deploy.runtime import kafka
from deploy.runtime.settings import Loaded, load
from schemas.codec import Codec, ConfluentRegistry
from schemas.events import SaleReported
from schemas.topics import DEAD_LETTERS, SALES
from services.kit.database import open_engine
from services.kit.log import records
from services.portal.auth import Role
from services.portal.tables import MIGRATIONS
from streams.rules.terms import Programme
from tests.databases import sqlite_url
from tests.portal.conftest import Site

SALE = SaleReported("INV-7-1", "P1", "TS-100", 2, date(2026, 11, 2), datetime(2026, 11, 3, tzinfo=UTC))
GARBAGE = b"<script>alert(1)</script>\0\xff"


@pytest.fixture
def on_kafka(loaded: Loaded, tmp_path: Path, programme: Programme) -> Iterator[Site]:
    """A portal beside real topics: two dead letters, one of which can be read by now."""
    said = {name: getattr(loaded.settings, name) for name, where in loaded.sources.items() if where == "flag"}
    settings = load(said | {"public_url": "http://portal.test"}, {}).settings
    codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)
    producer = kafka.producer(settings)
    for reason, value in (("unknown-schema", codec.encode(SALES, SALE)), ("not-avro", GARBAGE)):
        headers = {"dlq.topic": SALES.full_name(settings.topic_prefix), "dlq.reason": reason, "dlq.message": "no <b>"}
        producer.produce(
            DEAD_LETTERS.full_name(settings.topic_prefix),
            key=b"P1",
            value=value,
            headers=[(name, text.encode()) for name, text in headers.items()],
        )
    assert producer.flush(20) == 0
    engine = open_engine(sqlite_url(tmp_path), MIGRATIONS)
    yield Site(settings, programme, engine)
    engine.dispose()


def test_what_was_put_aside_is_shown_as_it_came(on_kafka: Site) -> None:
    page = on_kafka.staff(Role.VIEWER, "vera").get("/dead-letters")
    assert page.status_code == 200
    assert page.text.count("<details") == 2
    assert "can be read by now" in page.text
    assert "INV-7-1" in page.text
    assert "3c 73 63 72 69 70 74" in page.text
    assert "<script>alert" not in page.text
    assert "no <b>" not in page.text
    assert "Send back what can be read by now" not in page.text


def test_what_can_be_read_by_now_is_sent_back_once_and_noted(on_kafka: Site) -> None:
    browser = on_kafka.staff(Role.OPERATOR, "otto")
    answers = [browser.post("/dead-letters/replay", data={"mark": on_kafka.mark(browser)}) for _ in range(2)]
    assert [answer.headers["location"] for answer in answers] == [
        "/dead-letters?replayed=1&already_replayed=0&not_replayable=1",
        "/dead-letters?replayed=0&already_replayed=1&not_replayable=1",
    ]
    (sent,) = records(on_kafka.settings, SALES)
    codec = Codec(ConfluentRegistry(on_kafka.settings.registry_url), on_kafka.settings.topic_prefix)
    assert codec.decode(SALES, sent.value()) == SALE
    assert "1 record was sent back." in browser.get(answers[0].headers["location"]).text
    assert "dead-letters-replayed" in browser.get("/audit").text


def test_while_kafka_is_away_the_page_says_so(site: Site) -> None:
    answer = site.staff(Role.VIEWER, "vera").get("/dead-letters")
    assert answer.status_code == 503
    assert "Nothing is lost" in answer.text
