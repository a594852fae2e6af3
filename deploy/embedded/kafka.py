"""Apache Kafka on one machine: broker and controller in one process (KRaft), durable in ``DATA/kafka``."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from deploy.embedded.java import ENVIRONMENT, Java
from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import Port, Settings

HEAP_MB = 512
_LOGGING = Path(__file__).with_name("log4j2.properties")


def prepare(settings: Settings, java: Java, jars: Sequence[Path]) -> list[str]:
    """Write the configuration, format the folder if it is new, and answer the command that runs the broker."""
    folder = settings.data / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "server.properties"
    config.write_text(configuration(settings), "utf-8")
    classpath = ["-cp", ":".join(map(str, jars))]
    options = [f"-Dlog4j2.configurationFile={_LOGGING}"]
    if not (folder / "log" / "meta.properties").exists():
        _format(java.command(128, options, [*classpath, "kafka.tools.StorageTool"]), config)
    return java.command(HEAP_MB, options, [*classpath, "kafka.Kafka", str(config)])


def configuration(settings: Settings) -> str:
    """The broker's properties file."""
    broker, controller = settings.port(Port.KAFKA), settings.port(Port.CONTROLLER)
    rows = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",  # not stored, so the port may change between starts
        "log.dirs": (settings.data / "kafka" / "log").resolve(),
        "auto.create.topics.enable": "false",
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "transaction.max.timeout.ms": 60_000,
        "group.initial.rebalance.delay.ms": 0,
        "message.max.bytes": 2_500_000,
        "offsets.retention.minutes": 60 * 24 * 365,
        "log.retention.hours": -1,  # a topic that wants less says so itself
        "log.segment.bytes": 256 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.threads": 1,
        "log.cleaner.dedupe.buffer.size": 32 * 1024 * 1024,
        # One copy of the data, and the machine may lose power: what was acknowledged is on the disk a second later.
        "log.flush.interval.ms": 1000,
        "log.flush.scheduler.interval.ms": 1000,
    }
    # Java reads such a file as Latin-1 with escapes, which are JSON's.
    return "".join(f"{key}={json.dumps(str(value))[1:-1]}\n" for key, value in rows.items())


def _format(storage_tool: list[str], config: Path) -> None:
    done = subprocess.run(
        [*storage_tool, "format", "-t", _cluster_id(), "-c", config],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise StaffelError(
            f"Kafka can't use the folder {config.parent}: {' '.join(last)}",
            "is the disk full or the folder damaged? another --data DIR starts anew",
        )


def _cluster_id() -> str:
    """A cluster id as Kafka writes them: 16 random bytes in url-safe base64, not beginning with a dash."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made
