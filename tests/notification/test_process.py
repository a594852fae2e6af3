"""The process as it is started by the stack, on a real broker: records in, mails out."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from deploy.embedded.stack import environment
from deploy.runtime import kafka
from deploy.runtime.clock import RealClock
from deploy.runtime.settings import Loaded, Port, Settings
from schemas.codec import Codec, ConfluentRegistry, headers_for
from schemas.events import Event, id_of
from services.kit.links import Invitation, read_token
from tests.notification.facts import bank_details, choice, close, partner, payout, received, tier, week
from tests.notification.mailbox import Mailbox
from tests.waiting import until


class Running:
    """The notification process of one test, and the topics that it reads."""

    def __init__(self, loaded: Loaded, mailbox: Mailbox) -> None:
        sources = {**loaded.sources, "smtp_url": "flag"}
        self.loaded = Loaded(replace(loaded.settings, smtp_url=mailbox.url), sources)
        self.log = (loaded.settings.data.parent / "notification.log").open("w+")
        self.process: subprocess.Popen[str] | None = None

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.notification"],
            env=dict(environment(self.loaded)),
            stderr=self.log,
            text=True,
        )
        until(lambda: self.health() is not None, 60, "the process's health page")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(20)

    def health(self) -> dict[str, object] | None:
        try:
            with urllib.request.urlopen(self._probe("/healthz")) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except OSError:
            return None

    def metrics(self) -> str:
        with urllib.request.urlopen(self._probe("/metrics")) as answer:
            return str(answer.read().decode())

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def produce(self, *events: Event) -> None:
        codec = Codec(ConfluentRegistry(self.settings.registry_url), self.settings.topic_prefix)
        producer = kafka.producer(self.settings)
        now = RealClock().now()
        for event in events:
            record = received(event, now)
            producer.produce(
                record.topic.full_name(self.settings.topic_prefix),
                key=record.key,
                value=codec.encode(record.topic, event),
                headers=headers_for(event, source="test", time=now, subject=record.key),
            )
        assert producer.flush(20) == 0

    def erase(self, partner_id: str) -> None:
        producer = kafka.producer(self.settings)
        producer.produce(f"{self.settings.topic_prefix}partners", key=partner_id, value=None)
        assert producer.flush(20) == 0

    def ask(self, statement: str) -> list[object]:
        engine = create_engine(self.settings.notification_db_url)
        with engine.connect() as connection:
            answer = list(connection.execute(text(statement)).scalars())
        engine.dispose()
        return answer

    def _probe(self, path: str) -> str:
        return f"http://127.0.0.1:{self.settings.port(Port.NOTIFICATION)}{path}"


@pytest.fixture
def running(loaded: Loaded, mailbox: Mailbox) -> Iterator[Running]:
    found = Running(loaded, mailbox)
    yield found
    if found.process is not None and found.process.poll() is None:
        found.process.kill()
        found.process.wait()
    found.log.close()


def test_records_become_mails_once_across_a_stop_and_a_restart(running: Running, mailbox: Mailbox) -> None:
    running.start()
    running.produce(tier(number=1), close(number=1), week(2))
    running.produce(partner(1), partner(2, language="de"))
    until(lambda: len(mailbox.taken) == 3, 30, "three mails")
    until(lambda: (running.health() or {})["ready"], 20, "readiness")
    assert running.stop() == 0

    running.produce(payout(number=2), partner(2, language="de", email="new@partner.example"), bank_details(number=2))
    running.produce(choice(False, 2))
    running.erase("P1")
    running.start()
    until(lambda: len(mailbox.taken) == 6, 30, "the mails about what came meanwhile")
    until(lambda: running.ask("SELECT name FROM partners") == ["Systemhaus 2"], 20, "an erased partner")
    until(lambda: running.ask("SELECT partner_id FROM preferences WHERE NOT weekly_mail") == ["P2"], 20, "his choice")
    assert running.stop() == 0
    assert len({delivery.mail["Message-ID"] for delivery in mailbox.taken}) == 6
    former = mailbox.to("p2@partner.example")[-1]
    assert former.mail["Message-ID"] == f"<{id_of(bank_details(number=2))}/previous@staffel.example>"
    assert len(mailbox.to("new@partner.example")) == 2

    last = mailbox.to("new@partner.example")[-1].part("plain")
    token = re.split(r"[?\s]", last.split("/l/")[1])[0]
    assert read_token(running.settings, token) == Invitation("partner", "P2")
    assert "Traceback" not in running.said()
    for private in ("partner.example", "Systemhaus", token):
        assert private not in running.said()


def test_kill_loses_no_mail_and_repeats_at_most_those_under_way(running: Running, mailbox: Mailbox) -> None:
    numbers = range(60)
    partners: list[Event] = [partner(n) for n in numbers]
    weeks: list[Event] = [week(n) for n in numbers]
    running.produce(*partners, *weeks)
    kills = (10, 30)
    for taken in kills:
        running.start()
        until(lambda taken=taken: len(mailbox.taken) >= taken, 30, f"{taken} mails")  # type: ignore[misc]
        running.stop(signal.SIGKILL)
    running.start()
    wanted = {f"<{id_of(event)}@staffel.example>" for event in weeks}
    until(lambda: {d.mail["Message-ID"] for d in mailbox.taken} == wanted, 30, "all mails")
    until(lambda: running.ask("SELECT count(*) FROM messages WHERE state = 'pending'") == [0], 20, "an empty outbox")
    assert len(mailbox.taken) <= len(weeks) + len(kills) * running.settings.mail_senders  # one on each connection


def test_mail_server_away_is_said_and_mended_by_itself(running: Running, mailbox: Mailbox) -> None:
    mailbox.close()
    running.produce(partner(), close())
    running.start()
    until(lambda: (running.health() or {})["ready"] is False, 20, "bad health")
    until(lambda: "refused" in str((running.health() or {})["checks"]), 20, "its reason")
    back = Mailbox(mailbox.port)
    try:
        until(lambda: len(back.taken) == 1, 60, "the mail")
        until(lambda: (running.health() or {})["ready"], 20, "good health")
        assert 'notifications_total{channel="mail",kind="final",result="sent"} 1.0' in running.metrics()
    finally:
        back.close()
