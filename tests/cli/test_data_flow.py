"""Data in at one end, standing out at the other: the commands against a running worker and portal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded.stack import Stack, environment
from deploy.runtime import kafka
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded, Settings, load
from schemas.topics import DEAD_LETTERS, PARTNERS, SALES
from services.kit.log import records
from tests.cli.calling import Result, call, succeed
from tests.conftest import settings_on
from tests.intake import files

NOW = "2026-11-02T09:00:00Z"
WAIT = ("--wait", "60")


@pytest.fixture(scope="module")
def running(kafka_stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """A worker and a portal in the fourth quarter, and one registered partner, P-1."""
    folder = tmp_path_factory.mktemp("flow")
    loaded = settings_on(kafka_stack, folder, clock=NOW)
    open_clock(loaded.settings)
    path = files.write(folder / "p.csv", files.PARTNERS_HEADER, *(files.partner(f"P-{n}") for n in range(1, 9)))
    assert succeed(loaded, "partners", "import", path)["new"] == 8
    with Stack(loaded, parts=(), services=("worker", "portal"), create_topics=False) as stack:
        stack.wait_ready()
        yield loaded


def standing(loaded: Loaded, partner: str, *more: str) -> dict[str, Any]:
    return succeed(loaded, "standing", partner, *WAIT, *more)


def test_what_was_imported_shows_in_the_standing(running: Loaded, tmp_path: Path) -> None:
    path = files.write(
        tmp_path / "s.csv",
        files.SALES_HEADER,
        files.sale(101, "P-1", 12),
        files.sale(102, "P-1", 3, product_id="NO-1"),
        files.sale(103, "P-1", 1, sold_on="5.10.2026"),
        "return,R-101,S-101,P-1,TS-100,2,2026-10-20,",
    )
    imported = call(running, "sales", "import", path)
    assert imported.code == Exit.REFUSED
    assert imported.out == "4 rows: 3 sent; 1 refused (bad-date 1)\n"
    reason, way_out = imported.err.splitlines()
    assert reason == "line 4: bad-date: sold_on '5.10.2026' is not a date (write it like 2026-10-05)"
    assert "--rejects" in way_out
    expected = {
        "partner_id": "P-1",
        "quarter": "2026Q4",
        "units": 10,
        "tier": 10,
        "rate_minor": 500,
        "rebate_minor": 5000,
        "currency": "EUR",
        "next_tier": {"threshold": 25, "units_missing": 15, "gain_minor": 20_000},
        "phase": "open",
        "revision": -1,
        "payable_minor": 0,
        "sales": {"counted": 1, "pending": 0, "rejected": 1, "returned": 0},
    }
    assert standing(running, "P-1") == expected
    assert call(running, "sales", "import", path).code == Exit.REFUSED
    assert standing(running, "P-1", "--quarter", "2026Q4") == expected, "the same file again changes nothing"


def test_standing_is_readable_for_people(running: Loaded) -> None:
    found = call(running, "standing", "P-7", *WAIT)
    assert found.code == Exit.OK
    assert "P-7 in 2026Q4 (open)" in found.out
    assert "10 more units reach tier 10 and bring 50.00 EUR more" in found.out


def test_a_quarter_without_sales_is_zeros_with_the_calendars_phase(running: Loaded) -> None:
    past = standing(running, "P-7", "--quarter", "2026Q2")
    assert (past["units"], past["revision"], past["phase"]) == (0, -1, "final")


def test_an_unknown_partner_is_an_error_that_says_so(running: Loaded) -> None:
    found = call(running, "standing", "P-404", "--json")
    assert (found.code, found.out) == (Exit.FAILED, "")
    assert '"unknown-partner"' in found.err


def test_a_quarter_that_is_none_is_a_usage_error(running: Loaded) -> None:
    assert call(running, "standing", "P-1", "--quarter", "2026-4").code == Exit.USAGE


def test_a_sale_by_hand_gets_its_verdict_and_the_tally_that_follows(running: Loaded) -> None:
    sold = succeed(
        running, "sell", "P-2", "TS-200", "--qty", "25", "--sale-id", "H-1", "--serial", "A", "--serial", "B"
    )
    assert (sold["status"], sold["reason"], sold["quarter"], sold["units"]) == ("counted", None, "2026Q4", 25)
    assert (sold["tally"]["tier"], sold["tally"]["rebate_minor"]) == (25, 25_000)
    again = succeed(
        running, "sell", "P-2", "TS-200", "--qty", "25", "--sale-id", "H-1", "--serial", "A", "--serial", "B"
    )
    assert again["tally"] == sold["tally"]
    other = succeed(running, "sell", "P-2", "TS-200", "--qty", "26", "--sale-id", "H-1")
    assert (other["status"], other["tally"]) == ("conflicting-resend", sold["tally"])
    told = call(running, "sell", "P-2", "NO-1")
    assert told.code == Exit.OK
    assert told.out.startswith("rejected: 1 × NO-1")
    assert "product-not-in-programme" in told.out


def test_a_sale_of_a_stranger_is_pending(running: Loaded) -> None:
    found = succeed(running, "sell", "P-900", "TS-100", "--on", "2026-10-01")
    assert (found["status"], found["reason"]) == ("pending", "partner-not-registered")
    assert standing(running, "P-900")["sales"]["pending"] == 1, "who has a sale is no unknown partner"


def test_a_sale_by_hand_is_checked_like_an_imported_one(running: Loaded) -> None:
    found = call(running, "sell", "P-2", "TS-200", "--qty", "0")
    assert found.code == Exit.USAGE
    assert "quantity" in found.err


def test_units_taken_back_by_hand_leave_the_tally(running: Loaded) -> None:
    succeed(running, "sell", "P-3", "TS-100", "--qty", "10", "--sale-id", "H-3")
    part = succeed(running, "take-back", "P-3", "H-3", "--qty", "4", "--return-id", "R-3")
    assert (part["status"], part["units"], part["tally"]["units"]) == ("returned", 6, 6)
    rest = succeed(running, "take-back", "P-3", "H-3")
    assert (rest["units"], rest["tally"]["units"]) == (0, 0)
    nothing_left = call(running, "take-back", "P-3", "H-3")
    assert nothing_left.code == Exit.FAILED
    assert "come back already" in nothing_left.err
    assert call(running, "take-back", "P-3", "H-404").code == Exit.FAILED


def test_a_report_can_be_piped_in(running: Loaded) -> None:
    text = "\n".join([files.SALES_HEADER, files.sale(401, "P-4", 7)])
    command = [sys.executable, "-m", "deploy.cli", "sales", "import", "-"]
    found = subprocess.run(command, input=text, env=environment(running), capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "1 rows: 1 sent; 0 refused\n"), found.stderr
    assert standing(running, "P-4")["units"] == 7


def test_waiting_is_not_held_up_by_an_aborted_transaction(running: Loaded) -> None:
    aborted = kafka.producer(running.settings, transactional_id=f"{running.settings.topic_prefix}aborting")
    aborted.init_transactions(30)
    aborted.begin_transaction()
    for topic in (SALES, PARTNERS):
        for partition in (0, 1):
            name = topic.full_name(running.settings.topic_prefix)
            aborted.produce(name, key=b"P-5", value=b"never", partition=partition)
    aborted.flush()
    aborted.abort_transaction()
    assert standing(running, "P-5")["units"] == 0


def test_a_letter_whose_schema_is_known_by_now_goes_back_once(running: Loaded) -> None:
    settings = running.settings
    succeed(running, "sell", "P-6", "TS-100", "--qty", "2", "--sale-id", "H-6")
    [good] = [message for message in records(settings, SALES) if message.key() == b"P-6"]
    origin = {"dlq.topic": SALES.full_name(settings.topic_prefix), "dlq.reason": "unknown-schema"}
    producer = kafka.producer(settings)
    for value, extra in ((good.value(), {}), (b"broken for ever", {}), (good.value(), {"dlq.topic": "elsewhere"})):
        headers = [(name, text.encode()) for name, text in {"mine": "kept", **origin, **extra}.items()]
        producer.produce(DEAD_LETTERS.full_name(settings.topic_prefix), key=b"P-6", value=value, headers=headers)
    producer.flush()
    planned = succeed(running, "replay", "--dry-run")
    assert planned == {
        "dry_run": True,
        "replayed": 1,
        "already_replayed": 0,
        "not_replayable": 2,
        "reasons": {"unknown-schema": 1},
    }
    assert succeed(running, "replay") == planned | {"dry_run": False}
    assert succeed(running, "replay")["already_replayed"] == 1
    sent_back = [message for message in records(settings, SALES) if message.key() == b"P-6"][1:]
    assert [message.value() for message in sent_back] == [good.value()]
    assert {name for name, _ in sent_back[0].headers() or ()} == {"mine", "staffel-replayed-from"}
    assert standing(running, "P-6")["units"] == 2
    assert call(running, "replay", "--all").out.startswith("1 sent back, 1 were sent back before, 1 stay")


def test_without_a_worker_the_wait_ends_and_says_what_is_behind(loaded: Loaded, tmp_path: Path) -> None:
    path = files.write(tmp_path / "s.csv", files.SALES_HEADER, files.sale(1, "P-1"))
    assert call(loaded, "sales", "import", path).code == Exit.OK
    found: Result = call(loaded, "standing", "P-1", "--wait", "0.2")
    assert found.code == Exit.NOT_READY
    assert f"{SALES.full_name(loaded.settings.topic_prefix)}/" in found.err
    assert "is the worker running?" in found.err
    assert "by 1 records" in found.err


def test_without_a_portal_standing_is_not_ready(loaded: Loaded) -> None:
    found = call(loaded, "standing", "P-1")
    assert found.code == Exit.NOT_READY
    assert "is the portal running?" in found.err
    assert not list(loaded.settings.data.glob("portal.db*")), "asking makes no database"


def test_what_the_running_stack_was_told_is_named_as_the_source(running: Loaded) -> None:
    alone = load({"data": running.settings.data, "log_level": "warning"}, {})
    shown = succeed(alone, "config", "show")
    assert shown["kafka"] == {"value": running.settings.kafka, "source": "the running stack"}
    assert shown["log_level"] == {"value": "warning", "source": "STAFFEL_LOG_LEVEL"}
