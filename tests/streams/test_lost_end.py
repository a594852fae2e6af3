"""A broker that lost the end of a log, which was then written on, is found out by the next worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deploy.embedded.stack import Stack
from deploy.runtime.settings import load
from schemas.topics import SALES
from tests.conftest import free_ports
from tests.streams.harness import Wire, a_partner, a_sale, refusal, working
from tests.waiting import until


def test_a_log_that_was_written_on_after_it_had_lost_its_end_is_refused(tmp_path: Path) -> None:
    loaded = load({"data": tmp_path / "data", "port_base": free_ports(), "partitions": 1}, {})
    settings = loaded.settings

    def on_a_broker(work: Callable[[Wire], None]) -> None:
        with Stack(loaded, parts=("kafka", "registry"), services=()) as stack:
            stack.wait_ready()
            work(Wire(settings))

    def sell(wire: Wire) -> None:
        wire.send(a_partner("P1"), *(a_sale(f"A{number}", "P1") for number in range(10)))
        wire.flush()
        with working(settings):
            until(lambda: wire.units() == {"P1": 10}, what="ten units")

    def sell_on(wire: Wire) -> None:
        assert wire.messages(SALES) == []
        wire.send(*(a_sale(f"B{number}", "P1") for number in range(15)))
        wire.flush()
        assert "sales partition 0 does not hold at 9 what was applied from there" in refusal(settings)
        assert wire.units() == {"P1": 10}

    on_a_broker(sell)
    (log,) = (settings.data / "kafka").rglob(f"{SALES.full_name(settings.topic_prefix)}-0")
    for file in log.iterdir():
        if file.name != "partition.metadata":  # by which it is still the same topic
            file.unlink()
    on_a_broker(sell_on)
