"""The service's parts on a real database and a real SMTP server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from deploy.runtime.clock import RealClock
from deploy.runtime.settings import Settings, load
from schemas.events import Event
from services.kit.consumer import Batch, Received
from services.kit.database import open_engine
from services.notification.addresses import Addresses
from services.notification.database import open_for_sending
from services.notification.handler import Handler
from services.notification.outbox import Outbox
from services.notification.pace import Allowance, parse_quiet_hours
from services.notification.people import People
from services.notification.reach import Reach
from services.notification.renewals import Renewals
from services.notification.sender import Sender, Server
from services.notification.tables import MIGRATIONS, State, messages, metadata
from tests.databases import drop, postgres_url, sqlite_url
from tests.notification.facts import programme, received
from tests.notification.mailbox import Mailbox


class Desk:
    """Handler and sender beside a mailbox. What is ``told`` comes from the topics now, or so long ago."""

    def __init__(self, engine: Engine, outgoing: Engine, settings: Settings) -> None:
        self.engine, self.settings = engine, settings
        self.clock = RealClock()
        self.outgoing = outgoing
        self.handler = Handler(engine, self.clock, programme(), settings)
        reach = Reach(self.clock, programme(), Addresses(settings))
        self.renewals = Renewals(engine, self.clock, reach)
        self.people = People(engine, self.clock, reach)
        self.server = Server()
        self.senders: list[Sender] = []
        self.sender = self.another_sender()

    def with_settings(self, **changed: Any) -> Desk:
        """The same desk as it is with other settings."""
        return Desk(self.engine, self.outgoing, replace(self.settings, **changed))

    def another_sender(self, owner: str = "here:1") -> Sender:
        """A sender of another outbox than the desk's, as another process has one."""
        sender = Sender(self.another_outbox(owner), self.server, self.settings, self.clock, programme())
        self.senders.append(sender)
        return sender

    def another_outbox(self, owner: str) -> Outbox:
        """The outbox of another process."""
        return Outbox(
            self.outgoing,
            owner,
            clock=self.clock,
            programme=programme(),
            quiet=parse_quiet_hours(self.settings.quiet_hours),
            allowance=Allowance(self.settings.mail_per_minute),
        )

    def close(self) -> None:
        """Let go of all connections."""
        for sender in self.senders:
            sender.close()

    def told(self, *events: Event, ago: timedelta = timedelta()) -> None:
        """Handle events, each kind in a batch of its own."""
        at = self.clock.now() - ago
        for kind in dict.fromkeys(type(event) for event in events):
            self.handle([received(event, at) for event in events if type(event) is kind])

    def forget(self, partner_id: str) -> None:
        """Handle a tombstone."""
        self.handle([received(None, self.clock.now(), partner_id)])

    def handle(self, records: Iterable[Received]) -> None:
        """Handle records of one topic in one transaction."""
        records = list(records)
        with self.engine.begin() as connection:
            batch = Batch(connection, records)
            handle = {"partners": self.handler.partners, "preferences": self.handler.preferences}
            handle.get(records[0].topic.name, self.handler.events)(batch)

    def send(self) -> int:
        """Send all that is due."""
        return self.sender.step(seconds=20)

    def states(self) -> list[str]:
        """The states of all messages, oldest first."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(messages.c.state).order_by(messages.c.number)).scalars())

    def rows(self) -> list[dict[str, Any]]:
        """All messages, oldest first."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(select(messages).order_by(messages.c.number)).mappings()]

    def row(self) -> dict[str, Any]:
        """The only message."""
        (row,) = self.rows()
        return row

    def wait_is_over(self) -> None:
        """Make what was put off due."""
        with self.engine.begin() as connection:
            past = datetime(2000, 1, 1, tzinfo=UTC)
            connection.execute(update(messages).where(messages.c.state == State.PENDING).values(next_try_at=past))


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.close()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The service's database on each of the two kinds, made once: tests empty it."""
    sqlite = request.param == "sqlite"
    url = sqlite_url(tmp_path_factory.mktemp("notification")) if sqlite else postgres_url()
    engine = open_engine(url, MIGRATIONS)
    yield engine
    engine.dispose()
    if not sqlite:
        drop(url)


@pytest.fixture(scope="session")
def outgoing(engine: Engine) -> Iterator[Engine]:
    """The same database, as the sender opens it."""
    opened = open_for_sending(engine.url.render_as_string(hide_password=False))
    yield opened
    opened.dispose()


@pytest.fixture
def desk(engine: Engine, outgoing: Engine, mailbox: Mailbox, tmp_path: Path) -> Iterator[Desk]:
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    desk = Desk(engine, outgoing, load({"data": tmp_path / "data", "smtp_url": mailbox.url}, {}).settings)
    yield desk
    desk.close()
