"""Processes that send are killed at any moment: no delivery is lost, and one that is repeated keeps its id."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter

from schemas.events import id_of
from tests.notification.facts import tier
from tests.notification.webhooks.conftest import Hub
from tests.notification.webhooks.courier import THREADS
from tests.notification.webhooks.receiver import Receiver
from tests.waiting import until

KILLS = (10, 40, 90)


def test_kill_loses_no_delivery_and_repeats_only_those_under_way(hub: Hub) -> None:
    receiver = Receiver(tls=False)
    added = [hub.add(receiver.url(f"/{n}"), number=n % 3 + 1) for n in range(6)]
    events = [tier(number=n % 3 + 1, sequence=n) for n in range(75)]
    hub.told(*events)
    wanted = {(f"/{n}", id_of(event)) for n in range(6) for event in events if event.partner_id == f"P{n % 3 + 1}"}
    try:
        for enough in KILLS:
            courier = start(hub)
            until(lambda enough=enough: len(receiver.taken) >= enough, 60, f"{enough} requests")  # type: ignore[misc]
            courier.send_signal(signal.SIGKILL)
            courier.wait(10)
            hub.endpoints_are_free()  # as they are a minute later
        two = [start(hub), start(hub)]
        until(lambda: {(t.path, t.id) for t in receiver.taken} == wanted, 90, "every delivery")
        until(lambda: {s for a in added for s in hub.states(a.endpoint_id)} == {"delivered"}, 40, "all of it noted")
        for courier in two:
            courier.kill()
            courier.wait(10)
    finally:
        receiver.close()
    times = Counter((t.path, t.id) for t in receiver.taken)
    assert sum(times.values()) - len(wanted) <= len(KILLS) * THREADS
    assert all(len({t.body for t in receiver.taken if t.id == id}) == 1 for _, id in times)


def start(hub: Hub) -> subprocess.Popen[bytes]:
    url = hub.engine.url.render_as_string(hide_password=False)
    return subprocess.Popen([sys.executable, "-m", "tests.notification.webhooks.courier", url])
