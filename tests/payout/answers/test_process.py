"""The bank's answers in the payout process as it is started for real."""

from __future__ import annotations

import signal
from datetime import datetime
from pathlib import Path

import pytest
from lxml import etree

from deploy.runtime.clock import advance
from deploy.runtime.settings import Loaded, Settings, load
from schemas.events import PayoutStatus
from tests.databases import sqlite_url
from tests.payout.answers.bank import Movement, back, report, statement
from tests.payout.office import closes, iban_of, line
from tests.payout.test_process import (
    counted,
    enter_details,
    files,
    metrics,
    process,
    stream_writes,
)
from tests.waiting import until

PARTNERS = ["P1", "P2", "P3"]


@pytest.fixture
def paying(loaded: Loaded, tmp_path: Path) -> Loaded:
    """Settings with a test clock on a bank day, half an hour before the run's hour in Berlin."""
    flags = {name: getattr(loaded.settings, name) for name, where in loaded.sources.items() if where == "flag"}
    return load(flags | {"clock": "2027-01-29T08:30:00Z", "payout_db_url": sqlite_url(tmp_path)}, {})


def put(settings: Settings, name: str, content: bytes) -> None:
    """As a transport does it: under another name, then renamed."""
    draft = Path(settings.bank_answers) / f"{name}.part"
    draft.write_bytes(content)
    draft.rename(draft.with_suffix(""))


def test_answers_in_the_folder_become_events_although_the_process_is_killed(paying: Loaded) -> None:
    settings = paying.settings
    enter_details(settings, PARTNERS)
    stream_writes(
        settings, [*(line(p, 50) for p in PARTNERS), *(close for p in PARTNERS for close in closes(p, 75_000))]
    )
    folder = Path(settings.bank_answers)
    with process(paying) as payout:
        advance(settings, to=datetime.fromisoformat("2027-01-29T09:30:00Z"))
        until(lambda: counted(settings)[PayoutStatus.IN_PAYMENT] == 3, 60, "the run was published")
        (file,) = files(settings)
        ordered = etree.parse(file)
        ids = [element.text or "" for element in ordered.iter("{*}EndToEndId")]
        put(settings, "1.xml", report(file.stem, "PART", transactions=[(ids[0], "RJCT", "AC04"), (ids[1], "ACCP", "")]))
        until(lambda: counted(settings)[PayoutStatus.RETURNED] == 1, 60, "the refusal was published")
        put(settings, "2.xml", statement([Movement(ids[1]), Movement(ids[2])]))
        put(settings, "3.xml", b"<Document/>")
        payout.send_signal(signal.SIGKILL)
        payout.wait()
    with process(paying) as payout:
        until(lambda: counted(settings)[PayoutStatus.PAID] == 2, 60, "the debits were published")
        put(settings, "4.xml", statement([back(ids[2], "MS03")], statement_id="S2"))
        until(lambda: counted(settings)[PayoutStatus.RETURNED] == 2, 60, "the return was published")
        until(lambda: (folder / "refused" / "3.xml.txt").exists(), 60, "what can't be read was put aside")
        assert 'payout_attempts_total{reason="MS03",state="returned"} 1.0' in metrics(settings)
        assert 'payout_bank_files_total{kind="unknown",result="refused"} 1.0' in metrics(settings)
        payout.send_signal(signal.SIGTERM)
        assert payout.wait(10) == 0
    assert sorted(path.name for path in (folder / "done").iterdir()) == ["1.xml", "2.xml", "4.xml"]
    log = (settings.data / "payout.log").read_text("utf-8")
    assert "Traceback" not in log
    assert "Unverwechselbar" not in log
    assert not any(iban_of(partner_id) in log for partner_id in PARTNERS)
