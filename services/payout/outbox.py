"""Publishes what the database says was decided: first a row, then an event on ``payouts``, in the order of the rows."""

from __future__ import annotations

import logging
from datetime import datetime

import msgspec
from confluent_kafka import KafkaException, Message
from sqlalchemy import Connection, Engine, bindparam, func, select, update

from deploy.runtime import kafka
from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings
from schemas.codec import Codec, headers_for
from schemas.events import PayoutStatusChanged
from schemas.topics import PAYOUTS
from services.payout.tables import outbox

_log = logging.getLogger("staffel.payout")
_PORTION = 1000
_FLUSH_SECONDS = 10
_SOURCE = "staffel/payout"


class Relay:
    """Sends unsent rows. An event may go out twice after a crash, under the same id; never in another order."""

    def __init__(self, settings: Settings, codec: Codec, engine: Engine, clock: Clock) -> None:
        self._settings, self._codec, self._engine, self._clock = settings, codec, engine, clock
        self._producer = kafka.producer(settings)
        self._topic = PAYOUTS.full_name(settings.topic_prefix)

    def step(self) -> int:
        """Send a portion of what is due. Answers how many were sent; on trouble with Kafka, fewer than there are."""
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(outbox.c.id, outbox.c.event)
                .where(outbox.c.sent_at.is_(None))
                .order_by(outbox.c.id)
                .limit(_PORTION)
            ).all()
        if not rows:
            return 0
        delivered: set[int] = set()
        try:
            for row in rows:
                self._send(row.id, msgspec.json.decode(row.event, type=PayoutStatusChanged), delivered)
            self._producer.flush(_FLUSH_SECONDS)
        except (KafkaException, BufferError) as error:
            _log.warning("payout events can't be sent: %s", error)
        sent = []
        for row in rows:  # up to the first that failed: what follows it goes out again, behind it
            if row.id not in delivered:
                self._begin_again()
                break
            sent.append(row.id)
        self._mark(sent)
        return len(sent)

    def _send(self, row_id: int, event: PayoutStatusChanged, delivered: set[int]) -> None:
        def report(error: object, _message: Message) -> None:
            if error is None:
                delivered.add(row_id)
            else:
                _log.warning("a payout event was not delivered: %s", error)

        self._producer.produce(
            self._topic,
            key=event.partner_id,
            value=self._codec.encode(PAYOUTS, event),
            headers=headers_for(event, source=_SOURCE, time=event.occurred_at, subject=event.partner_id),
            on_delivery=report,
        )

    def _begin_again(self) -> None:
        """Throw the producer away, so that nothing still queued in it overtakes what is sent next."""
        self._producer.purge()
        self._producer = kafka.producer(self._settings)

    def _mark(self, ids: list[int]) -> None:
        if not ids:
            return
        now = self._clock.now()
        with self._engine.begin() as connection:
            connection.execute(
                update(outbox).where(outbox.c.id == bindparam("of")).values(sent_at=now), [{"of": id_} for id_ in ids]
            )


def oldest_unsent(connection: Connection) -> datetime | None:
    """When the oldest row that waits to be sent was written."""
    found: datetime | None = connection.execute(
        select(func.min(outbox.c.created_at)).where(outbox.c.sent_at.is_(None))
    ).scalar()
    return found
