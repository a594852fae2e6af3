"""The data folder of a stack: who runs on it, and what a stack that was killed left running."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import psutil

from deploy.runtime.errors import StaffelError, UsageError

_SAME_START = 0.05  # seconds; a process that started at another moment only inherited the number


class Running(NamedTuple):
    """A stack that runs on a data folder: its supervisor, and the settings it was told (without secrets)."""

    pid: int
    started: float
    settings: dict[str, Any]


class Folder:
    """``DATA``, held by one supervisor at a time."""

    def __init__(self, data: Path) -> None:
        self.data = data.resolve()
        self._run = self.data / "run"
        self._lock = filelock.FileLock(self._run / "lock")

    def take(self, settings: Mapping[str, Any]) -> None:
        """Hold the folder until ``release`` or the end of this process, however it comes.

        Raises StaffelError if another stack holds it, UsageError if it can't be written.
        """
        if "," in str(self.data) or ";" in str(self.data):
            raise UsageError(f"the data folder {self.data} has a comma or semicolon in its name", "choose --data DIR")
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("run", "logs"):
                (self.data / name).mkdir(exist_ok=True)
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            other = running(self.data)
            raise StaffelError(
                f"a stack already runs on {self.data}" + (f" (pid {other.pid})" if other else ""),
                "stop it with ./staffel down, or start another one with --data DIR --port-base N",
                code="already-running",
            ) from None
        except OSError as error:
            raise UsageError(f"can't use the data folder {self.data}: {error.strerror}", "choose --data DIR") from None
        self._end_leftovers()
        started = psutil.Process().create_time()
        _write(self._run / "stack.json", json.dumps(Running(os.getpid(), started, dict(settings))._asdict()))

    def release(self) -> None:
        """Let the folder go, if we hold it."""
        if not self._lock.is_locked:
            return
        (self._run / "stack.json").unlink(missing_ok=True)
        self._lock.release()

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self.data / "logs" / f"{name}.log"

    def remember(self, name: str, pid: int) -> None:
        """Note a process that we started, for the case that we can't end it ourselves."""
        try:
            _write(self._run / f"{name}.pid", f"{pid} {psutil.Process(pid).create_time()}")
        except psutil.NoSuchProcess:  # it ended at once
            self.forget(name)

    def forget(self, name: str) -> None:
        """The process has ended."""
        (self._run / f"{name}.pid").unlink(missing_ok=True)

    def _end_leftovers(self) -> None:
        ending = []
        for path in self._run.glob("*.pid"):
            fields = path.read_text("utf-8").split()
            leftover = _process(int(fields[0]), float(fields[1])) if len(fields) == 2 else None
            if leftover:
                leftover.terminate()
                ending.append(leftover)
            path.unlink()
        for stubborn in psutil.wait_procs(ending, timeout=3)[1]:
            stubborn.kill()


def running(data: Path) -> Running | None:
    """The stack that runs on a data folder, if one does."""
    path = data / "run" / "stack.json"
    try:
        found = Running(**json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None
    return found if _process(found.pid, found.started) else None


def is_ours(data: Path) -> bool:
    """Whether a stack made this folder."""
    return (data / "run").is_dir() and (data / "logs").is_dir()


def _process(pid: int, started: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        alive = process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < _SAME_START
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def _write(path: Path, text: str) -> None:
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(text, "utf-8")
    draft.replace(path)
