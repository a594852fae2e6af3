"""A partner whose endpoint was disabled hears of it by mail: once each time, and only while it is true."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from threading import Event, Thread

import pytest
from sqlalchemy import text

from services.kit.consumer import Batch
from services.notification.messages import Kind
from services.notification.tables import messages
from services.notification.webhooks import deliveries, endpoints
from tests.notification.conftest import Desk
from tests.notification.facts import partner, received, tier, week
from tests.notification.mailbox import Mailbox
from tests.notification.webhooks.conftest import Hub
from tests.notification.webhooks.receiver import Receiver, Reply
from tests.notification.webhooks.test_endpoints import noting
from tests.waiting import until

GONE = Reply(410, "")


def disable(hub: Hub, receiver: Receiver) -> str:
    """An endpoint of the first partner that says it is gone. Answers its id."""
    receiver.replies = [GONE]
    added = hub.add(receiver.url("/hooks?key=confidential"))
    hub.told(week())
    hub.send()
    assert hub.row(added.endpoint_id)["state"] == "disabled"
    return added.endpoint_id


def enable(hub: Hub, endpoint_id: str) -> None:
    with hub.engine.begin() as connection:
        endpoints.enable(connection, endpoint_id, hub.clock.now())


def test_who_took_nothing_for_days_is_told_since_when_and_what_he_answered(
    hub: Hub, desk: Desk, receiver: Receiver, mailbox: Mailbox
) -> None:
    receiver.reply = Reply(500, "jo@partner.example has the pager")
    added = hub.add(receiver.url("/hooks/confidential"))
    hub.told(week(), tier())
    queued = hub.log(added.endpoint_id)[-1]["recorded_at"]
    for _ in range(10):
        assert desk.rows() == []
        hub.send()
        hub.wait_is_over()
    row = desk.row()
    assert (row["kind"], row["state"], row["partner_id"]) == (Kind.WEBHOOK_DISABLED, "pending", "P1")
    told = json.loads(row["event"])
    assert (told["host"], told["status"]) == ("localhost", 500)
    assert told["failing_since"] == queued.isoformat().replace("+00:00", "Z")
    assert desk.send() == 1
    (mail,) = mailbox.to("p1@partner.example")
    for part in ("plain", "html"):
        text = " ".join(mail.part(part).split())
        assert "Your system at localhost has taken none of our notifications since" in text
        assert "it answered with status 500" in text
        assert added.endpoint_id in text
        assert "confidential" not in text
        assert "pager" not in text
    hub.wait_is_over()
    assert (hub.send(), desk.send(), len(mailbox.taken)) == (0, 0, 1)


def test_who_gave_no_answer_is_told_that(hub: Hub, desk: Desk, receiver: Receiver, mailbox: Mailbox) -> None:
    hub.add(receiver.url())
    hub.told(week())
    receiver.close()
    for _ in range(10):
        hub.send()
        hub.wait_is_over()
    desk.send()
    assert "it could not be reached" in " ".join(mailbox.taken[0].part("plain").split())


def test_who_said_that_he_is_gone_need_not_do_anything(
    hub: Hub, desk: Desk, receiver: Receiver, mailbox: Mailbox
) -> None:
    disable(hub, receiver)
    desk.send()
    text = " ".join(mailbox.taken[0].part("plain").split())
    assert "Your system at localhost told us that it is gone (status 410)." in text
    assert "If you wanted this, you need not do anything." in text
    assert "confidential" not in desk.row()["event"]


def test_an_endpoint_that_is_enabled_and_disabled_again_is_told_again(
    hub: Hub, desk: Desk, receiver: Receiver, mailbox: Mailbox
) -> None:
    endpoint_id = disable(hub, receiver)
    desk.send()
    enable(hub, endpoint_id)
    receiver.replies = [GONE]
    hub.told(tier())
    assert hub.send() == 1
    assert desk.send() == 1
    assert desk.states() == ["sent", "sent"]
    assert len({mail.mail["Message-ID"] for mail in mailbox.to("p1@partner.example")}) == 2


def test_whoever_dies_before_he_notes_the_answer_or_notes_it_late_tells_nobody_twice(
    hub: Hub, desk: Desk, receiver: Receiver
) -> None:
    receiver.reply = GONE
    hub.add(receiver.url())
    hub.told(week())
    dying = hub.another_sender()
    claimed = dying._claim()
    assert claimed is not None
    made = dying._attempt(claimed)
    assert desk.rows() == []
    hub.endpoints_are_free()
    assert hub.send() == 1
    dying._settle(claimed, made)  # it was only slow
    assert desk.states() == ["pending"]


def test_an_endpoint_is_not_disabled_where_its_mail_can_not_be_noted(
    hub: Hub, desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise MemoryError

    receiver.reply = GONE
    added = hub.add(receiver.url())
    hub.told(week())
    with monkeypatch.context() as patched:
        patched.setattr("services.notification.webhooks.notices.Notices.tell", crash)
        with pytest.raises(MemoryError):
            hub.send()
    assert (hub.row(added.endpoint_id)["state"], hub.states(added.endpoint_id)) == ("enabled", ["pending"])
    hub.endpoints_are_free()
    hub.send()
    assert (hub.row(added.endpoint_id)["state"], desk.states()) == ("disabled", ["pending"])


def test_the_mail_waits_for_an_address_and_is_withdrawn_once_it_is_not_true_any_more(
    hub: Hub, desk: Desk, receiver: Receiver, mailbox: Mailbox
) -> None:
    desk.told(partner(1, email=""))
    first = disable(hub, receiver)
    assert desk.states() == ["waiting-for-address"]
    enable(hub, first)
    second = disable(hub, receiver)
    with hub.engine.begin() as connection:
        endpoints.remove(connection, second)
    assert [row["last_error"] for row in desk.rows()] == [
        "the endpoint was enabled again",
        "the endpoint was removed",
    ]
    disable(hub, receiver)
    desk.told(partner(1))
    assert desk.states() == ["expired", "expired", "pending"]
    assert desk.send() == 1
    assert len(mailbox.to("p1@partner.example")) == 1


def test_an_address_that_comes_at_the_same_moment_is_not_missed(hub: Hub, desk: Desk, receiver: Receiver) -> None:
    desk.told(partner(1, email=""))
    receiver.reply = GONE
    hub.add(receiver.url())
    hub.told(week())
    registering, registered = hub.engine.connect(), Event()

    def register(_taken: object) -> None:
        registering.begin()
        desk.handler.partners(Batch(registering, [received(partner(1), hub.clock.now())]))
        registered.set()

    def waits() -> bool:
        here = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        with hub.engine.connect() as connection:
            return bool(connection.execute(text(here)).all())

    receiver.before = register
    sending = Thread(target=hub.send)
    sending.start()
    assert registered.wait(10)
    if hub.engine.dialect.name == "postgresql":  # SQLite lets nobody write beside another
        until(lambda: waits() or not sending.is_alive(), 10, "the sender to wait for it")
    registering.commit()
    registering.close()
    sending.join(20)
    assert desk.states() == ["pending"]


def test_a_mail_that_was_sent_stays_as_it_is_when_the_endpoint_is_enabled(
    hub: Hub, desk: Desk, receiver: Receiver
) -> None:
    endpoint_id = disable(hub, receiver)
    desk.send()
    enable(hub, endpoint_id)
    assert desk.states() == ["sent"]


def test_an_erased_partners_messages_forget_his_host(hub: Hub, desk: Desk, receiver: Receiver) -> None:
    endpoint_id = disable(hub, receiver)
    desk.send()
    enable(hub, endpoint_id)
    receiver.replies = [GONE]
    hub.told(tier())
    hub.send()
    assert desk.states() == ["sent", "pending"]
    hub.handle([received(None, hub.clock.now(), "P1")])
    desk.forget("P1")
    assert desk.states() == ["sent", "expired"]
    assert [row["event"] for row in desk.rows()] == ["{}", "{}"]
    assert desk.send() == 0


def test_a_mail_is_stale_after_a_month(hub: Hub, desk: Desk, receiver: Receiver) -> None:
    desk.told(partner(1, email=""))
    disable(hub, receiver)
    with hub.engine.begin() as connection:
        old = hub.clock.now() - timedelta(days=31)
        connection.execute(messages.update().values(recorded_at=old))
    desk.told(partner(1))
    assert desk.states() == ["expired"]


def test_disabling_enabling_and_news_of_addresses_at_once_trip_over_nothing(
    hub: Hub, desk: Desk, receiver: Receiver
) -> None:
    receiver.reply = GONE
    added = [hub.add(receiver.url(f"/{n}"), number=n % 3 + 1).endpoint_id for n in range(6)]
    hub.told(*(tier(number=number) for number in (1, 2, 3)))
    failures: list[BaseException] = []
    over = Event()

    def send() -> None:
        while not over.is_set():
            hub.sender.step()

    def change() -> None:
        for turn in range(8):
            desk.told(*(partner(number, email=f"p{number}@{turn}.example" if turn % 2 else "") for number in (3, 1, 2)))
            for endpoint_id in added:
                with hub.engine.begin() as connection:
                    endpoints.enable(connection, endpoint_id, hub.clock.now())
                    deliveries.replay(connection, endpoint_id, hub.clock.now(), failed_only=True)
        over.set()

    threads = [Thread(target=noting(work, failures)) for work in (send, send, change)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    over.set()
    assert failures == []
    hub.wait_is_over()
    hub.send()
    assert {hub.row(endpoint_id)["state"] for endpoint_id in added} == {"disabled"}
    assert Counter(desk.states())["pending"] == len(added), "each is told of its last disabling alone"
    assert "waiting-for-address" not in desk.states()
