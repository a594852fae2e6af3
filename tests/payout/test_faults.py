"""Faults beside the crash: two processes at once, a database that goes away, a disk that is full."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from threading import Event, Thread

import pytest
from lxml import etree
from sqlalchemy import create_engine, text

from deploy.runtime.clock import advance
from deploy.runtime.settings import Loaded, Settings, load
from schemas.events import PayoutStatus
from services.payout import files as payment_files
from services.payout import release
from services.payout.database import open_database
from services.payout.invariants import violations
from tests.conftest import free_ports
from tests.databases import drop, postgres_url
from tests.payout.office import FINAL, PROGRAMME, Office, closes, line
from tests.payout.test_process import (
    PARTNERS,
    counted,
    enter_details,
    files,
    paying,  # noqa: F401  # a fixture
    process,
    stream_writes,
)
from tests.waiting import until

PAY_AT = datetime.fromisoformat("2027-01-29T09:30:00Z")


def close_the_quarter(settings: Settings) -> None:
    enter_details(settings, PARTNERS)
    quarter = [line(partner_id, 50) for partner_id in PARTNERS]
    stream_writes(settings, [*quarter, *(c for partner_id in PARTNERS for c in closes(partner_id, 75_000, units=50))])


def each_was_paid_once(settings: Settings) -> None:
    [file] = until(lambda: files(settings), what="the payment file")
    assert [element.text for element in etree.parse(file).iter("{*}InstdAmt")] == ["750.00"] * len(PARTNERS)
    assert counted(settings)[PayoutStatus.IN_PAYMENT] == len(PARTNERS)
    engine = open_database(settings)
    with engine.connect() as connection:
        assert violations(connection) == []
        booked = connection.execute(text("SELECT key FROM journals WHERE key LIKE 'payment:%'")).scalars().all()
    engine.dispose()
    assert len(booked) == len(set(booked)) == len(PARTNERS)


def test_of_two_payout_processes_at_once_each_partner_is_paid_once(paying: Loaded) -> None:  # noqa: F811
    settings = paying.settings
    said = {name: getattr(settings, name) for name, where in paying.sources.items() if where != "default"}
    other = load(said | {"port_base": free_ports()}, {})
    close_the_quarter(settings)
    with ExitStack() as both:
        both.enter_context(process(paying))
        both.enter_context(process(other))
        until(lambda: counted(settings)[PayoutStatus.PAYABLE] >= len(PARTNERS), 60, "every obligation was judged")
        advance(settings, to=PAY_AT)
        until(lambda: counted(settings)[PayoutStatus.IN_PAYMENT] == len(PARTNERS), 60, "all were paid")
    each_was_paid_once(settings)


def test_a_database_that_goes_away_again_and_again_costs_no_payment_and_makes_none_twice(
    loaded: Loaded,
) -> None:
    said = {name: getattr(loaded.settings, name) for name, where in loaded.sources.items() if where == "flag"}
    url = postgres_url()
    stack = load(said | {"clock": "2027-01-29T08:30:00Z", "payout_db_url": url}, {})
    settings = stack.settings
    close_the_quarter(settings)
    ended: Counter[int | None] = Counter()
    for number in range(2):  # each process loses its connections while it works; the next one takes over
        with process(stack) as payout, no_connection_lasts(url):
            if number == 0:
                advance(settings, to=PAY_AT)
            until(
                lambda payout=payout: (  # type: ignore[misc]
                    payout.poll() is not None or counted(settings)[PayoutStatus.IN_PAYMENT] == len(PARTNERS)
                ),
                60,
                "the process ends, or everything is paid",
            )
            ended[payout.poll()] += 1
    with process(stack):
        until(lambda: counted(settings)[PayoutStatus.IN_PAYMENT] == len(PARTNERS), 60, "all were paid")
        each_was_paid_once(settings)
    drop(url)
    assert set(ended) <= {None, 4}, "it ends saying that the database does not answer"
    assert ended[4], "at least one process lost its database"


@contextmanager
def no_connection_lasts(url: str) -> Iterator[None]:
    """The server ends every connection within about a millisecond."""
    killer, over = create_engine(url, isolation_level="AUTOCOMMIT"), Event()
    others = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    def cut() -> None:
        with killer.connect() as connection:
            while not over.is_set():
                connection.execute(others)

    thread = Thread(target=cut)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        killer.dispose()


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """What a full disk does to a file: its writing fails in the middle."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_payment_file_that_the_disk_had_no_room_for_is_written_later_and_never_half(office: Office) -> None:
    office.details("P1")
    office.sells("P1", 50)
    office.closes("P1", 75_000)
    office.recount()
    [run] = office.prepare()
    office.approve(run.msg_id)
    release.release(office.engine, office.vault, PROGRAMME, run.msg_id, "B. Head", office.limits, FINAL)
    with office.engine.connect() as connection:
        content = payment_files.content_of(connection, office.vault, run.msg_id)
    with files_no_larger_than(len(content) // 2), pytest.raises(OSError, match="File too large"):
        payment_files.write_released(office.engine, office.vault, office.folder)
    assert list(office.folder.glob("*.xml")) == []
    [path] = payment_files.write_released(office.engine, office.vault, office.folder)
    assert path.read_bytes() == content
