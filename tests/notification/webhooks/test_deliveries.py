"""From event to request: once noted, sent until taken, whatever the endpoint does and whoever dies."""

from __future__ import annotations

import json
from datetime import timedelta
from threading import Event

import msgspec
from sqlalchemy import select

from schemas.events import CloseKind, PayoutStatus, id_of
from services.notification.loops import Loop
from services.notification.tables import staff_alerts, webhook_deliveries, webhook_endpoints
from services.notification.webhooks import deliveries, endpoints, metrics, schedule
from services.notification.webhooks.sender import CLAIM
from tests.notification.facts import bank_details, claim, close, payout, tier, week
from tests.notification.webhooks.conftest import Hub
from tests.notification.webhooks.receiver import Receiver, Reply
from tests.waiting import until


def test_each_event_is_sent_signed_to_its_partners_endpoints_and_to_nobody_elses(
    hub: Hub, receiver: Receiver, other: Receiver
) -> None:
    mine, also_mine, his = hub.add(receiver.url("/a")), hub.add(receiver.url("/b")), hub.add(other.url(), number=2)
    events = (tier(), week(), close(), payout(), bank_details(), claim())
    hub.told(*events, week(2))
    assert hub.send() == 13
    for added, path in ((mine, "/a"), (also_mine, "/b")):
        taken = [taken for taken in receiver.taken if taken.path == path]
        assert {t.id for t in taken} == {id_of(event) for event in events}
        said = [t.verify(added.secret) for t in taken]
        assert {s["type"] for s in said} == {
            *("tier.changed", "week.summary", "quarter.closed", "payout.changed"),
            *("bank_details.changed", "claim.decided"),
        }
        assert all(s["data"]["partner_id"] == "P1" and s["timestamp"].endswith("Z") for s in said)
    assert [t.verify(his.secret)["data"]["partner_id"] for t in other.taken] == ["P2"]
    assert hub.states(mine.endpoint_id) == ["delivered"] * 6


def test_a_body_says_what_the_partners_page_shows_and_nothing_personal(hub: Hub, receiver: Receiver) -> None:
    added = hub.add(receiver.url())
    hub.told(tier(), payout(PayoutStatus.RETURNED), bank_details())
    hub.send()
    by_type = {said["type"]: said["data"] for t in receiver.taken if (said := t.verify(added.secret))}
    assert by_type["tier.changed"]["rebate_after_minor"] == 26_000
    assert by_type["payout.changed"] == {
        "programme_id": "topseller",
        "partner_id": "P1",
        "quarter": "2026Q4",
        "revision": 1,
        "sequence": 6,
        "status": "returned",
        "amount_minor": 78_000,
        "currency": "EUR",
        "end_to_end_id": "26Q4-P1-A0T1",
        "execution_date": "2027-02-02",
        "reason": "AC04",
    }
    assert by_type["bank_details.changed"] == {
        "partner_id": "P1",
        "version": 1,
        "change": "entered",
        "usable_on": "2027-01-04",
    }
    for taken in receiver.taken:
        assert b"Systemhaus" not in taken.body
        assert b"@" not in taken.body


def test_why_a_payment_is_held_is_not_told(hub: Hub, receiver: Receiver) -> None:
    hub.add(receiver.url())
    hub.told(msgspec.structs.replace(payout(PayoutStatus.HELD), reason="recount-differs"))
    hub.send()
    data = json.loads(receiver.taken[0].body)["data"]
    assert (data["status"], data["reason"]) == ("held", None)


def test_what_a_later_contract_says_is_not_passed_on_unknown(hub: Hub, receiver: Receiver) -> None:
    hub.add(receiver.url())
    hub.told(payout(PayoutStatus.UNKNOWN), close(CloseKind.UNKNOWN))
    assert hub.send() == 0


def test_an_endpoint_hears_only_of_the_types_it_asked_for_and_of_what_came_after_it(
    hub: Hub, receiver: Receiver
) -> None:
    hub.add(receiver.url(), "quarter.closed")
    hub.told(week(), close())
    hub.told(close(CloseKind.PROVISIONAL), ago=timedelta(hours=1))
    assert hub.send() == 1
    assert json.loads(receiver.taken[0].body)["data"]["kind"] == "final"


def test_an_event_that_is_read_twice_is_sent_once(hub: Hub, receiver: Receiver) -> None:
    hub.add(receiver.url())
    for _ in range(2):
        hub.told(week())
        hub.send()
    assert len(receiver.taken) == 1


def test_a_failed_attempt_is_repeated_by_the_schedule_with_the_same_id_and_body(hub: Hub, receiver: Receiver) -> None:
    receiver.replies = [Reply(500, "no")] * 9
    added = hub.add(receiver.url())
    hub.told(week())
    for attempt, wait in enumerate(schedule.WAITS):
        assert hub.send() == 1
        (left,) = hub.waits()
        assert wait - timedelta(seconds=5) < left <= wait * (1 + schedule.JITTER), attempt
        assert hub.send() == 0, "not due"
        hub.wait_is_over()
    assert hub.send() == 1
    assert len(receiver.taken) == 10
    assert len({(t.id, t.body) for t in receiver.taken}) == 1
    (row,) = hub.log(added.endpoint_id)
    assert row["state"] == "delivered"
    assert [(a["status"], a["said"]) for a in row["attempts"]] == [(500, "no")] * 9 + [(200, "thanks")]
    assert hub.row(added.endpoint_id)["failures"] == 0


def test_an_endpoint_that_asks_for_time_is_given_it(hub: Hub, receiver: Receiver) -> None:
    receiver.reply = Reply(429, "later", (("Retry-After", "7200"),))
    hub.add(receiver.url())
    hub.told(week())
    hub.send()
    (left,) = hub.waits()
    assert timedelta(hours=1, minutes=59) < left <= timedelta(hours=2)


def test_after_all_attempts_the_delivery_has_failed_and_the_endpoint_is_disabled_once_and_loudly(
    hub: Hub, receiver: Receiver
) -> None:
    receiver.reply = Reply(404, "jo@partner.example is not here")
    added = hub.add(receiver.url())
    hub.told(week(), tier(), close())
    for _ in range(10):
        hub.send()
        hub.wait_is_over()
    assert hub.states(added.endpoint_id) == ["failed", "pending", "pending"]
    found = hub.row(added.endpoint_id)
    assert found["state"] == "disabled"
    assert found["disabled_reason"] == "nothing came through for days, at last: status 404"
    hub.wait_is_over()
    assert hub.send() == 0
    assert _alerts(hub) == [
        f"Webhook endpoint {added.endpoint_id} of partner P1 is disabled: nothing came through for days."
    ]


def test_a_delivery_that_alone_is_not_taken_does_not_disable_its_endpoint(hub: Hub, receiver: Receiver) -> None:
    added = hub.add(receiver.url())
    receiver.replies = [Reply(422, "what?")]
    hub.told(week())
    hub.send()
    hub.told(close())
    hub.endpoints_are_free()
    assert hub.send() == 1
    last_time = webhook_deliveries.update().where(webhook_deliveries.c.type == "week.summary").values(attempts=9)
    with hub.engine.begin() as connection:
        connection.execute(last_time)
    receiver.replies = [Reply(422, "what?")]
    hub.wait_is_over()
    hub.send()
    assert hub.states(added.endpoint_id) == ["failed", "delivered"]
    assert hub.row(added.endpoint_id)["state"] == "enabled"
    assert _alerts(hub) == []


def test_gone_disables_at_once_and_enabling_sends_what_has_waited(hub: Hub, receiver: Receiver) -> None:
    receiver.replies = [Reply(410, "")]
    added = hub.add(receiver.url())
    hub.told(week(), tier())
    hub.send()
    hub.told(close())
    hub.wait_is_over()
    assert hub.send() == 0
    assert hub.row(added.endpoint_id)["disabled_reason"] == "it answered 410 Gone"
    assert len(_alerts(hub)) == 1
    with hub.engine.begin() as connection:
        assert endpoints.enable(connection, added.endpoint_id, hub.clock.now()) == 2
    assert hub.send() == 2
    assert hub.states(added.endpoint_id) == ["failed", "delivered", "delivered"]
    assert _replay(hub, added.endpoint_id, failed_only=True) == 1
    assert hub.send() == 1
    assert hub.states(added.endpoint_id) == ["delivered"] * 3


def test_a_replay_sends_what_was_noted_since_under_the_same_ids(hub: Hub, receiver: Receiver) -> None:
    added = hub.add(receiver.url())
    hub.told(week())
    hub.send()
    between = hub.clock.now()
    hub.told(close(), tier())
    hub.send()
    first = [t.id for t in receiver.taken]
    assert _replay(hub, added.endpoint_id, since=between) == 2
    hub.send()
    assert [t.id for t in receiver.taken] == first + first[1:]
    number = hub.log(added.endpoint_id)[-1]["number"]
    assert _replay(hub, added.endpoint_id, number=number) == 1
    hub.send()
    assert receiver.taken[-1].id == first[0]
    assert len(hub.log(added.endpoint_id)[-1]["attempts"]) == 2


def test_a_redirect_and_a_forbidden_address_count_as_failures(hub: Hub, receiver: Receiver) -> None:
    receiver.reply = Reply(302, "", (("Location", receiver.url("/elsewhere")),))
    added = hub.add(receiver.url())
    hub.told(week())
    hub.send()
    assert [t.path for t in receiver.taken] == ["/hooks"]
    with hub.engine.begin() as connection:
        connection.execute(webhook_endpoints.update().values(url="https://169.254.169.254/"))
    hub.wait_is_over()
    hub.send()
    assert [(a["status"], a["said"][:12]) for a in hub.log(added.endpoint_id)[0]["attempts"]] == [
        (302, ""),
        (None, "it must name"),
    ]


def test_whoever_dies_with_a_claim_loses_it_and_the_delivery_goes_out_under_its_id(
    hub: Hub, receiver: Receiver
) -> None:
    added = hub.add(receiver.url())
    hub.told(week())
    dying = hub.another_sender()
    claimed = dying._claim()
    assert claimed is not None
    dying._attempt(claimed)  # it is taken, and nobody notes it
    assert hub.send() == 0, "claimed"
    with hub.engine.connect() as connection:
        free_at = connection.execute(select(webhook_endpoints.c.free_at)).scalar_one()
    assert free_at - hub.clock.now() <= CLAIM
    hub.wait_is_over()
    assert hub.send() == 1
    assert len(receiver.taken) == 2
    assert len({(t.id, t.body) for t in receiver.taken}) == 1
    dying._settle(claimed, dying._attempt(claimed))  # it was only slow: what others have settled stays
    assert hub.states(added.endpoint_id) == ["delivered"]
    assert len(hub.log(added.endpoint_id)[0]["attempts"]) == 1


def test_a_slow_endpoint_holds_up_nobody_and_gets_one_request_at_a_time(
    hub: Hub, receiver: Receiver, other: Receiver
) -> None:
    go_on = Event()
    receiver.before = lambda _taken: go_on.wait(20) and None
    hub.add(receiver.url())
    swift = hub.add(other.url(), number=2)
    hub.told(week(1), close(number=1), tier())
    loops = [Loop(f"webhooks {n}", hub.sender.step) for n in range(3)]
    try:
        until(lambda: receiver.taken, 8, "a request that the slow one keeps waiting")
        hub.told(week(2), close(number=2))
        until(lambda: hub.states(swift.endpoint_id) == ["delivered"] * 2, 8, "the swift one's deliveries")
        assert len(receiver.taken) == 1
        go_on.set()
        until(lambda: len(receiver.taken) == 3, 10, "the slow one's deliveries")
        until(lambda: hub.sender.step() is False, 10, "nothing left")
    finally:
        for loop in loops:
            loop.stop()
        for loop in loops:
            loop.join(10)
    assert receiver.most_at_once == 1
    assert len({t.id for t in receiver.taken}) == len(receiver.taken) == 3


def test_an_endpoint_that_fails_is_left_alone_for_a_while_with_all_that_is_due_to_it(
    hub: Hub, receiver: Receiver, other: Receiver
) -> None:
    receiver.reply = Reply(500, "")
    hub.add(receiver.url())
    hub.add(other.url(), number=2)
    hub.told(*(tier(sequence=n) for n in range(50)), week(2))
    assert hub.send() == 2
    assert (len(receiver.taken), len(other.taken)) == (1, 1)


def test_the_gauges_tell_an_endpoint_that_is_not_served_from_one_that_fails(hub: Hub, receiver: Receiver) -> None:
    def overdue() -> float:
        hub.sender.measure()
        return float(metrics.OVERDUE._value.get())

    receiver.reply = Reply(500, "")
    hub.add(receiver.url())
    hub.told(week(), close())
    hub.send()
    assert overdue() == 0, "left alone on purpose"
    hub.wait_is_over()
    assert overdue() > 0
    assert metrics.DELIVERIES.labels("pending")._value.get() == 2
    assert metrics.ENDPOINTS.labels("enabled")._value.get() == 1


def test_what_is_old_is_forgotten(hub: Hub, receiver: Receiver) -> None:
    added = hub.add(receiver.url())
    hub.told(week(), close())
    hub.send()
    old = hub.clock.now() - schedule.KEPT - timedelta(hours=1)
    with hub.engine.begin() as connection:
        one = webhook_deliveries.c.type == "week.summary"
        connection.execute(webhook_deliveries.update().where(one).values(recorded_at=old))
    hub.sender.sweep()
    assert [row["type"] for row in hub.log(added.endpoint_id)] == ["quarter.closed"]


def _replay(hub: Hub, endpoint_id: str, **chosen: object) -> int:
    with hub.engine.begin() as connection:
        return deliveries.replay(connection, endpoint_id, hub.clock.now(), **chosen)  # type: ignore[arg-type]


def _alerts(hub: Hub) -> list[str]:
    with hub.engine.connect() as connection:
        return list(connection.execute(select(staff_alerts.c.text)).scalars())
