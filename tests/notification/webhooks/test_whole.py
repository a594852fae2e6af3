"""The process as it is started by the stack, and the commands: from a record on a topic to a partner's server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded, load
from schemas.events import PayoutStatus, id_of
from services.kit.database import open_engine
from services.notification.tables import MIGRATIONS, partners
from tests.cli.calling import call, succeed
from tests.notification.facts import bank_details, close, partner, payout, week
from tests.notification.mailbox import Mailbox
from tests.notification.test_process import Running
from tests.notification.webhooks.receiver import Receiver, Reply
from tests.waiting import until


@pytest.fixture
def plain() -> Iterator[Receiver]:
    """A server without TLS, as it may be reached with ``webhook_allow_insecure`` alone."""
    found = Receiver(tls=False)
    yield found
    found.close()


@pytest.fixture
def running(loaded: Loaded, mailbox: Mailbox) -> Iterator[Running]:
    sources = {**loaded.sources, "webhook_allow_insecure": "flag"}
    found = Running(Loaded(replace(loaded.settings, webhook_allow_insecure=True), sources), mailbox)
    yield found
    if found.process is not None and found.process.poll() is None:
        found.process.kill()
        found.process.wait()
    found.log.close()


@pytest.fixture
def alone(tmp_path: object) -> Loaded:
    """Settings of a stack that does not run, whose notification service knows a partner."""
    found = load({"data": f"{tmp_path}/data", "port_base": 31_990}, {})
    engine: Engine = open_engine(found.settings.notification_db_url, MIGRATIONS)
    with engine.begin() as connection:
        connection.execute(
            partners.insert().values(partner_id="P1", name="One", email="p1@x.example", language="en", country="DE")
        )
    engine.dispose()
    return found


def test_what_happens_reaches_a_partners_server_and_what_needs_a_person_the_table(
    running: Running, plain: Receiver, mailbox: Mailbox
) -> None:
    running.start()
    until(lambda: (running.health() or {})["ready"], 30, "readiness")
    running.produce(partner(1))
    until(lambda: running.ask("SELECT partner_id FROM partners") == ["P1"], 30, "the partner")
    made = succeed(running.loaded, "webhooks", "add", "P1", plain.url())
    pinged = succeed(running.loaded, "webhooks", "test", made["endpoint"])
    assert (pinged["state"], pinged["attempts"][0]["status"]) == ("delivered", 200)

    events = (week(), close(), payout(PayoutStatus.HELD), bank_details())
    running.produce(*events)
    until(lambda: len(plain.taken) == 5, 30, "four webhooks and the ping")
    said = [taken.verify(made["secret"])["type"] for taken in plain.taken]
    assert sorted(said) == ["bank_details.changed", "payout.changed", "ping", "quarter.closed", "week.summary"]
    assert {taken.id for taken in plain.taken} > {id_of(event) for event in events}
    until(lambda: (running.health() or {})["ready"], 20, "readiness")
    assert running.ask("SELECT text FROM staff_alerts") == ["Partner P1: the payment for 2026Q4, revision 1, is held."]

    plain.reply = Reply(503, "down for lunch")
    failing = call(running.loaded, "webhooks", "test", made["endpoint"])
    assert (failing.code, failing.out.startswith("503 down for lunch (")) == (Exit.FAILED, True)
    plain.reply = Reply(410, "")
    gone = succeed(running.loaded, "webhooks", "add", "P1", plain.url())["endpoint"]
    assert call(running.loaded, "webhooks", "test", gone).code == Exit.FAILED
    until(lambda: mailbox.taken[-1].mail["Subject"].startswith("Your system gets no"), 10, "its mail")
    assert gone in mailbox.taken[-1].part("plain")
    until(lambda: 'webhook_attempts_total{result="delivered"} 5.0' in running.metrics(), 10, "the count of deliveries")
    assert running.stop() == 0
    log = running.said()
    assert "Traceback" not in log
    assert made["secret"] not in log


def test_an_endpoint_is_listed_rotated_and_removed_and_its_secret_shown_once(alone: Loaded) -> None:
    url = "https://hooks.partner.example/staffel"
    made = succeed(alone, "webhooks", "add", "P1", url, "--types", "quarter.closed, payout.changed")
    (row,) = succeed(alone, "webhooks", "list")["endpoints"]
    assert (row["id"], row["url"], row["state"]) == (made["endpoint"], url, "enabled")
    assert row["types"] == ["quarter.closed", "payout.changed"]
    assert "whsec_" not in json.dumps(row)
    new = succeed(alone, "webhooks", "rotate", made["endpoint"])["secret"]
    assert new.startswith("whsec_")
    assert new != made["secret"]
    told = call(alone, "webhooks", "list")
    assert made["endpoint"] in told.out
    assert call(alone, "webhooks", "remove", made["endpoint"], "--yes").code == 0
    assert succeed(alone, "webhooks", "list")["endpoints"] == []


def test_a_ping_without_the_service_says_what_is_missing(alone: Loaded) -> None:
    endpoint = succeed(alone, "webhooks", "add", "P1", "https://hooks.partner.example/")["endpoint"]
    told = call(alone, "webhooks", "test", endpoint, "--wait", "0")
    assert told.code == Exit.NOT_READY
    assert "is the notification service running?" in told.err
    (delivery,) = succeed(alone, "webhooks", "deliveries", endpoint)["deliveries"]
    assert (delivery["type"], delivery["state"], delivery["attempts"]) == ("ping", "pending", [])
    assert "not sent yet" in call(alone, "webhooks", "deliveries", endpoint).out


def test_a_replay_says_how_many_and_on_a_dry_run_changes_nothing(alone: Loaded) -> None:
    endpoint = succeed(alone, "webhooks", "add", "P1", "https://hooks.partner.example/")["endpoint"]
    call(alone, "webhooks", "test", endpoint, "--wait", "0")
    before = succeed(alone, "webhooks", "deliveries", endpoint)
    told = call(alone, "webhooks", "replay", endpoint, "--since", "2026-01-01", "--dry-run")
    assert (told.code, told.out) == (0, "1 delivery would be sent again\n")
    assert succeed(alone, "webhooks", "deliveries", endpoint) == before
    told = call(alone, "webhooks", "replay", endpoint, "--delivery", str(before["deliveries"][0]["number"]))
    assert (told.code, told.out) == (0, "1 delivery will be sent again\n")
    assert call(alone, "webhooks", "replay", endpoint, "--failed").out == "0 deliveries will be sent again\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("add", "P1", "http://hooks.partner.example/"), Exit.USAGE, "must begin with https"),
        (("add", "P1", "https://10.0.0.1/"), Exit.USAGE, "not by number"),
        (("add", "P1", "https://hooks.partner.example/", "--types", "ping"), Exit.USAGE, "'ping' is no type"),
        (("add", "P7", "https://hooks.partner.example/"), Exit.FAILED, "no partner 'P7'"),
        (("test", "ep_none"), Exit.FAILED, "no endpoint 'ep_none'"),
        (("enable", "ep_none"), Exit.FAILED, "no endpoint"),
        (("rotate", "ep_none"), Exit.FAILED, "no endpoint"),
        (("remove", "ep_none", "--yes"), Exit.FAILED, "no endpoint"),
        (("deliveries", "ep_none"), Exit.FAILED, "no endpoint"),
        (("replay", "ep_none", "--failed"), Exit.FAILED, "no endpoint"),
        (("replay", "ep_none"), Exit.USAGE, "say what to send again"),
        (("replay", "ep_none", "--since", "yesterday"), Exit.USAGE, "not an instant"),
    ],
)
def test_what_cannot_be_done_is_said_plainly(alone: Loaded, arguments: tuple[str, ...], code: Exit, words: str) -> None:
    told = call(alone, "webhooks", *arguments)
    assert told.code == code
    assert words in told.err
    assert "Traceback" not in told.err
