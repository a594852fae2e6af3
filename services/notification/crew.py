"""Several senders at a time, each in a thread, so that neither reading nor a quick mail waits for a slow server.

Threads and ``smtplib`` do: a sender spends its time waiting for the server, and a dozen connections are as many as a
mail server likes to see from one client.
"""

from __future__ import annotations

import socket
import threading

from sqlalchemy import Engine

from deploy.runtime.clock import Clock
from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Port, Settings
from services.notification import metrics
from services.notification.outbox import Outbox
from services.notification.pace import Allowance, parse_quiet_hours
from services.notification.sender import Sender, Server
from streams.rules.terms import Programme

_SENDERS_MAX = 32
_LOOK_SECONDS = 0.2
_REST_SECONDS = 2.0


def open_outbox(engine: Engine, settings: Settings, clock: Clock, programme: Programme) -> Outbox:
    """The outbox of this process, which its host and its port name: no other that runs has the same."""
    return Outbox(
        engine,
        f"{socket.gethostname()[:60]}:{settings.port(Port.NOTIFICATION)}",
        clock=clock,
        programme=programme,
        quiet=parse_quiet_hours(settings.quiet_hours),
        allowance=Allowance(settings.mail_per_minute),
    )


class Crew:
    """The senders of a process. ``start`` them, ``wake`` them when there is something new, ``stop`` them."""

    def __init__(self, engine: Engine, settings: Settings, clock: Clock, programme: Programme) -> None:
        if not 1 <= settings.mail_senders <= _SENDERS_MAX:
            raise UsageError(f"mail_senders can't be {settings.mail_senders}", f"choose 1 to {_SENDERS_MAX}")
        self._outbox = open_outbox(engine, settings, clock, programme)
        self._server = Server()
        self._senders = [
            Sender(self._outbox, self._server, settings, clock, programme) for _ in range(settings.mail_senders)
        ]
        self._threads: list[threading.Thread] = []
        self._news = threading.Condition()
        self._stopping = threading.Event()
        self.failure: Exception | None = None
        """What ended a sender that was not told to stop. The process must end, too: it would send less and less."""

    @property
    def problem(self) -> str | None:
        """What is wrong with the mail server, as far as is known."""
        return self._server.problem

    def start(self) -> None:
        """Send from now on. What an earlier process left half done comes first."""
        self._outbox.take_back()
        for number, sender in enumerate(self._senders):
            # All can be woken; when nobody does, one looking now and then is enough.
            rest = _LOOK_SECONDS if number == 0 else _REST_SECONDS
            thread = threading.Thread(target=self._work, args=(sender, rest), name=f"sender-{number}")
            thread.start()
            self._threads.append(thread)

    def wake(self) -> None:
        """There is something new to send."""
        with self._news:
            self._news.notify_all()

    def stop(self) -> None:
        """End after the mails that are under way."""
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            thread.join()
        for sender in self._senders:
            sender.close()

    def measure(self) -> None:
        """Set the gauges."""
        self._outbox.measure()
        metrics.SERVER.set(0 if self.problem else 1)

    def _work(self, sender: Sender, rest: float) -> None:
        try:
            while not self._stopping.is_set():
                if not sender.step(stopping=self._stopping.is_set):
                    with self._news:
                        self._news.wait(rest)
        except Exception as failure:  # noqa: BLE001 - the main thread raises it again
            self.failure = failure
