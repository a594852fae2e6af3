"""Processes that send are killed at any moment: no delivery is lost, and one that is repeated keeps its id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter

from deploy.runtime.settings import ROOT
from schemas.events import id_of
from tests.notification.conftest import Desk
from tests.notification.facts import tier
from tests.notification.webhooks.conftest import Hub
from tests.notification.webhooks.courier import THREADS
from tests.notification.webhooks.receiver import Receiver, Reply
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


def test_kill_disables_no_endpoint_without_its_mail_and_writes_no_mail_twice(hub: Hub, desk: Desk) -> None:
    receiver = Receiver(tls=False)
    receiver.reply = Reply(410, "")
    added = [hub.add(receiver.url(f"/{n}"), number=n % 3 + 1).endpoint_id for n in range(24)]
    hub.told(*(tier(number=number) for number in (1, 2, 3)))
    try:
        for enough in (3, 9, 15):
            courier = start(hub)
            until(lambda enough=enough: len(receiver.taken) >= enough, 60, f"{enough} requests")  # type: ignore[misc]
            courier.send_signal(signal.SIGKILL)
            courier.wait(10)
            assert mails(desk) == disabled(hub, added)
            hub.endpoints_are_free()  # as they are a minute later
        two = [start(hub), start(hub)]
        until(lambda: disabled(hub, added) == sorted(added), 60, "every endpoint disabled")
        for courier in two:
            courier.kill()
            courier.wait(10)
    finally:
        receiver.close()
    assert mails(desk) == sorted(added)


def mails(desk: Desk) -> list[str]:
    return sorted(json.loads(row["event"])["endpoint_id"] for row in desk.rows())


def disabled(hub: Hub, added: list[str]) -> list[str]:
    return sorted(id_ for id_ in added if hub.row(id_)["state"] == "disabled")


def start(hub: Hub) -> subprocess.Popen[bytes]:
    url = hub.engine.url.render_as_string(hide_password=False)
    own = {"STAFFEL_NOTIFICATION_DB_URL": url, "STAFFEL_DATA": str(hub.settings.data), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "tests.notification.webhooks.courier"], env={**os.environ, **own})
