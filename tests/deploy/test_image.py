"""The image: what goes in, who runs in it, and what it starts."""

from __future__ import annotations

import json
import re

from deploy.runtime.settings import ROOT, load
from tests.deploy.compose import OURS, filled_in, services

LINES = re.sub(r"\\\n\s*", " ", (ROOT / "deploy" / "Dockerfile").read_text("utf-8")).splitlines()
FINAL = LINES[max(i for i, line in enumerate(LINES) if line.startswith("FROM ")) :]


def instructions(word: str, lines: list[str] = FINAL) -> list[str]:
    return [line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")]


def test_base_images_are_pinned_and_of_a_supported_python() -> None:
    bases = {line.split()[0] for line in instructions("FROM", LINES)}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.1[123](\.\d+)?-slim-\w+", bases.pop())


def test_packages_come_from_the_lock_with_their_hashes() -> None:
    (install,) = [line for line in instructions("RUN", LINES) if "pip install" in line]
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert "-r /requirements.lock" in install


def test_everything_copied_exists_and_passes_the_ignore_file() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    copied = {name for line in instructions("COPY", LINES) if "--from" not in line for name in line.split()[:-1]}
    copied = {name for name in copied if name != "."}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
    assert {"schemas", "streams", "services", "deploy"} <= copied
    assert not {"tests", ".git", ".env"} & copied


def test_it_does_not_run_as_root_and_owns_what_it_writes() -> None:
    (user,) = instructions("USER")
    (prepare,) = instructions("RUN")
    number = re.search(r"--uid (\d+)", prepare)
    assert number
    assert user in prepare
    for name in OURS:
        folders = [entry for entry in services(filled_in())[name]["tmpfs"] if entry.startswith("/var/lib/staffel")]
        assert all(f"uid={number[1]}," in folder for folder in folders)
    assert "install -d -o staffel -g staffel -m 0700 /var/lib/staffel /payments /bank /statements /uploads" in prepare


def test_its_environment_is_understood() -> None:
    environment = dict(re.findall(r"(STAFFEL_\w+)=(\S+)", " ".join(instructions("ENV"))))
    settings = load({}, environment).settings
    assert (str(settings.data), settings.listen) == ("/var/lib/staffel", "0.0.0.0")


def test_it_starts_the_command_line_and_by_default_shows_its_help() -> None:
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["python", "-m", "deploy.cli"]
    assert json.loads(instructions("CMD")[0]) == ["--help"]
