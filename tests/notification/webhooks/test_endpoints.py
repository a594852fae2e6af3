"""Endpoints and their secrets: entered with care, kept sealed, gone when they are removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Thread

import pytest
from sqlalchemy import select, text

from deploy.runtime.errors import StaffelError, UsageError
from services.kit.sealing import Sealer
from services.notification.tables import webhook_attempts
from services.notification.webhooks import endpoints, metrics
from tests.notification.facts import received, tier, week
from tests.notification.webhooks.conftest import SEALER, Hub
from tests.notification.webhooks.receiver import Receiver


def test_rotation_signs_with_both_secrets_for_a_day_and_then_with_the_new_one(hub: Hub, receiver: Receiver) -> None:
    added = hub.add(receiver.url())
    with hub.engine.begin() as connection:
        new = endpoints.rotate(connection, SEALER, added.endpoint_id, hub.clock.now())
    hub.told(week())
    hub.send()
    for secret in (added.secret, new):
        assert receiver.taken[0].verify(secret)["type"] == "week.summary"
    with hub.engine.connect() as connection:
        for later, secrets in ((timedelta(hours=23), [new, added.secret]), (timedelta(hours=25), [new])):
            now = hub.clock.now() + later
            assert endpoints.secrets_of(connection, SEALER, added.endpoint_id, now) == secrets
    with hub.engine.begin() as connection:
        newest = endpoints.rotate(connection, SEALER, added.endpoint_id, hub.clock.now(), timedelta())
        assert endpoints.secrets_of(connection, SEALER, added.endpoint_id, hub.clock.now()) == [newest]


def test_secrets_lie_sealed_and_do_not_open_for_another_endpoint_or_key(hub: Hub, receiver: Receiver) -> None:
    added, second = hub.add(receiver.url("/a")), hub.add(receiver.url("/b"))
    with hub.engine.connect() as connection:
        stored = repr(connection.execute(text("SELECT * FROM webhook_secrets")).all())
    assert added.secret not in stored
    assert added.secret.removeprefix("whsec_") not in stored
    with hub.engine.begin() as connection:
        swapped = text("UPDATE webhook_secrets SET endpoint_id = :b WHERE endpoint_id = :a")
        connection.execute(text("DELETE FROM webhook_secrets WHERE endpoint_id = :b"), {"b": second.endpoint_id})
        connection.execute(swapped, {"a": added.endpoint_id, "b": second.endpoint_id})
    with hub.engine.connect() as connection, pytest.raises(endpoints.SecretLost):
        endpoints.secrets_of(connection, SEALER, second.endpoint_id, hub.clock.now())
    with hub.engine.connect() as connection, pytest.raises(endpoints.SecretLost):
        endpoints.secrets_of(connection, Sealer("another", "webhooks"), second.endpoint_id, hub.clock.now())


def test_without_its_key_nothing_is_sent_and_nothing_is_used_up(hub: Hub, receiver: Receiver) -> None:
    added = hub.add(receiver.url())
    hub.told(week())
    keyless = hub.another_sender(Sealer("another", "webhooks"))
    before = metrics.ATTEMPTS.labels(metrics.UNSIGNED)._value.get()
    for _ in range(3):
        assert not keyless.step()
    assert metrics.ATTEMPTS.labels(metrics.UNSIGNED)._value.get() == before + 1, "then left alone for a while"
    assert receiver.taken == []
    assert hub.log(added.endpoint_id)[0]["attempts"] == []
    hub.wait_is_over()
    hub.send()
    assert hub.states(added.endpoint_id) == ["delivered"]


def test_an_erased_partner_leaves_nothing_behind(hub: Hub, receiver: Receiver) -> None:
    added = hub.add(receiver.url())
    kept = hub.add(receiver.url(), number=2)
    hub.told(week(), week(2))
    hub.send()
    hub.handle([received(None, hub.clock.now(), "P1")])
    with hub.engine.connect() as connection, pytest.raises(StaffelError):
        endpoints.find(connection, added.endpoint_id)
    with hub.engine.connect() as connection:
        for table in ("webhook_deliveries", "webhook_attempts", "webhook_secrets", "webhook_endpoints"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 1, table
    assert hub.row(kept.endpoint_id)["state"] == "enabled"


def test_an_endpoint_removed_while_it_answers_stays_removed(hub: Hub, receiver: Receiver) -> None:
    added = hub.add(receiver.url())
    hub.told(week())

    def remove(_taken: object) -> None:
        with hub.engine.begin() as connection:
            endpoints.remove(connection, added.endpoint_id)

    receiver.before = remove
    assert hub.send() == 1
    with hub.engine.connect() as connection:
        assert connection.execute(select(webhook_attempts)).all() == []


def test_only_known_partners_types_and_addresses_are_entered_and_not_without_end(hub: Hub, receiver: Receiver) -> None:
    with pytest.raises(StaffelError, match="no partner 'P9'"):
        hub.add(receiver.url(), number=9)
    with pytest.raises(UsageError, match="is no type"):
        hub.add(receiver.url(), "tier.changed", "ping")
    with pytest.raises(UsageError, match="can't be sent to this address"):
        hub.add("https://user@partner.example/")
    for _ in range(endpoints.ENDPOINTS_MAX):
        hub.add(receiver.url())
    with pytest.raises(StaffelError, match="more than"):
        hub.add(receiver.url())


def test_recording_sending_enabling_and_removing_at_once_trip_over_nothing(hub: Hub, receiver: Receiver) -> None:
    added = [hub.add(receiver.url(f"/{n}"), number=n % 3 + 1).endpoint_id for n in range(6)]

    def record() -> None:
        for sequence in range(12):
            hub.told(*(tier(number=n, sequence=sequence) for n in (1, 2, 3)))

    def send() -> None:
        while recording.is_alive() or hub.sender.step():
            hub.sender.step()

    def change() -> None:
        for endpoint_id in added[3:]:
            with hub.engine.begin() as connection:
                endpoints.enable(connection, endpoint_id, hub.clock.now())
                endpoints.rotate(connection, SEALER, endpoint_id, hub.clock.now())
            with hub.engine.begin() as connection:
                endpoints.remove(connection, endpoint_id)

    failures: list[BaseException] = []
    recording = Thread(target=noting(record, failures))
    threads = [recording, *(Thread(target=noting(work, failures)) for work in (send, send, change))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    hub.wait_is_over()
    hub.send()
    for endpoint_id in added[:3]:
        assert hub.states(endpoint_id) == ["delivered"] * 12


def noting(work: Callable[[], None], failures: list[BaseException]) -> Callable[[], None]:
    """The same, but what it raises is kept."""

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # whatever it is
            failures.append(error)

    return run
