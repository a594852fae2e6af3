"""Senders that are killed, servers that hang: nothing is lost, and nothing is said twice but what nobody heard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import ROOT
from schemas.events import id_of
from services.notification.crew import Crew
from services.notification.tables import State, messages
from tests.notification.conftest import Desk
from tests.notification.facts import partner, programme, tier, week
from tests.notification.mailbox import Mailbox
from tests.waiting import until

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(desk: Desk, mailbox: Mailbox) -> Iterator[Start]:
    """Starts processes that send from the desk's database; those of the same port base are one service restarted."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(senders: int = 1, port_base: int = 47_000) -> subprocess.Popen[bytes]:
        own = {
            "data": str(desk.settings.data),
            "port_base": str(port_base),
            "smtp_url": mailbox.url,
            "mail_senders": str(senders),
            "notification_db_url": desk.engine.url.render_as_string(hide_password=False),
        }
        environment = {f"STAFFEL_{name.upper()}": value for name, value in own.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.notification.sending"],
            env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


@contextmanager
def hanging(mailbox: Mailbox, moment: str, address: str) -> Iterator[threading.Event]:
    """The server thinks about this recipient until the block ends; the event tells that it has begun to."""
    begun, end = threading.Event(), threading.Event()

    def think() -> None:
        begun.set()
        end.wait(30)

    mailbox.before[moment, address] = think
    try:
        yield begun
    finally:
        end.set()


@pytest.mark.parametrize(("moment", "twice"), [("rcpt", 0), ("data", 1)])
def test_killed_process_loses_no_mail_and_repeats_only_the_one_whose_answer_it_did_not_hear(
    desk: Desk, mailbox: Mailbox, start: Start, moment: str, twice: int
) -> None:
    numbers = range(8)
    desk.told(*[partner(n) for n in numbers], *[week(n) for n in numbers])
    process = start()
    mailbox.before[moment, "p4@partner.example"] = lambda: (process.send_signal(signal.SIGKILL), process.wait(10))
    until(lambda: process.poll() == -signal.SIGKILL, 20, "the kill")
    start()
    until(lambda: set(desk.states()) == {"sent"}, 20, "all mails sent")
    ids = Counter(delivery.mail["Message-ID"] for delivery in mailbox.taken)
    assert set(ids) == {f"<{id_of(week(n))}@staffel.example>" for n in numbers}
    assert {id_: times for id_, times in ids.items() if times > 1} == dict.fromkeys(
        [f"<{id_of(week(4))}@staffel.example>"] * twice, 2
    )


def test_two_processes_of_four_connections_share_the_work_and_a_killed_ones_comes_back_when_its_lease_ends(
    desk: Desk, mailbox: Mailbox, start: Start
) -> None:
    numbers = range(120)
    desk.told(*[partner(n) for n in numbers], *[week(n) for n in numbers])
    with hanging(mailbox, "rcpt", "p3@partner.example") as begun:
        victim = start(4, 47_100)
        assert begun.wait(20)
        victim.kill()
        victim.wait()
        start(4, 47_200)
        until(lambda: Counter(desk.states())["sent"] >= 120 - 4 * 8, 20, "what the killed process had not claimed")
        assert "pending" in desk.states()
        the_lease_ends(desk)
        until(lambda: set(desk.states()) == {"sent"}, 20, "all mails sent")
    ids = Counter(delivery.mail["Message-ID"] for delivery in mailbox.taken)
    assert set(ids) == {f"<{id_of(week(n))}@staffel.example>" for n in numbers}
    assert sum(ids.values()) <= 120 + 4, "at most the mails under way on the killed process's connections"


def the_lease_ends(desk: Desk) -> None:
    past = desk.clock.now() - timedelta(seconds=1)
    with desk.engine.begin() as connection:
        left = (messages.c.state == State.PENDING) & messages.c.claimed_by.is_not(None)
        connection.execute(update(messages).where(left).values(next_try_at=past))


def test_a_server_that_thinks_holds_up_neither_the_database_nor_the_other_mails(
    desk: Desk, mailbox: Mailbox, start: Start
) -> None:
    desk.told(*[partner(n) for n in range(1, 7)], week(1))
    with hanging(mailbox, "rcpt", "p1@partner.example") as begun:
        start(2)
        assert begun.wait(20)
        before = desk.clock.now()
        desk.told(*[week(n) for n in range(2, 7)])
        assert desk.clock.now() - before < timedelta(seconds=5), "the database was locked"
        until(lambda: Counter(desk.states()) == {"sent": 5, "pending": 1}, 5, "the other mails")
    until(lambda: set(desk.states()) == {"sent"}, 20, "the mail that the server thought about")


def test_mails_to_one_partner_arrive_in_their_order(desk: Desk, mailbox: Mailbox, start: Start) -> None:
    desk = desk.with_settings(tier_mail_wait_seconds=0)
    desk.told(partner(1), *[tier(sequence=n) for n in range(1, 31)])
    start(4)
    until(lambda: len(mailbox.taken) == 30, 20, "thirty mails")
    ids = [delivery.mail["Message-ID"] for delivery in mailbox.taken]
    assert ids == [f"<{id_of(tier(sequence=n))}@staffel.example>" for n in range(1, 31)]


def test_a_claim_that_was_lost_settles_nothing_but_a_mail_that_the_server_has(desk: Desk, mailbox: Mailbox) -> None:
    desk.told(partner(1), partner(2), week(1), week(2))
    slow, quick = desk.another_outbox("slow:1"), desk.another_outbox("quick:1")
    first, second = slow.claim()
    the_lease_ends(desk)
    assert [row.number for row in quick.claim()] == [first.number, second.number]
    slow.settle_refused(first, "451 later", 1, timedelta(hours=1))
    slow.settle_sent(second, "fingerprint")
    with desk.engine.connect() as connection:
        rows = connection.execute(select(messages).order_by(messages.c.number)).all()
    assert [(row.state, row.attempts, row.claimed_by) for row in rows] == [("pending", 0, "quick:1"), ("sent", 0, None)]


def test_a_restarted_process_begins_with_what_it_was_sending(desk: Desk) -> None:
    desk.told(partner(1), week(1))
    assert len(desk.another_outbox("here:7").claim()) == 1
    assert not desk.another_outbox("elsewhere:7").claim()
    restarted = desk.another_outbox("here:7")
    assert restarted.take_back() == 1
    assert len(restarted.claim()) == 1


def test_settings_that_make_no_sense_are_refused(desk: Desk) -> None:
    wrong: list[dict[str, Any]] = [
        {"mail_senders": 0},
        {"mail_senders": 1000},
        {"quiet_hours": "8"},
        {"quiet_hours": "7-24"},
        {"bounce_address": "nobody"},
    ]
    for settings in wrong:
        with pytest.raises(UsageError):
            Crew(desk.engine, replace(desk.settings, **settings), desk.clock, programme())
