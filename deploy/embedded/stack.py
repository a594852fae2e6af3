"""The whole stack on one machine, as one object: started, awaited, stopped.

    with Stack(load(flags)) as stack:
        stack.wait_ready()

Settings that name a real Kafka, registry or mail server instead of the embedded one keep that part from being started.
"""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from threading import Event
from types import TracebackType
from typing import Any

from deploy.embedded import fetch, java, kafka, ports, registry, trouble
from deploy.embedded.child import Child, Part
from deploy.embedded.fetch import Report
from deploy.embedded.folder import Folder
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import NotReady, StaffelError, UsageError
from deploy.runtime.settings import PREFIX, ROOT, Loaded, Port, Settings

PARTS = {"kafka": "kafka", "registry": "registry_url", "mail": "smtp_url"}
"""The embedded parts, and for each the setting that replaces it."""

SERVICES = {
    "worker": ("streams", Port.WORKER),
    "notification": ("services.notification", Port.NOTIFICATION),
    "payout": ("services.payout", Port.PAYOUT),
    "portal": ("services.portal", Port.PORTAL_METRICS),
}
"""Our processes: the module that each runs, and the port of its health and metrics."""

_FURTHER_WORKERS = {
    f"worker-{number}": ("streams", port)
    for number, port in enumerate((Port.WORKER_2, Port.WORKER_3, Port.WORKER_4), start=2)
}

_PORTS = {
    "kafka": {Port.KAFKA: "Kafka", Port.CONTROLLER: "Kafka's controller"},
    "registry": {Port.REGISTRY: "schema registry"},
    "mail": {Port.SMTP: "mail catcher", Port.INBOX: "inbox"},
    "worker": {Port.WORKER: "worker's metrics"},
    **{name: {port: f"metrics of {name}"} for name, (_, port) in _FURTHER_WORKERS.items()},
    "notification": {Port.NOTIFICATION: "notification's metrics", Port.NOTIFICATION_OFFICE: "notification's office"},
    "payout": {Port.PAYOUT: "payout's metrics", Port.PAYOUT_OFFICE: "payout's office"},
    "portal": {Port.PORTAL: "portal", Port.PORTAL_METRICS: "portal's metrics"},
}
_GRACE = 2.5  # seconds from SIGTERM to SIGKILL; a stop takes less than three
_GRACE_SERVICES = 1.5  # of these are the services', who may still want to write to Kafka


class Stack:
    """Kafka, registry, mail catcher and our processes, supervised by this process."""

    def __init__(
        self,
        loaded: Loaded,
        parts: Iterable[str] | None = None,
        services: Sequence[str] = tuple(SERVICES),
        report: Report = lambda _line: None,
        create_topics: bool = True,
    ) -> None:
        """``parts`` names the embedded parts to run, by default those that no setting replaces.

        ``report`` is called with lines for the terminal. ``create_topics`` says whether the start creates the topics
        and registers the schemas.
        """
        self.settings: Settings = loaded.settings
        self.failure: StaffelError | None = None
        """Why the stack gave up, once it has."""
        self.ready = False
        """Whether everything was ready once."""
        self.over = Event()
        """Set when the stack has given up."""
        self._stated = stated(loaded)
        self._environment = environment(loaded)
        embedded = [name for name, replaced_by in PARTS.items() if loaded.sources[replaced_by] == "derived"]
        self.parts = embedded if parts is None else list(parts)
        self._processes = processes(self.settings)
        further = [name for name in self._processes if name in _FURTHER_WORKERS and "worker" in services]
        self.services = [*services, *further]
        self._create_topics = create_topics
        self._report = report
        self._folder = Folder(self.settings.data)
        self._children: dict[str, Child] = {}

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Take the data folder, check the ports, start the parts; the processes follow in ``wait_ready``.

        Raises StaffelError with the way out; nothing runs then.
        """
        public = {name: value for name, value in self._stated.items() if name not in _SECRETS}
        self._folder.take(public)
        try:
            wanted = {port: what for name in (*self.parts, *self.services) for port, what in _PORTS[name].items()}
            ports.demand_free(self.settings, wanted)
            open_clock(self.settings)
            for part in self._prepared():
                self._launch(part)
        except BaseException:
            self.stop()
            raise

    def wait_ready(self, seconds: float = 180) -> None:
        """Wait for the parts, create the topics, start our processes, wait for them. On any error all is stopped."""
        deadline = time.monotonic() + seconds
        try:
            if self._create_topics:
                importlib.import_module("services.intake.topics")  # takes a while, which the parts need anyway
            self._await(self.parts, deadline)
            if self._create_topics:
                self._make_topics()
            for name in self.services:
                self._launch(self._service(name))
            self._await(self.services, deadline)
            self.ready = True
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything: services, then parts; who does not end in time is killed. Data stays."""
        begun = time.monotonic()
        services = [child for name, child in self._children.items() if name in self.services]
        parts = [child for name, child in self._children.items() if name not in self.services]
        for group, grace in ((services, _GRACE_SERVICES), (parts, _GRACE)):
            for child in group:
                child.ask_to_stop()
            for child in group:
                child.stopped(begun + grace - time.monotonic())
        for child in self._children.values():
            if not child.stopped(0):
                child.kill()
                child.stopped(5)
        self._children.clear()
        self._folder.release()

    def kill_all(self) -> None:
        """SIGKILL to everything, at once. For impatient users; data survives it."""
        for child in list(self._children.values()):
            child.kill()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send one process a signal; when it ends of it, it is started again."""
        self._children[name].send(number)

    def await_ready(self, name: str, seconds: float = 60) -> None:
        """Wait until one process is ready (again). Raises NotReady."""
        self._await([name], time.monotonic() + seconds)

    def pid(self, name: str) -> int | None:
        """The process id of a part or service, while it runs."""
        child = self._children.get(name)
        return child.pid if child else None

    def restarts(self, name: str) -> int:
        """How often it was started again."""
        return self._children[name].restarts

    def _prepared(self) -> Iterable[Part]:
        if "kafka" in self.parts or "registry" in self.parts:
            runtime = java.find()
            fetched = fetch.fetch(self._report)
            if "registry" in self.parts:  # first: it needs the longest
                command = registry.prepare(self.settings, runtime, fetched.registry)
                yield self._part("registry", command, partial(trouble.registry, self.settings))
            if "kafka" in self.parts:
                command = kafka.prepare(self.settings, runtime, fetched.kafka_jars)
                yield self._part("kafka", command, partial(trouble.kafka, self.settings))
        if "mail" in self.parts:
            yield self._part("mail", _module("deploy.embedded.mail"), partial(trouble.inbox, self.settings))

    def _service(self, name: str) -> Part:
        module, port = self._processes[name]
        number = self.settings.port(port)
        own = {f"{PREFIX}WORKER_PORT": str(number)} if name in _FURTHER_WORKERS else {}
        return self._part(name, _module(module), partial(trouble.page, f"http://127.0.0.1:{number}/healthz"), own)

    def _part(self, name: str, command: list[str], look: Callable[[], str | None], own: Mapping[str, str] = {}) -> Part:
        return Part(name, command, look, {**self._environment, **(java.ENVIRONMENT if name in PARTS else own)})

    def _launch(self, part: Part) -> None:
        child = Child(part, self._folder, self._give_up)
        self._children[part.name] = child
        child.start()

    def _await(self, names: Sequence[str], deadline: float) -> None:
        waiting = list(names)
        while waiting:
            if self.failure:
                raise self.failure
            for name in [name for name in waiting if self._children[name].ready.is_set()]:
                waiting.remove(name)
                self._report(f"{name} is ready after {self._children[name].ready_after:.1f} s")
            if waiting and time.monotonic() > deadline:
                found = self._children[waiting[0]].part.trouble()
                raise NotReady(f"{waiting[0]} is not ready: {found}", f"see {self._folder.log(waiting[0])}")
            self.over.wait(0.02)

    def _make_topics(self) -> None:
        from services.intake import topics

        created = topics.create(self.settings)
        if "kafka" in self.parts:  # our own broker's: what an older version created is set as this one needs it
            topics.mend(self.settings)
        self._report(
            f"{len(created)} topics created, schemas registered" if created else "topics and schemas are there"
        )

    def _give_up(self, name: str) -> None:
        log = self._folder.log(name)
        lines = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
        last = f"; its last words: {lines[-1][:200]}" if lines else ""
        self.failure = StaffelError(f"{name} does not stay up{last}", f"its log: {log}", code="gave-up")
        self.over.set()


def processes(settings: Settings) -> Mapping[str, tuple[str, Port]]:
    """``SERVICES`` and as many further workers as the settings say. Raises UsageError if that does not work."""
    most = min(1 + len(_FURTHER_WORKERS), settings.partitions)
    if not 1 <= settings.workers <= most:
        raise UsageError(
            f"workers can't be {settings.workers}",
            f"choose 1 to {most}: one needs a partition of its own, and up starts no more than four",
        )
    return SERVICES | dict(itertools.islice(_FURTHER_WORKERS.items(), settings.workers - 1))


_SECRETS = {name for name, row in Settings.__dataclass_fields__.items() if row.metadata["secret"]}


def stated(loaded: Loaded) -> dict[str, Any]:
    """The settings that somebody said, as opposed to the defaults and what follows from others."""
    values = {name: getattr(loaded.settings, name) for name, source in loaded.sources.items()}
    said = {name: value for name, value in values.items() if loaded.sources[name] not in ("default", "derived")}
    here = {"data": str(loaded.settings.data.resolve()), "port_base": loaded.settings.port_base}
    return said | here


def environment(loaded: Loaded) -> Mapping[str, str]:
    """The environment for a process of ours that shall see the same settings."""
    own = {f"{PREFIX}{name.upper()}": str(value) for name, value in stated(loaded).items()}
    unset = {f"{PREFIX}{name.upper()}_FILE" for name in _SECRETS}
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    return {**inherited, **own, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def _module(name: str) -> list[str]:
    return [sys.executable, "-P", "-m", name]  # -P: the user's folder may hold a module of the same name
