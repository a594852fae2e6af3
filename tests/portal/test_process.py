"""The portal as it is started for real: real topics, a real server, stopped, started again, and failing loudly."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from confluent_kafka.admin import AdminClient
from sqlalchemy import func, select

from deploy.embedded.stack import environment
from deploy.runtime import kafka
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded, Port, Settings, load
from schemas.codec import Codec, ConfluentRegistry, headers_for
from schemas.events import Event
from schemas.topics import TOPICS
from schemas.values import Quarter
from services.intake import topics
from services.kit.links import Invitation, link_for
from services.portal.queries import open_database, standing
from services.portal.tables import sale_lines
from streams.rules.terms import Programme
from tests.databases import sqlite_url
from tests.portal.conftest import mark_in
from tests.portal.feeding import a_line, a_partner, a_tally, a_tier_change, key_of
from tests.waiting import until

WITHIN = 30


@pytest.fixture
def placed(loaded: Loaded, database_url: str) -> Loaded:
    """Settings with a test clock in the fourth quarter, on each kind of database."""
    flags = {name: getattr(loaded.settings, name) for name, where in loaded.sources.items() if where == "flag"}
    return load(flags | {"clock": "2026-11-24T11:00:00Z", "portal_db_url": database_url}, {})


@pytest.fixture
def on_sqlite(loaded: Loaded, tmp_path: Path) -> Loaded:
    """The same on SQLite alone."""
    flags = {name: getattr(loaded.settings, name) for name, where in loaded.sources.items() if where == "flag"}
    return load(flags | {"clock": "2026-11-24T11:00:00Z", "portal_db_url": sqlite_url(tmp_path)}, {})


@contextmanager
def process(loaded: Loaded) -> Iterator[subprocess.Popen[bytes]]:
    """The portal's process; killed in the end if it still runs."""
    loaded.settings.data.mkdir(parents=True, exist_ok=True)
    log = log_of(loaded.settings).open("ab")
    started = subprocess.Popen(
        [sys.executable, "-m", "services.portal"], env=dict(environment(loaded)), stdout=log, stderr=log
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        log.close()


@contextmanager
def ready(loaded: Loaded) -> Iterator[subprocess.Popen[bytes]]:
    """The portal, once it has read what is there."""
    with process(loaded) as started:
        until(lambda: started.poll() is not None or is_healthy(loaded.settings), 60, "the portal is ready")
        assert started.poll() is None, log_of(loaded.settings).read_text("utf-8")
        yield started


def log_of(settings: Settings) -> Path:
    return settings.data / "portal.log"


def is_healthy(settings: Settings) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{settings.port(Port.PORTAL_METRICS)}/healthz").status_code == 200
    except httpx2.HTTPError:
        return False


def write(settings: Settings, events: Iterable[Event]) -> None:
    """Put events on their topics."""
    codec = Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)
    producer = kafka.producer(settings)
    for said in events:
        topic = next(topic for topic in TOPICS if type(said) in topic.events)
        producer.produce(
            topic.full_name(settings.topic_prefix),
            key=key_of(said),
            value=codec.encode(topic, said),
            headers=headers_for(said, source="test", time=open_clock(settings).now(), subject=key_of(said)),
        )
    assert producer.flush(20) == 0


def signed_in(settings: Settings) -> httpx2.Client:
    browser = httpx2.Client(follow_redirects=True, timeout=20)
    path = link_for(settings, Invitation("partner", "P1"))
    browser.post(path, data={"mark": mark_in(browser.get(path).text)})
    return browser


def figure(html: str) -> str:
    found = re.search(r'class="figure">([^<]+)<', html)
    assert found, html
    return found[1].replace("\xa0", " ")


def test_what_is_on_the_topics_stands_on_the_page_and_what_comes_follows_live(
    placed: Loaded, programme: Programme
) -> None:
    settings = placed.settings
    write(settings, [a_partner("P1"), a_line("P1", "S-1", 48), a_tally(programme, "P1", 48, counted=1)])
    with ready(placed):
        browser = signed_in(settings)
        page = browser.get(settings.public_url).text
        assert figure(page) == "480 €"
        assert "Test time" in page
        seen = re.search(r'data-version="(\w+)"', page)
        assert seen
        with browser.stream("GET", f"{settings.public_url}/events", params={"seen": seen[1]}) as stream:
            write(settings, [a_line("P1", "S-2", 2), a_tally(programme, "P1", 50, counted=2)])
            messages = (line for line in stream.iter_lines() if line.startswith("data: ") and "figure" in line)
            assert "750" in next(messages)
        assert figure(browser.get(settings.public_url).text) == "750 €"


def test_killed_and_started_again_it_reads_on_where_it_was(placed: Loaded, programme: Programme) -> None:
    settings = placed.settings
    quarter = Quarter(2026, 4)
    lines = [a_line("P1", f"S-{n}", 1) for n in range(300)]
    engine = open_database(settings)

    def units() -> int:
        found = standing(engine, programme, "P1", quarter, open_clock(settings).now())
        return int(found["units"]) if found else 0

    write(
        settings,
        [a_partner("P1"), *lines[:150], a_tally(programme, "P1", 150), a_tier_change(programme, "P1", 1, 9, 10)],
    )
    with ready(placed) as first:
        until(lambda: units() == 150, WITHIN, "150 units")
        first.send_signal(signal.SIGKILL)
        first.wait()
    write(settings, [*lines[150:], a_tally(programme, "P1", 300), a_tier_change(programme, "P1", 1, 9, 10)])
    with ready(placed):
        until(lambda: units() == 300, WITHIN, "300 units")
        assert signed_in(settings).get(f"{settings.public_url}/sales").status_code == 200
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(sale_lines)).scalar_one() == 300
    engine.dispose()


def test_it_stops_when_told_even_with_open_pages_and_logs_no_token(on_sqlite: Loaded, programme: Programme) -> None:
    settings = on_sqlite.settings
    write(settings, [a_partner("P1"), a_tally(programme, "P1", 48)])
    with ready(on_sqlite) as running:
        path = link_for(settings, Invitation("partner", "P1"))
        browser = signed_in(settings)
        browser.get(path)
        with browser.stream("GET", f"{settings.public_url}/events") as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if line.startswith("data: "))
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=10) == 0
    said = log_of(settings).read_text("utf-8")
    assert path.rsplit("/", 1)[1] not in said
    assert "Traceback" not in said
    assert "stopped" in said


def test_a_taken_port_is_a_sentence(on_sqlite: Loaded) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", on_sqlite.settings.port(Port.PORTAL)))
        taken.listen()
        with process(on_sqlite) as started:
            assert started.wait(timeout=30) == Exit.NOT_READY
    said = log_of(on_sqlite.settings).read_text("utf-8")
    assert f"port {on_sqlite.settings.port(Port.PORTAL)} for the pages is taken" in said
    assert "Traceback" not in said


def test_a_log_that_is_not_the_one_it_read_from_ends_the_process(on_sqlite: Loaded, programme: Programme) -> None:
    settings = on_sqlite.settings
    write(settings, [a_partner("P1"), a_tier_change(programme, "P1", 1, 0, 10)])
    with ready(on_sqlite):
        pass
    names = [topic.full_name(settings.topic_prefix) for topic in TOPICS if topic.name == "tier-changes"]
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    for done in admin.delete_topics(names).values():
        done.result()
    until(lambda: topics.create(settings), WITHIN, "the topic is made anew")
    with process(on_sqlite) as started:
        assert started.wait(timeout=30) == Exit.FAILED
    said = log_of(settings).read_text("utf-8")
    assert "is not the topic that this database was fed from" in said
    assert "Traceback" not in said


def test_a_reading_that_fails_ends_the_process_with_its_reason(on_sqlite: Loaded, programme: Programme) -> None:
    settings = on_sqlite.settings
    with ready(on_sqlite) as running:
        engine = open_database(settings)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE tallies")
        engine.dispose()
        write(settings, [a_tally(programme, "P1", 48)])
        assert running.wait(timeout=30) == 1
    assert "no such table: tallies" in log_of(settings).read_text("utf-8")
