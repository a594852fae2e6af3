"""A process under supervision: started, watched until it is ready, started again when it ends."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Lock, Thread
from typing import NamedTuple

from deploy.embedded.folder import Folder
from deploy.runtime.errors import Exit

_TETHER = Path(__file__).with_name("tether.py")
_LOG_LIMIT = 20_000_000  # bytes; a larger log is put aside at the next start, one generation is kept
_LOOK_EVERY = 0.1  # seconds, until it is ready
_EARLY_DEATHS = 5
_BACKOFF_LONGEST = 5.0  # seconds


class Part(NamedTuple):
    """What the supervisor needs to know of a process."""

    name: str
    command: list[str]
    trouble: Callable[[], str | None]
    """What keeps it from being used, or None."""
    environment: Mapping[str, str]


class Child:
    """One process, kept alive by a thread of its own until it is stopped.

    The thread that starts a process outlives it: the kernel's "your parent is gone" means the thread.
    """

    def __init__(self, part: Part, folder: Folder, gave_up: Callable[[str], None]) -> None:
        self.part = part
        self.ready = Event()
        self.ready_after = 0.0
        """Seconds from the last start to being ready."""
        self.restarts = 0
        self._folder = folder
        self._gave_up = gave_up
        self._stopping = Event()
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = Thread(target=self._keep_alive, name=f"keep {part.name} alive", daemon=True)

    @property
    def pid(self) -> int | None:
        """Its number, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process and keep it alive."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """SIGTERM, and no restart."""
        self._stopping.set()
        self.send(signal.SIGTERM)

    def stopped(self, within: float) -> bool:
        """Wait so many seconds for its end."""
        self._thread.join(max(0.0, within))
        return not self._thread.is_alive()

    def kill(self) -> None:
        """SIGKILL, and no restart."""
        self._stopping.set()
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        with self._lock:
            if self._process and self._process.poll() is None:
                self.ready.clear()
                self._process.send_signal(number)

    def _keep_alive(self) -> None:
        early_deaths = 0
        while not self._stopping.is_set():
            process = self._spawn()
            if process is None:
                break
            was_ready = self._until_ready(process)
            code = process.wait()
            self.ready.clear()
            self._folder.forget(self.part.name)
            if self._stopping.is_set():
                break
            early_deaths = 0 if was_ready else early_deaths + 1
            if early_deaths >= _EARLY_DEATHS or code == Exit.USAGE:  # a wrong setting does not mend itself
                self._gave_up(self.part.name)
                break
            self.restarts += 1
            pause = min(_BACKOFF_LONGEST, 0.2 * 2**early_deaths)
            self._stopping.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        log = self._folder.log(self.part.name)
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
        tether = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid())]
        with self._lock, log.open("ab") as output:
            if self._stopping.is_set():
                return None
            self._process = subprocess.Popen(
                [*tether, *self.part.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self.part.environment),
                start_new_session=True,  # the terminal's Ctrl-C is for the supervisor, which stops them in order
            )
        self._folder.remember(self.part.name, self._process.pid)
        return self._process

    def _until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        started = time.monotonic()
        while process.poll() is None:
            if self.part.trouble() is None:
                self.ready_after = time.monotonic() - started
                self.ready.set()
                return True
            self._stopping.wait(_LOOK_EVERY)
        return False
