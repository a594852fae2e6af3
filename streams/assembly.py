"""The one place that wires the stream: settings in, a Faust app out. Nothing connects before the app starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import faust
from faust.tables.manager import TableManager
from faust.types import TP

from deploy.runtime.clock import open_clock
from deploy.runtime.probes import Probes
from deploy.runtime.programme import read_programme
from deploy.runtime.settings import Settings
from schemas.codec import Codec, ConfluentRegistry
from schemas.topics import PARTNERS, SALES
from streams.agents.moments import moments_timer
from streams.agents.records import record_agent
from streams.checks import check_start
from streams.owned import Owned
from streams.rules.terms import parse
from streams.surroundings import RealMachine, Surroundings, real_clients
from streams.transport import SliceSchema, Transport

_TICK_SECONDS = 0.5


class NoTables(TableManager):
    """Faust's tables, of which we have none: it would wait a second at each start for some to be declared."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class StreamApp(faust.App):
    """A Faust app whose reading starts at its own state's positions."""

    owned: Owned
    around: Surroundings

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)

    async def where_to_begin(self, assigned: Iterable[TP]) -> Mapping[TP, int]:
        """Asked by the transport after each assignment."""
        return await self.owned.where_to_begin(assigned)

    def applied(self, tp: TP) -> int:
        """Asked by the transport's thread: the offset up to which a partition is applied."""
        return self.owned.applied(tp)

    async def on_first_start(self) -> None:
        """Before anything is read: is all there that is needed, and as it should be?"""
        async with self.owned.or_die():
            await check_start(self.around)
            settings = self.around.settings
            probes = Probes(settings.listen, settings.worker_port)
            probes.check("partitions", lambda: None if self.owned.assigned else "no partitions assigned yet")
        self.conf.datadir.mkdir(parents=True, exist_ok=True)
        await super().on_first_start()


def create_app(settings: Settings) -> StreamApp:
    """The stream as a Faust app."""
    around = Surroundings(
        settings,
        Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix),
        open_clock(settings),
        read_programme(settings, parse),
        real_clients(settings),
        RealMachine(),
    )
    owned = Owned(around)
    app = StreamApp(
        f"{settings.topic_prefix}{settings.app_id}",
        broker=[f"kafka://{server}" for server in settings.kafka.split(",")],
        store="memory://",
        TableManager=NoTables,
        datadir=str(settings.data / "faust"),
        web_enabled=False,
        topic_disable_leader=True,
        topic_partitions=settings.partitions,
        topic_allow_declare=False,
        broker_session_timeout=10.0,  # the time until somebody else takes over after a crash
        broker_heartbeat_interval=2.0,
        broker_commit_interval=1.0,
        broker_max_poll_records=5000,
        consumer_max_fetch_size=4 << 20,
        consumer_auto_offset_reset="earliest",  # overruled by the transport: we always say where to begin
        stream_wait_empty=True,
        producer_linger=0.005,
    )
    app.owned, app.around = owned, around
    for source in (SALES, PARTNERS):
        topic = app.topic(source.full_name(settings.topic_prefix), schema=SliceSchema(), internal=False)
        app.agent(topic, name=f"streams.{source.name}", isolated_partitions=True)(record_agent(owned, source))
    app.timer(interval=_TICK_SECONDS, name="streams.calendar")(moments_timer(owned))

    async def give_up(_app: Any, revoked: Iterable[TP], **_: Any) -> None:
        await owned.give_up(revoked)

    app.on_partitions_revoked.connect(cast(Any, give_up))

    return app
