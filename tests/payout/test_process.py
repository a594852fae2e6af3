"""The payout process as it is started for real: real topics, killed and started again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest
from lxml import etree

from deploy.embedded.stack import environment
from deploy.runtime import kafka
from deploy.runtime.clock import advance, open_clock
from deploy.runtime.settings import Loaded, Port, Settings, load
from schemas.codec import Codec, ConfluentRegistry, header, headers_for
from schemas.events import PayoutStatus, PayoutStatusChanged, QuarterClosed, SaleLine
from schemas.topics import BANK_DETAILS, PAYOUTS, QUARTER_CLOSES, SALE_LINES
from schemas.values import line_key
from services.kit.log import records
from services.payout import audit, runs
from services.payout.bank_checks import Row
from services.payout.bank_details import import_rows
from services.payout.database import looking, open_database
from tests.databases import sqlite_url
from tests.payout.office import closes, iban_of, line
from tests.payout.test_pain001 import schema
from tests.waiting import until

PARTNERS = [f"P{n:02d}" for n in range(20)]


@pytest.fixture
def paying(loaded: Loaded, database_url: str) -> Loaded:
    """Settings with a test clock on a bank day, half an hour before the run's hour in Berlin."""
    flags = {name: getattr(loaded.settings, name) for name, where in loaded.sources.items() if where == "flag"}
    return load(flags | {"clock": "2027-01-29T08:30:00Z", "payout_db_url": database_url}, {})


@contextmanager
def process(loaded: Loaded) -> Iterator[subprocess.Popen[bytes]]:
    """The payout process, ready; killed in the end if it still runs."""
    log = (loaded.settings.data / "payout.log").open("ab")
    started = subprocess.Popen(
        [sys.executable, "-m", "services.payout"], env=dict(environment(loaded)), stdout=log, stderr=log
    )
    try:
        until(lambda: started.poll() is not None or health(loaded.settings), 60, "the payout process answers")
        assert started.poll() is None, (loaded.settings.data / "payout.log").read_text("utf-8")
        yield started
    finally:
        started.kill()
        started.wait()
        log.close()


def health(settings: Settings) -> dict[str, Any]:
    """What the process says of itself; empty while it says nothing."""
    try:
        answer = asked(settings, "healthz")
    except httpx2.HTTPError:
        return {}
    found: dict[str, Any] = answer.json()
    return found if "past" in found["checks"] and found["checks"]["opened"] is None else {}


def metrics(settings: Settings) -> str:
    return asked(settings, "metrics").text


def asked(settings: Settings, page: str) -> httpx2.Response:
    # Nobody vouches for anybody here. To read who might takes longer than the answer, and this is asked many times.
    return httpx2.get(f"http://127.0.0.1:{settings.port(Port.PAYOUT)}/{page}", verify=False)


@cache
def codec_of(settings: Settings) -> Codec:
    return Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix)


def stream_writes(settings: Settings, events: Iterable[SaleLine | QuarterClosed]) -> None:
    """What the stream does: lines and closes in one transaction."""
    codec = codec_of(settings)
    producer = kafka.producer(settings, transactional_id=f"{settings.topic_prefix}stream")
    producer.init_transactions(30)
    producer.begin_transaction()
    for said in events:
        topic, key = QUARTER_CLOSES, said.partner_id
        if isinstance(said, SaleLine):
            topic, key = SALE_LINES, line_key(said.partner_id, said.sale_id)
        producer.produce(
            topic.full_name(settings.topic_prefix),
            key=key,
            value=codec.encode(topic, said),
            headers=headers_for(said, source="test", time=open_clock(settings).now(), subject=key),
        )
    producer.commit_transaction(30)


def statuses(settings: Settings) -> dict[str, PayoutStatusChanged]:
    """All that was published so far, by event id."""
    codec = codec_of(settings)
    found: dict[str, PayoutStatusChanged] = {}
    for message in records(settings, PAYOUTS):
        said = codec.decode(PAYOUTS, message.value() or b"")
        assert isinstance(said, PayoutStatusChanged)
        found[header(message.headers(), "ce_id") or ""] = said
    return found


def counted(settings: Settings) -> Counter[PayoutStatus]:
    return Counter(said.status for said in statuses(settings).values())


def enter_details(settings: Settings, partner_ids: Iterable[str]) -> None:
    engine = open_database(settings)
    rows = [Row(partner_id, f"Holder of {partner_id}", iban_of(partner_id)) for partner_id in partner_ids]
    import_rows(engine, settings, rows, open_clock(settings).now())
    engine.dispose()


def files(settings: Settings) -> list[Path]:
    return sorted(Path(settings.payments).glob("*.xml"))


def statements_of(settings: Settings) -> list[Path]:
    return sorted(Path(settings.statements).glob("*/*.pdf"))


def test_each_partner_is_paid_once_although_the_process_is_killed_and_closes_repeat(paying: Loaded) -> None:
    settings = paying.settings
    quarter = [line(partner_id, 50) for partner_id in PARTNERS]
    finals = [close for partner_id in PARTNERS for close in closes(partner_id, 75_000, units=50)]
    enter_details(settings, PARTNERS[:-1])
    stream_writes(settings, [*finals, *quarter])

    with process(paying) as payout:
        until(lambda: sum(counted(settings).values()) == 20, 60, "every obligation was judged")
        assert counted(settings) == {PayoutStatus.PAYABLE: 19, PayoutStatus.WAITING: 1}
        payout.send_signal(signal.SIGKILL)
        payout.wait()
    stream_writes(settings, [*quarter, *finals])
    advance(settings, to=datetime.fromisoformat("2027-01-29T09:30:00Z"))
    with process(paying) as payout:
        until(lambda: counted(settings)[PayoutStatus.IN_PAYMENT] == 19, 60, "the run was published")
        assert 'result="repeated",topic="quarter-closes"} 20.0' in metrics(settings)
        payout.send_signal(signal.SIGKILL)
        payout.wait()
    enter_details(settings, PARTNERS[-1:])
    stream_writes(settings, finals)
    with process(paying) as payout:
        until(lambda: counted(settings)[PayoutStatus.PAYABLE] == 20, 60, "the last partner's details were seen")
        advance(settings, to=datetime.fromisoformat("2027-02-01T09:30:00Z"))
        until(lambda: counted(settings)[PayoutStatus.IN_PAYMENT] == 20, 60, "the second run was published")
        until(lambda: len(statements_of(settings)) == 20, 60, "every payment had its statement")
        assert health(settings)["ready"]
        payout.send_signal(signal.SIGTERM)
        assert payout.wait(10) == 0

    assert [path.stem[:11] for path in until(lambda: files(settings))] == ["RB-20270129", "RB-20270201"]
    amounts = []
    for path in files(settings):
        document = etree.parse(path)
        schema().assertValid(document)
        amounts += [element.text for element in document.iter("{*}InstdAmt")]
    assert amounts == ["750.00"] * 20
    assert counted(settings) == {PayoutStatus.PAYABLE: 20, PayoutStatus.WAITING: 1, PayoutStatus.IN_PAYMENT: 20}
    log = (settings.data / "payout.log").read_text("utf-8")
    assert "Traceback" not in log
    assert not any(iban_of(partner_id) in log for partner_id in PARTNERS)
    with looking(settings) as connection:
        audited = audit.verify(connection)
    assert (audited.journals, audited.differences) == (40, [])
    assert str(audited.head) in log, "the ledger's head is in the log, where who edits the database does not reach"


def test_money_goes_to_changed_details_by_itself_when_their_day_has_come(paying: Loaded) -> None:
    settings = paying.settings
    engine = open_database(settings)
    for iban in (iban_of("P1"), iban_of("another")):
        import_rows(engine, settings, [Row("P1", "Holder", iban)], open_clock(settings).now())
    stream_writes(settings, [line("P1", 50), *closes("P1", 75_000)])
    with process(paying):
        until(lambda: counted(settings)[PayoutStatus.HELD] == 1, 60, "the change was seen")
        advance(settings, to=datetime.fromisoformat("2027-02-02T09:30:00Z"))
        until(lambda: runs.latest_day(engine) == date(2027, 2, 2), 60, "that day's run was decided")
        assert files(settings) == []
        advance(settings, to=datetime.fromisoformat("2027-02-03T09:30:00Z"))
        until(lambda: counted(settings)[PayoutStatus.IN_PAYMENT] == 1, 60, "it was paid")
    assert iban_of("another") in until(lambda: files(settings))[0].read_text("utf-8")
    told = [message.key() for message in records(settings, BANK_DETAILS) if message.value()]
    assert told == [b"P1", b"P1"]
    engine.dispose()


def test_a_database_that_has_forgotten_a_run_pays_nothing_and_says_why(paying: Loaded, tmp_path: Path) -> None:
    settings = paying.settings
    enter_details(settings, ["P1"])
    stream_writes(settings, [line("P1", 50), *closes("P1", 75_000)])
    with process(paying):
        advance(settings, to=datetime.fromisoformat("2027-01-29T09:30:00Z"))
        until(lambda: counted(settings)[PayoutStatus.IN_PAYMENT] == 1, 60, "the run was published")
    flags = {name: getattr(settings, name) for name, where in paying.sources.items() if where == "flag"}
    forgotten = load(flags | {"payout_db_url": sqlite_url(tmp_path)}, {})
    enter_details(forgotten.settings, ["P1", "P2"])
    with process(forgotten):
        advance(settings, to=datetime.fromisoformat("2027-02-01T09:30:00Z"))
        stream_writes(settings, [line("P2", 50), *closes("P2", 75_000)])
        until(lambda: counted(settings)[PayoutStatus.PAYABLE] == 2, 60, "what came after the run's hour was judged")
        found = health(settings)
        assert not found["ready"]
        assert "RB-20270129" in found["checks"]["past"]
    assert counted(settings)[PayoutStatus.IN_PAYMENT] == 1
    assert len(files(settings)) == 1
