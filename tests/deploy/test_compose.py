"""The compose file says what the command line and the settings understand, and is careful."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from deploy.cli.main import app
from deploy.runtime.settings import OTHER_VARIABLES, ROOT, Port, load
from tests.deploy.compose import EXAMPLE, FILE, OURS, PROCESSES, example, filled_in, services, variables

SERVICES = services(filled_in())
PORTS = {
    "worker": Port.WORKER,
    "notification": Port.NOTIFICATION,
    "payout": Port.PAYOUT,
    "portal": Port.PORTAL_METRICS,
}
PUBLISHED = {
    "portal": Port.PORTAL,
    "mail": Port.INBOX,
    "kafka": Port.KAFKA,
    "registry": Port.REGISTRY,
}
OFFICES = {"payout": Port.PAYOUT_OFFICE, "notification": Port.NOTIFICATION_OFFICE}
BASE = 8400
each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)
# What the compose specification knows and this file uses; a slip of the pen would otherwise be ignored in silence.
KEYS = {
    *("image", "build", "command", "entrypoint", "environment", "restart", "depends_on", "healthcheck", "ports"),
    *("volumes", "tmpfs", "read_only", "cap_drop", "security_opt", "stop_grace_period", "profiles", "hostname"),
    "shm_size",
}
HEALTH_KEYS = {"test", "interval", "timeout", "start_period", "retries"}
CONDITIONS = {"service_healthy", "service_completed_successfully", "service_started"}

OPTIONAL = {"OIDC_CLIENT_SECRET"}
"""Secrets of what one may do without: empty is off."""


def test_docker_itself_reads_the_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    has_plugin = docker and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0
    if docker and has_plugin:
        environment = tmp_path / "env"
        environment.write_text("".join(f"{name}={value}\n" for name, value in filled_in().items()), "utf-8")
        command = [docker, "compose", "-f", str(FILE), "--env-file", str(environment), "config", "--quiet"]
        subprocess.run(command, check=True)
    assert set(yaml.safe_load(FILE.read_text("utf-8"))) >= {"name", "services", "volumes"}


@each_service
def test_every_key_is_one_that_compose_knows(name: str) -> None:
    assert set(SERVICES[name]) <= KEYS
    assert set(SERVICES[name].get("healthcheck", {})) <= HEALTH_KEYS


@each_service
def test_what_a_service_waits_for_exists_and_can_answer(name: str) -> None:
    waits = SERVICES[name].get("depends_on", {})
    for other in waits:
        assert other in SERVICES
    for other, how in waits.items() if isinstance(waits, dict) else ():
        assert how["condition"] in CONDITIONS
        assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[other]


@each_of_ours
def test_the_command_is_one_of_the_command_line(name: str) -> None:
    service = SERVICES[name]
    if "entrypoint" in service:
        assert service["entrypoint"][:2] == ["python", "-m"]
        assert (ROOT / service["entrypoint"][2].replace(".", "/")).with_suffix(".py").exists()
        return
    command: Any = typer.main.get_command(app)
    for word in service["command"]:
        if not word.startswith("-"):
            command = command.get_command(None, word)
            assert command is not None, f"{word} is no command"


@each_of_ours
def test_every_variable_is_a_setting_and_fits(name: str) -> None:
    environment = SERVICES[name]["environment"]
    loaded = load({}, environment)
    for variable in environment:
        assert variable in OTHER_VARIABLES or loaded.sources[variable.removeprefix("STAFFEL_").lower()] == variable


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_is_asked_for_its_health_where_it_answers(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"] == [
        *("CMD", "python", "-m", "deploy.compose.healthy"),
        str(BASE + PORTS[name]),
    ]


@each_service
def test_nothing_is_reachable_from_outside_the_machine(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@pytest.mark.parametrize(("name", "port"), PUBLISHED.items())
def test_parts_are_published_where_the_embedded_ones_would_be(name: str, port: Port) -> None:
    (published,) = SERVICES[name]["ports"]
    assert published.split(":")[1] == str(BASE + port)


@pytest.mark.parametrize(("name", "port"), OFFICES.items())
def test_an_office_listens_where_the_portal_looks_for_it_and_is_published_nowhere(name: str, port: Port) -> None:
    asked = SERVICES["portal"]["environment"][f"STAFFEL_{name.upper()}_OFFICE_URL"]
    assert asked == f"http://{name}:{BASE + port}"
    assert SERVICES[name]["environment"]["STAFFEL_OFFICE_LISTEN"] == "0.0.0.0"
    assert "ports" not in SERVICES[name]


def test_kafka_advertises_what_the_clients_are_given() -> None:
    kafka = SERVICES["kafka"]["environment"]
    advertised = dict(entry.split("://") for entry in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    listening = dict(entry.split("://") for entry in kafka["KAFKA_LISTENERS"].split(","))
    for name in (*PROCESSES, "topics", "cli"):
        assert SERVICES[name]["environment"]["STAFFEL_KAFKA"] == advertised["INSIDE"]
    _, outside, inside = SERVICES["kafka"]["ports"][0].split(":")
    assert advertised["OUTSIDE"] == f"127.0.0.1:{outside}"
    assert listening["OUTSIDE"] == f":{inside}"


@each_service
def test_images_are_pinned_and_ours_carries_our_version(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag), image
    if name in OURS:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        assert (image, tag) == (project["name"], project["version"])


@each_service
def test_every_part_is_confined_restarted_and_looked_after(name: str) -> None:
    service = SERVICES[name]
    assert "no-new-privileges:true" in service["security_opt"]
    if name in OURS:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    if name not in ("topics", "cli"):
        assert service["restart"] == "unless-stopped"
        assert "healthcheck" in service or name == "mail"


@each_service
def test_volumes_are_declared_and_mounted_files_exist(name: str) -> None:
    declared = yaml.safe_load(FILE.read_text("utf-8"))["volumes"]
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        assert (ROOT / source).exists() if source.startswith("./") else source in declared


def test_no_secret_stands_in_the_file_and_none_has_a_default() -> None:
    for name, behaviour, default in variables():
        if re.search(r"PASSWORD|SECRET|KEY|DEBTOR", name):
            assert behaviour == "?" or (name in OPTIONAL and behaviour + default == "-"), name
    for line in FILE.read_text("utf-8").splitlines():
        match = re.match(r"\s+(\w*(?:PASSWORD|SECRET|_KEY)\w*): (.*)", line)
        assert match is None or match[2].startswith("${"), line
        assert not re.search(r"://\w+:(?!\$\{)[^@/\s]+@", line), line


def test_the_example_environment_names_every_variable_and_holds_no_secret() -> None:
    used = {name for name, _, _ in variables()}
    assert set(example(with_commented=True)) == used
    required = {name for name, behaviour, _ in variables() if behaviour == "?"}
    assert required <= set(example())
    assert {name for name, value in example().items() if not value} == required
    assert "STAFFEL_" not in EXAMPLE.read_text("utf-8")


@pytest.mark.parametrize("missing", sorted({name for name, behaviour, _ in variables() if behaviour == "?"}))
def test_without_a_secret_nothing_starts(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        services({name: value for name, value in filled_in().items() if name != missing})


def test_a_process_gets_its_own_secrets_only() -> None:
    assert _secrets("worker") == set()
    assert _secrets("notification") == {
        "notification_db_url",
        "smtp_url",
        "link_secret",
        "webhook_key",
        "office_secret",
    }
    assert _secrets("payout") == {"payout_db_url", "bank_key", "office_secret"}
    assert _secrets("portal") == {
        "portal_db_url",
        "link_secret",
        "session_secret",
        "factor_key",
        "oidc_client_secret",
        "office_secret",
    }


def _secrets(name: str) -> set[str]:
    names = {variable.removeprefix("STAFFEL_").lower() for variable in SERVICES[name]["environment"]}
    plain = {"registry_url", "public_url", "payout_office_url", "notification_office_url"}
    return {n for n in names if n.endswith(("_url", "_secret", "_key"))} - plain
