"""A process that ends is started again; one that can't live is given up; none outlives its supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.embedded.child import Child, Part
from deploy.embedded.folder import Folder, running
from deploy.runtime.errors import StaffelError, UsageError
from deploy.runtime.settings import ROOT
from tests.embedded.conftest import gone
from tests.waiting import until


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    held = Folder(tmp_path / "data")
    held.take({})
    yield held
    held.release()


def part(script: str, is_ready: bool = True) -> Part:
    """A process that runs a Python script."""
    look = (lambda: None) if is_ready else (lambda: "not yet")
    return Part("part", [sys.executable, "-c", script], look, dict(os.environ))


LIVES = "import signal; signal.pause()"


def test_killed_process_is_started_again(folder: Folder) -> None:
    child = Child(part(LIVES), folder, lambda _name: None)
    child.start()
    assert child.ready.wait(10)
    first = child.pid
    child.send(signal.SIGKILL)
    until(lambda: child.pid not in (None, first), 10, "another process")
    child.ask_to_stop()
    assert child.stopped(10)
    assert child.restarts == 1


def test_process_that_never_gets_ready_is_given_up_after_five_deaths(folder: Folder) -> None:
    given_up: list[str] = []
    child = Child(part("print('no disk')", is_ready=False), folder, given_up.append)
    child.start()
    assert child.stopped(30)
    assert given_up == ["part"]
    assert folder.log("part").read_text().splitlines() == ["no disk"] * 5


def test_wrong_setting_is_not_tried_again(folder: Folder) -> None:
    given_up: list[str] = []
    child = Child(part("import sys; sys.exit(2)", is_ready=False), folder, given_up.append)
    child.start()
    assert child.stopped(10)
    assert (given_up, child.restarts) == (["part"], 0)


def test_process_that_ignores_sigterm_is_killed(folder: Folder) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('deaf', 'w').close(); signal.pause()"
    mark = folder.data / "deaf"
    child = Child(part(deaf.replace("'deaf'", repr(str(mark)))), folder, lambda _name: None)
    child.start()
    until(mark.exists, 10, "the process")
    child.ask_to_stop()
    assert not child.stopped(0.2)
    child.kill()
    assert child.stopped(10)


SUPERVISOR = f"""
import sys
from pathlib import Path
from deploy.embedded.child import Child, Part
from deploy.embedded.folder import Folder
folder = Folder(Path(sys.argv[1]))
folder.take({{}})
child = Child(Part("part", [sys.executable, "-c", {LIVES!r}], lambda: None, {{}}), folder, print)
child.start()
child.ready.wait()
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that supervises one on the folder ``data``."""
    started = subprocess.Popen(
        [sys.executable, "-P", "-c", SUPERVISOR, str(tmp_path / "data")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield started
    started.kill()
    started.communicate()


def test_no_process_outlives_a_killed_supervisor(supervisor: subprocess.Popen[str], tmp_path: Path) -> None:
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    found = running(tmp_path / "data")
    assert found is not None
    assert found.pid == supervisor.pid
    supervisor.kill()
    assert gone([pid])
    supervisor.wait()
    assert running(tmp_path / "data") is None


def test_second_stack_on_a_folder_is_refused_until_the_first_is_gone(
    supervisor: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert supervisor.stdout is not None
    supervisor.stdout.readline()
    second = Folder(tmp_path / "data")
    with pytest.raises(StaffelError, match=f"already runs on .*pid {supervisor.pid}") as refused:
        second.take({})
    assert "./staffel down" in refused.value.hint
    supervisor.kill()
    supervisor.wait()
    second.take({})
    second.release()


def test_leftover_is_ended_by_the_next_start_but_a_stranger_with_its_number_is_not(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    folder.take({})
    ours, stranger = (subprocess.Popen([sys.executable, "-c", LIVES]) for _ in range(2))
    folder.remember("ours", ours.pid)
    begun_otherwise = psutil.Process(stranger.pid).create_time() - 3600
    (tmp_path / "data" / "run" / "stranger.pid").write_text(f"{stranger.pid} {begun_otherwise}")
    folder.release()
    folder.take({})
    assert gone([ours.pid])
    ours.wait()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    folder.release()


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(UsageError, match="can't use the data folder"):
        Folder(tmp_path / "data").take({})
