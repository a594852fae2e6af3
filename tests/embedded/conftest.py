"""A folder and ports of one's own, and the command line as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.runtime.settings import ROOT, Loaded, load
from tests.conftest import free_ports
from tests.waiting import until


@pytest.fixture
def port_base() -> int:
    """The first of our free ports."""
    return free_ports()


@pytest.fixture
def stack_settings(tmp_path: Path, port_base: int) -> Loaded:
    """Settings of a stack of one's own, which does not run yet."""
    return load({"data": tmp_path / "data", "port_base": port_base}, {})


class CommandLine:
    """Runs commands on one data folder, as processes of their own."""

    def __init__(self, folder: Path, port_base: int) -> None:
        self.folder = folder
        self.data = folder / "Bücher & Daten"  # as people name folders
        self.port_base = port_base
        self._running: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, seconds: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        command, environ = self._command(arguments, environment)
        return subprocess.run(command, env=environ, cwd=self.folder, capture_output=True, text=True, timeout=seconds)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command and let it run; what is left of it at the test's end is ended."""
        command, environ = self._command(arguments, environment)
        said = (self.folder / "said").open("w")
        started = subprocess.Popen(
            command, env=environ, cwd=self.folder, stdout=subprocess.PIPE, stderr=said, text=True
        )
        self._running.append(started)
        return started

    def up(self, *arguments: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """``up --json``, and what it says when it is ready."""
        started = self.start("up", "--json", "--port-base", str(self.port_base), *arguments)
        assert started.stdout is not None
        line = started.stdout.readline()
        assert line, f"up ended: {(self.folder / 'said').read_text()}"
        return started, json.loads(line)

    def children(self) -> dict[str, int]:
        """The pids of the processes of the stack, by name."""
        found = (self.data / "run").glob("*.pid")
        return {path.stem: int(path.read_text().split()[0]) for path in found}

    def close(self) -> None:
        """End what still runs."""
        for process in self._running:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()

    def _command(self, arguments: tuple[str, ...], environment: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("STAFFEL_")}
        cache = {"STAFFEL_CACHE": os.environ["STAFFEL_CACHE"]} if "STAFFEL_CACHE" in os.environ else {}
        own = {"PYTHONPATH": str(ROOT), "STAFFEL_DATA": str(self.data)}
        return [sys.executable, "-P", "-m", "deploy.cli", *arguments], {**inherited, **cache, **own, **environment}


@pytest.fixture
def staffel(tmp_path: Path, port_base: int) -> Iterator[CommandLine]:
    """The command line on an empty data folder."""
    line = CommandLine(tmp_path, port_base)
    yield line
    line.close()


def gone(pids: list[int]) -> bool:
    """Wait until none of these processes runs any more."""

    def none_left() -> bool:
        return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)

    return until(none_left, 10, f"the end of {pids}")
