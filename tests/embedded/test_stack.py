"""The whole stack as a user starts it: ready, hurt, stopped, started again, gone without a trace."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from deploy.embedded import trouble
from deploy.embedded.stack import PARTS, SERVICES, Stack
from deploy.runtime.errors import Exit, StaffelError
from deploy.runtime.settings import Loaded, Port, Settings, load
from tests.embedded.conftest import CommandLine, gone
from tests.waiting import until

TOPIC = "staffel.sales"


def settings_of(staffel: CommandLine) -> Settings:
    return load({"data": staffel.data, "port_base": staffel.port_base}, {}).settings


def write(settings: Settings, value: str) -> None:
    """Write a record and wait until the broker has it."""
    failed: list[Any] = []

    def delivered(error: Any, _message: Any) -> None:
        if error:
            failed.append(error)

    producer = Producer({"bootstrap.servers": settings.kafka, "acks": "all"})
    producer.produce(TOPIC, value, key="K", partition=0, on_delivery=delivered)
    assert producer.flush(30) == 0
    assert not failed


def read(settings: Settings) -> list[str]:
    """All records."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": "test",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    found: list[str] = []
    while (message := consumer.poll(30)) is not None and message.error() is None:
        value = message.value()
        assert value is not None
        found.append(value.decode())
    consumer.close()
    return found


def schema_id(settings: Settings) -> int:
    address = f"{settings.registry_url}/subjects/{TOPIC}-value/versions/latest"
    with urllib.request.urlopen(address, timeout=10) as answer:
        return int(json.loads(answer.read())["id"])


def test_up_runs_several_workers_that_share_the_partitions(staffel: CommandLine) -> None:
    _, ready = staffel.up("--workers", "2")
    assert set(staffel.children()) == {*PARTS, *SERVICES, "worker-2"}
    status = staffel.run("status", "--json")
    assert (status.returncode, json.loads(status.stdout)["ready"]) == (Exit.OK, True)
    assert "worker-2" in {part["part"] for part in json.loads(status.stdout)["parts"]}

    def owned(name: str) -> set[str]:
        with urllib.request.urlopen(ready["metrics"][name], timeout=10) as answer:
            return set(re.findall(r'^rebate_calendar_\S*\{partition="(\d+)"\}', answer.read().decode(), re.MULTILINE))

    assert owned("worker") | owned("worker-2") == {"0", "1", "2", "3"}
    assert owned("worker")
    assert owned("worker-2")


@pytest.mark.parametrize("workers", [0, 5])
def test_more_workers_than_can_work_are_refused(staffel: CommandLine, workers: int) -> None:
    refused = staffel.run("up", "--workers", str(workers))
    assert refused.returncode == Exit.USAGE
    assert "choose 1 to 4" in refused.stderr


def test_up_is_ready_survives_kills_and_leaves_nothing(staffel: CommandLine) -> None:
    settings = settings_of(staffel)
    first, ready = staffel.up()
    assert ready["event"] == "ready"
    assert ready["kafka"] == settings.kafka
    children = staffel.children()
    assert set(children) == {*PARTS, *SERVICES}

    # From another terminal, knowing only the data folder.
    status = staffel.run("status", "--json")
    assert (status.returncode, json.loads(status.stdout)["ready"]) == (Exit.OK, True)
    assert staffel.run("doctor", "--json").returncode == Exit.OK
    second = staffel.run("up")
    assert second.returncode == Exit.FAILED
    assert f"already runs on {staffel.data} (pid {first.pid})" in second.stderr
    refused = staffel.run("clean", "--yes")
    assert refused.returncode == Exit.FAILED
    assert "./staffel down" in refused.stderr

    # Whatever is killed comes back, and has what it had.
    write(settings, "before")
    schema = schema_id(settings)
    for name in ("kafka", "portal"):
        os.kill(children[name], signal.SIGKILL)
    until(lambda: staffel.children().get("kafka", children["kafka"]) != children["kafka"], 30, "another broker")
    until(lambda: trouble.kafka(settings) is None, 60, "the broker")
    assert read(settings) == ["before"]
    portal = f"http://127.0.0.1:{settings.port(Port.PORTAL_METRICS)}/healthz"
    until(lambda: trouble.page(portal) is None, 60, "the portal")

    # Nothing outlives the supervisor, even if that is killed.
    pids = list(staffel.children().values())
    first.kill()
    assert gone(pids)
    assert staffel.run("status").returncode == Exit.NOT_READY

    # The next start goes on where it was, on other ports too.
    staffel.port_base += 10
    settings = settings_of(staffel)
    third, _ready = staffel.up("--no-processes")
    assert set(staffel.children()) == set(PARTS)
    assert read(settings) == ["before"]
    assert schema_id(settings) == schema
    pids = list(staffel.children().values())
    assert staffel.run("down").returncode == Exit.OK
    assert third.wait(10) == Exit.OK
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert staffel.children() == {}
    assert staffel.run("clean", "--yes").returncode == Exit.OK
    assert not staffel.data.exists()


def test_ctrl_c_while_it_starts_stops_it_and_an_ephemeral_one_leaves_no_folder(staffel: CommandLine) -> None:
    started = staffel.start("up", "--ephemeral", "--port-base", str(staffel.port_base), TMPDIR=str(staffel.folder))
    [folder] = until(
        lambda: [path for path in staffel.folder.glob("staffel-*") if (path / "kafka").exists()], 60, "a folder"
    )
    children = until(lambda: psutil.Process(started.pid).children(), 60, "children")
    started.send_signal(signal.SIGINT)
    assert started.wait(20) == Exit.INTERRUPTED
    assert gone([child.pid for child in children])
    assert not folder.exists()
    assert not staffel.data.exists()


def test_process_that_can_not_live_ends_the_stack_with_its_last_words(
    stack_settings: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SERVICES, "payout", ("tests.embedded.broken", Port.PAYOUT))
    stack = Stack(stack_settings, parts=["mail"], services=["payout"], create_topics=False)
    stack.start()
    with pytest.raises(
        StaffelError, match="payout does not stay up; its last words: listen can't be 'moon'"
    ) as given_up:
        stack.wait_ready()
    assert str(stack_settings.settings.data / "logs" / "payout.log") in given_up.value.hint
    assert stack.pid("mail") is None
    stack.stop()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("STAFFEL_") and name != "STAFFEL_CACHE":
            monkeypatch.delenv(name)
