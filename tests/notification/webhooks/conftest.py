"""Endpoints of partners on a real database, the sender, and a partner's server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from deploy.runtime.clock import RealClock
from deploy.runtime.settings import Settings
from schemas.events import Event
from services.kit.consumer import Batch, Received
from services.kit.database import reading
from services.kit.sealing import Sealer
from services.notification.addresses import Addresses
from services.notification.reach import Reach
from services.notification.tables import DeliveryState, webhook_deliveries, webhook_endpoints
from services.notification.webhooks import deliveries, endpoints
from services.notification.webhooks.deliveries import Recorder
from services.notification.webhooks.endpoints import Added
from services.notification.webhooks.notices import Notices
from services.notification.webhooks.request import Poster
from services.notification.webhooks.sender import Sender
from services.notification.webhooks.target import Gate
from tests.notification.conftest import Desk
from tests.notification.facts import partner, programme, received
from tests.notification.webhooks.receiver import Receiver, trusting

GATE = Gate(insecure=True)
SEALER = Sealer("a key of the tests", "webhooks")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Hub:
    """Recorder and sender. What is ``told`` comes from the topics now."""

    def __init__(self, engine: Engine, outgoing: Engine, settings: Settings) -> None:
        self.engine, self.settings = engine, settings
        self.clock = RealClock()
        self.recorder = Recorder(engine, self.clock)
        self.sender = Sender(outgoing, SEALER, Poster(GATE, trusting()), notices(outgoing, settings))

    def another_sender(self, sealer: Sealer = SEALER) -> Sender:
        """The sender of another process."""
        return Sender(self.engine, sealer, Poster(GATE, trusting()), notices(self.engine, self.settings))

    def add(self, url: str, *types: str, number: int = 1) -> Added:
        """Enter an endpoint of a partner."""
        with self.engine.begin() as connection:
            return endpoints.add(connection, SEALER, GATE, f"P{number}", url, types, self.clock.now())

    def told(self, *events: Event, ago: timedelta = timedelta()) -> None:
        """Handle events, in one transaction."""
        self.handle([received(event, self.clock.now() - ago) for event in events])

    def handle(self, records: list[Received]) -> None:
        """Handle records of one topic, in one transaction."""
        with self.engine.begin() as connection:
            batch = Batch(connection, records)
            (self.recorder.partners if records[0].topic.name == "partners" else self.recorder.events)(batch)

    def send(self) -> int:
        """Make all deliveries that are due and whose endpoint is free."""
        made = 0
        while self.sender.step():
            made += 1
            assert made < 1000
        return made

    def log(self, endpoint_id: str) -> list[dict[str, Any]]:
        """An endpoint's deliveries, the newest first."""
        with reading(self.engine).connect() as connection:  # asked again and again, it should hold up no sender
            return deliveries.log(connection, endpoint_id)

    def states(self, endpoint_id: str) -> list[str]:
        """Their states, the oldest first."""
        return [str(row["state"]) for row in reversed(self.log(endpoint_id))]

    def row(self, endpoint_id: str) -> dict[str, Any]:
        """An endpoint, as the list shows it."""
        with self.engine.connect() as connection:
            (found,) = (row for row in endpoints.overview(connection) if row["id"] == endpoint_id)
        return found

    def waits(self) -> list[timedelta]:
        """How long until each pending delivery is due, the oldest first."""
        now = self.clock.now()
        table = webhook_deliveries
        pending = select(table.c.next_try_at).where(table.c.state == DeliveryState.PENDING).order_by(table.c.number)
        with self.engine.connect() as connection:
            return [due - now for due in connection.execute(pending).scalars()]

    def wait_is_over(self) -> None:
        """Make what was put off due, and endpoints that were left alone free."""
        with self.engine.begin() as connection:
            pending = webhook_deliveries.c.state == DeliveryState.PENDING
            connection.execute(update(webhook_deliveries).where(pending).values(next_try_at=LONG_AGO))
        self.endpoints_are_free()

    def endpoints_are_free(self) -> None:
        """End claims, and what endpoints that failed are left alone for."""
        with self.engine.begin() as connection:
            connection.execute(update(webhook_endpoints).values(free_at=LONG_AGO))


@pytest.fixture
def hub(desk: Desk, outgoing: Engine) -> Hub:
    desk.told(partner(1), partner(2), partner(3))
    return Hub(desk.engine, outgoing, desk.settings)


def notices(engine: Engine, settings: Settings) -> Notices:
    """Tells partners, as the service does."""
    clock = RealClock()
    return Notices(engine, clock, Reach(clock, programme(), Addresses(settings)))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def other() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()
