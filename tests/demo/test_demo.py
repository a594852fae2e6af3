"""The demo as a user runs it."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

from deploy.runtime.errors import Exit
from tests.conftest import free_ports
from tests.story.commands import COMMAND, Browser, environment

SMALL = ["--partners", "60", "--seconds", "20"]


def test_demo_plays_a_quarter_is_right_stays_to_be_looked_at_and_leaves_nothing(tmp_path: Path) -> None:
    port_base = free_ports()
    demo = subprocess.Popen(
        [*COMMAND, "demo", *SMALL, "--port-base", str(port_base)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment() | {"TMPDIR": str(tmp_path)},
    )
    try:
        assert demo.stdout is not None
        said = ""
        for line in demo.stdout:
            said += line
            if "Ctrl-C stops it" in line:
                break
        assert "60 of 60 right" in said
        assert re.search(r"Differences +none", said)

        portal = Browser(f"http://127.0.0.1:{port_base}")
        clawback, _, _, closed, vendor = re.findall(r"http://\S+/l/\S+", said)
        assert "49" in portal.enter(clawback)
        assert "2026" in portal.enter(vendor)
        assert "uw bank heeft onze overboeking niet geaccepteerd" in Browser(f"http://127.0.0.1:{port_base}").enter(
            closed
        )
        assert "mail" in Browser("").get(re.search(r"Inbox +(\S+)", said)[1]).lower()  # type: ignore[index]
        files = re.findall(r"Payment file +(\S+)", said)
        assert files
        assert all(Path(path).read_bytes().startswith(b"<?xml") for path in files)

        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == Exit.OK
        assert not list(tmp_path.glob("staffel-demo-*"))
    finally:
        demo.kill()
        demo.wait(30)


def test_demo_does_not_play_on_a_real_part(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "demo", *SMALL],
        capture_output=True,
        text=True,
        env=environment() | {"STAFFEL_KAFKA": "kafka.example:9092"},
        timeout=60,
        check=False,
    )
    assert done.returncode == Exit.USAGE
    assert "STAFFEL_KAFKA names a real one" in done.stderr
    assert "unset STAFFEL_KAFKA" in done.stderr


def test_demo_does_not_begin_in_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    done = subprocess.run(
        [*COMMAND, "demo", *SMALL, "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode == Exit.USAGE
    assert "is not empty" in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.txt"]
