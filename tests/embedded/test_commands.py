"""The commands around the stack, without one: help, errors, exit codes."""

from __future__ import annotations

import json
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import typer.main

from deploy.cli.main import COMMANDS, PROGRAM, app, run
from deploy.runtime.errors import Exit
from deploy.runtime.settings import Port
from tests.embedded.conftest import CommandLine

NAMES = [name for rows in COMMANDS.values() for name in rows]


@pytest.fixture
def quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, port_base: int) -> Path:
    """No settings from outside; an empty data folder."""
    data = tmp_path / "data"
    monkeypatch.setenv("STAFFEL_DATA", str(data))
    monkeypatch.setenv("STAFFEL_PORT_BASE", str(port_base))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return data


def commands() -> list[list[str]]:
    """Every command, those within groups too, as words."""
    group: Any = typer.main.get_command(app)

    def within(command: Any) -> list[list[str]]:
        inner = getattr(command, "commands", {})
        return [[name, *words] for name, found in inner.items() for words in within(found)] or [[]]

    return [[name, *words] for name in NAMES for words in within(group.get_command(None, name))]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_of_every_command_has_an_example_and_the_exit_codes(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--help"]) == Exit.OK
    help_text = capsys.readouterr().out
    examples = help_text.split("\n", 1)[1]
    assert " ".join([PROGRAM, *words]) in examples
    assert "Exit codes:" in help_text


def test_help_lists_every_command_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == Exit.OK
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in NAMES)
    assert all(f"{int(code):>3}  {code.meaning}" in shown for code in Exit)


def test_mistyped_command_is_answered_with_the_one_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stauts"]) == Exit.USAGE
    assert "Did you mean 'status'" in capsys.readouterr().err


def test_with_json_an_error_is_one_object(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFFEL_DATTA", "x")
    assert run(["status", "--json"]) == Exit.USAGE
    said = json.loads(capsys.readouterr().err)
    assert said == {
        "code": "usage",
        "message": "STAFFEL_DATTA is not a setting of Staffel",
        "hint": "did you mean STAFFEL_DATA?",
    }


def test_error_that_nobody_foresaw_shows_no_traceback_but_keeps_one(
    quiet_environment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_data: Path) -> None:
        raise LookupError("odd")

    monkeypatch.setattr("deploy.embedded.folder.running", fail)
    assert run(["down"]) == Exit.FAILED
    said = capsys.readouterr().err
    assert "LookupError: odd" in said
    assert "Traceback" not in said
    assert "Traceback" in (tmp_path / "state" / "staffel" / "last-error.txt").read_text()
    assert run(["--debug", "down"]) == Exit.FAILED
    assert "Traceback" in capsys.readouterr().err


def test_status_of_nothing_says_what_is_missing_and_ends_with_4(
    quiet_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["status", "--json"]) == Exit.NOT_READY
    said = json.loads(capsys.readouterr().out)
    assert said["ready"] is False
    names = ["kafka", "registry", "mail", "worker", "notification", "payout", "portal"]
    assert [part["part"] for part in said["parts"]] == names
    assert all(part["trouble"] for part in said["parts"])


def test_down_and_clean_of_nothing_are_fine(quiet_environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down"]) == Exit.OK
    assert run(["clean", "--yes"]) == Exit.OK
    assert "nothing to delete" in capsys.readouterr().out


def test_clean_does_not_delete_a_folder_that_is_no_stacks(
    quiet_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet_environment.mkdir()
    (quiet_environment / "thesis.txt").write_text("years of work")
    assert run(["clean", "--yes"]) == Exit.USAGE
    assert "does not look like" in capsys.readouterr().err
    assert (quiet_environment / "thesis.txt").exists()


def test_clean_without_anybody_to_ask_wants_yes(staffel: CommandLine) -> None:
    for name in ("run", "logs"):
        (staffel.data / name).mkdir(parents=True)
    asked = staffel.run("clean")
    assert asked.returncode == Exit.USAGE
    assert "say --yes" in asked.stderr
    assert staffel.run("clean", "--yes").returncode == Exit.OK
    assert not staffel.data.exists()


def test_taken_port_is_named_with_its_part_and_a_free_base(staffel: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", staffel.port_base + Port.REGISTRY)):
        refused = staffel.run("up", "--port-base", str(staffel.port_base))
    assert refused.returncode == Exit.NOT_READY
    assert f"port {staffel.port_base + Port.REGISTRY} (schema registry" in refused.stderr
    assert "--port-base " in refused.stderr
    assert staffel.children() == {}


def test_up_with_a_java_that_is_none_is_a_sentence(staffel: CommandLine) -> None:
    refused = staffel.run("up", "--port-base", str(staffel.port_base), STAFFEL_JAVA="/nowhere/java")
    assert refused.returncode == Exit.NOT_READY
    assert "STAFFEL_JAVA is /nowhere/java, which is no Java that runs" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_clock_of_real_time_can_be_read_but_not_moved(
    quiet_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["clock", "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["test"] is False
    assert run(["clock", "advance", "14d"]) == Exit.USAGE
    assert "--clock" in capsys.readouterr().err
    assert not (quiet_environment / "clock.json").exists()


def test_test_clock_is_moved_forward_only(quiet_environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet_environment.mkdir()
    (quiet_environment / "clock.json").write_text("[[0, 0, 1e-9]]")
    assert run(["clock", "to", "2026-10-01T00:00:00Z"]) == Exit.OK
    assert run(["clock", "advance", "2w"]) == Exit.OK
    assert "2026-10-15 00:00:00 UTC, test time" in capsys.readouterr().out
    assert run(["clock", "to", "2026-10-01"]) == Exit.USAGE
    assert run(["clock", "advance", "soon"]) == Exit.USAGE
    assert "write it like 90m, 36h, 14d or 2w" in capsys.readouterr().err


def test_doctor_of_a_sound_machine_ends_with_0(quiet_environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == Exit.OK
    said = json.loads(capsys.readouterr().out)
    assert said["healthy"] is True
    looked_at = {finding["what"] for finding in said["findings"]}
    assert {"python", "disk", "memory", "java", "downloads", "ports", "programme", "kafka"} <= looked_at
    assert not quiet_environment.exists(), "it changes nothing"


def test_doctor_finds_a_broken_programme_and_a_damaged_database(
    quiet_environment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    programme = tmp_path / "programme.toml"
    programme.write_text("id = 'p'\nname = 'P'\ntime_zone = 'Mars/Base'\nterms = []\nproducts = []\n")
    quiet_environment.mkdir()
    (quiet_environment / "payout.db").write_bytes(b"no database at all, but some bytes of another kind" * 20)
    with sqlite3.connect(quiet_environment / "portal.db") as sound:
        sound.execute("CREATE TABLE t (x)")
    sound.close()
    assert run(["doctor", "--json", "--programme", str(programme)]) == Exit.DIFFERS
    findings = {finding["what"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["programme"]["level"] == "fail"
    assert findings["payout's database"]["level"] == "fail"
    assert findings["portal's database"]["level"] == "pass"
    assert all(finding["hint"] for finding in findings.values() if finding["level"] == "fail")


def test_env_prints_lines_that_a_shell_takes(quiet_environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["env", "--json"]) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert run(["env"]) == Exit.OK
    assert capsys.readouterr().out.splitlines() == [f"export {name}={value}" for name, value in found.items()]
    assert "STAFFEL_KAFKA" not in found, "with it, the next up would take the broker for somebody else's"


def test_address_that_is_not_this_machines_is_refused(staffel: CommandLine) -> None:
    refused = staffel.run("up", "--port-base", str(staffel.port_base), "--listen", "203.0.113.7")
    assert refused.returncode == Exit.USAGE
    assert "listen can't be '203.0.113.7'" in refused.stderr
