"""Workers as real processes under a supervisor that starts again who has ended, and keeps what each ended of."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event as Flag
from threading import RLock, Thread
from typing import NamedTuple
from urllib.request import urlopen

import psutil

from deploy.embedded.stack import environment
from deploy.runtime.clock import clock_file
from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded, Port

SLOTS = 4
_PORTS_APART = 10
_KAFKA_FAILED = re.compile(r"KafkaException\(KafkaError\{code=(\w+)")
_UNACCOUNTED = re.compile(r"^rebate_unaccounted_records\{.*\} (\S+)$", re.MULTILINE)


class Ending(NamedTuple):
    """The end of a worker: whose, and of what. ``sound`` says whether a worker may end so."""

    slot: int
    reason: str
    sound: bool


class _Life:
    """One process in a slot, from its start to its end."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log
        self.sent = ""
        """The last signal that we sent to end it."""
        self.paused = False
        self.without_log = False
        """Whether its disk was full at some time, so that its last words may be missing."""


class Crew:
    """Workers in numbered slots, each with ports and a folder of its own. Who ends is started again."""

    def __init__(self, loaded: Loaded, seed: int) -> None:
        self.endings: list[Ending] = []
        self.starts = 0
        self.unaccounted = 0.0
        """The worst that any worker's own invariant came to; must stay zero."""
        self._loaded = loaded
        self._chance = random.Random(f"{seed}/crew")  # noqa: S311  # chaos, no secret
        self._lives: dict[int, _Life] = {}
        self._again: dict[int, float] = {}
        self._full: set[int] = set()
        self._over = Flag()
        self._lock = RLock()
        self._supervisor = Thread(target=self._supervise, name="crew", daemon=True)

    def start(self, number: int) -> None:
        """Start so many workers, and keep them alive."""
        for slot in range(number):
            self.add(slot)
        self._supervisor.start()

    def stop(self) -> None:
        """End all, in order, and the supervision."""
        self._over.set()
        if self._supervisor.ident is not None:
            self._supervisor.join(10)
        for slot in list(self._lives):
            self.remove(slot)

    @property
    def slots(self) -> list[int]:
        """Slots in use: a worker runs there, or will again in a moment."""
        return sorted(self._lives.keys() | self._again.keys())

    @property
    def running(self) -> list[int]:
        """Slots whose worker runs now and is not paused."""
        return [slot for slot, life in sorted(self._lives.items()) if not life.paused]

    def add(self, slot: int) -> None:
        """Start a worker in a free slot."""
        with self._lock:
            self._again.pop(slot, None)
            self._lives[slot] = self._spawn(slot)

    def remove(self, slot: int) -> None:
        """End a worker in order, for good."""
        with self._lock:
            self._again.pop(slot, None)
            life = self._lives.pop(slot, None)
        if life is not None:
            self._send(life, signal.SIGCONT)
            self._send(life, signal.SIGTERM)
            try:
                life.process.wait(30)
            except subprocess.TimeoutExpired:
                self.endings.append(Ending(slot, "did not end within 30 s of SIGTERM", sound=False))
                life.process.kill()
                life.process.wait()
            else:
                self.endings.append(_ending(slot, life))

    def end(self, slot: int, number: signal.Signals) -> None:
        """Send a signal that ends the worker; another one follows."""
        with self._lock:
            if slot in self._lives:
                self._send(self._lives[slot], number)

    def pause(self, slot: int) -> None:
        """SIGSTOP: it runs no more, and knows nothing of it."""
        with self._lock:
            if slot in self._lives:
                self._lives[slot].paused = True
                self._send(self._lives[slot], signal.SIGSTOP)

    def wake(self, slot: int) -> None:
        """SIGCONT, if it still is who was paused."""
        life = self._lives.get(slot)
        if life is not None and life.paused:
            self._send(life, signal.SIGCONT)
            life.paused = False

    def fill_disk(self, slot: int) -> None:
        """No file of the worker, its log included, can grow any more, as on a full disk; nor its successors'."""
        with self._lock:
            self._full.add(slot)
            if slot in self._lives:
                self._limit(self._lives[slot])

    def free_disk(self, slot: int) -> None:
        """Files can grow again."""
        with self._lock:
            self._full.discard(slot)
            if slot in self._lives:
                self._limit(self._lives[slot], full=False)

    def page(self, slot: int, path: str) -> str | None:
        """What a worker's health or metrics page says; None if it does not answer well."""
        address = f"http://127.0.0.1:{self._port_base(slot) + Port.WORKER}{path}"
        try:
            with urlopen(address, timeout=1) as answer:  # our own process
                return str(answer.read().decode())
        except OSError:
            return None

    def _supervise(self) -> None:
        looked = 0.0
        while not self._over.wait(0.1):
            with self._lock:
                for slot, life in list(self._lives.items()):
                    if life.process.poll() is not None:
                        self.endings.append(_ending(slot, life))
                        del self._lives[slot]
                        self._again[slot] = time.monotonic() + self._chance.uniform(0.3, 1.5)
                for slot, at in list(self._again.items()):
                    if time.monotonic() >= at:
                        self.add(slot)
            if time.monotonic() - looked > 1:
                looked = time.monotonic()
                for slot in self.running:
                    found = _UNACCOUNTED.findall(self.page(slot, "/metrics") or "")
                    self.unaccounted = max([self.unaccounted, *(abs(float(value)) for value in found)])

    def _spawn(self, slot: int) -> _Life:
        settings = self._loaded.settings
        folder = settings.data / f"worker-{slot}"
        folder.mkdir(exist_ok=True)
        clock = clock_file(settings)
        if not (folder / clock.name).is_symlink():
            (folder / clock.name).symlink_to(clock.resolve())  # one clock for all, whoever moves it
        self.starts += 1
        own = {
            "STAFFEL_DATA": str(folder),
            "STAFFEL_PORT_BASE": str(self._port_base(slot)),
            "STAFFEL_KAFKA": settings.kafka,
            "STAFFEL_REGISTRY_URL": settings.registry_url,
        }
        path = folder / f"{self.starts}.log"
        with path.open("ab") as log:
            command = [sys.executable, "-P", "-m", "streams"]
            process = subprocess.Popen(
                command, env={**environment(self._loaded), **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        life = _Life(process, path)
        if slot in self._full:
            self._limit(life)
        return life

    def _port_base(self, slot: int) -> int:
        return self._loaded.settings.port_base + _PORTS_APART * (slot + 1)

    def _send(self, life: _Life, number: signal.Signals) -> None:
        if life.process.poll() is None:
            if number not in (signal.SIGSTOP, signal.SIGCONT):
                life.sent = number.name
            life.process.send_signal(number)

    def _limit(self, life: _Life, full: bool = True) -> None:
        try:
            process = psutil.Process(life.process.pid)
            life.without_log |= full
            hard = process.rlimit(psutil.RLIMIT_FSIZE)[1]
            process.rlimit(psutil.RLIMIT_FSIZE, (0 if full else hard, hard))
        except psutil.NoSuchProcess:
            pass  # it has just ended


def _ending(slot: int, life: _Life) -> Ending:
    code = life.process.returncode
    if life.sent == "SIGKILL":
        return Ending(slot, "SIGKILL", sound=True)
    if code in (0, -signal.SIGTERM) and life.sent:
        return Ending(slot, life.sent, sound=True)
    if life.without_log:
        return Ending(slot, "no disk for its last words", sound=True)
    words = _last_words(life.log)
    if life.sent == "SIGTERM" and '"level": "info"' in words:
        return Ending(slot, "SIGTERM while it was still starting", sound=True)
    if "FENCED" in words or "INVALID_PRODUCER_EPOCH" in words:
        return Ending(slot, "fenced by the new owner", sound=True)
    failed = _KAFKA_FAILED.search(words)
    if failed:
        return Ending(slot, f"Kafka failed it, so it ended: {failed[1]}", sound=True)
    if code == Exit.NOT_READY:
        return Ending(slot, "something that it needs was away", sound=True)
    return Ending(slot, f"exit code {code}: {words or 'no last words'}", sound=False)


def _last_words(log: Path) -> str:
    lines: Sequence[str] = log.read_text("utf-8", "replace").splitlines()
    for line in reversed(lines):
        if line.startswith("worker: "):
            return line[len("worker: ") :]
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") == "critical":
            return str(entry.get("event"))
    return lines[-1][:300] if lines else ""
