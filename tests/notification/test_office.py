"""Notification's office: webhooks and mails, as on the command line, and each partner's endpoints his own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from deploy.runtime.settings import Port
from services.kit.office.client import Client, Refused
from services.kit.office.protocol import Actor, Role
from services.notification import office as opening
from services.notification.office import Means, open_office
from services.notification.webhooks.endpoints import sealer_of
from services.notification.webhooks.target import gate_of
from tests.conftest import free_ports
from tests.notification.conftest import Desk
from tests.notification.facts import close, partner, tier
from tests.notification.mailbox import Mailbox

VIEWER, CLERK = Actor(Role.VIEWER, "V. Looker"), Actor(Role.OPERATOR, "A. Clerk")
P1, P2 = Actor(Role.CONFIRMED, "P1", "P1"), Actor(Role.CONFIRMED, "P2", "P2")
LOOKING = Actor(Role.PARTNER, "P1", "P1")
URL = "https://hooks.partner.example/staffel"


class Counter:
    """The office, open, and a portal that asks it."""

    def __init__(self, desk: Desk) -> None:
        settings = replace(desk.settings, port_base=free_ports())
        address = f"http://127.0.0.1:{settings.port(Port.NOTIFICATION_OFFICE)}"
        self._client = Client(settings, "notification", address)
        means = Means(settings, desk.engine, sealer_of(settings), gate_of(settings), desk.renewals, desk.people)
        self.open = open_office(means)

    def ask(self, actor: Actor, operation: str, **said: Any) -> Any:
        return self._client.ask(actor, operation, Any, **said)

    def refused(self, actor: Actor, operation: str, **said: Any) -> str:
        """The code with which it refuses."""
        with pytest.raises(Refused) as refused:
            self.ask(actor, operation, **said)
        return refused.value.code


@pytest.fixture
def counter(desk: Desk) -> Iterator[Counter]:
    desk.told(partner(1), partner(2))
    found = Counter(desk)
    yield found
    found.open.close()


def test_every_operation_says_who_may() -> None:
    assert len({operation.name for operation in opening.OPERATIONS}) == len(opening.OPERATIONS)
    for operation in opening.OPERATIONS:
        assert operation.staff or operation.partner, operation.name
    his_alone = {row.name for row in opening.OPERATIONS if row.staff is None}
    assert his_alone == {"webhooks.add", "webhooks.rotate", "contacts.add", "contacts.list"}


def test_a_partner_has_endpoints_of_his_own(counter: Counter) -> None:
    assert counter.ask(P1, "webhooks.list")["endpoints"] == []
    made = counter.ask(P1, "webhooks.add", url=URL, types=["quarter.closed"])
    which = {"endpoint": made["endpoint_id"]}
    assert made["secret"].startswith("whsec_")
    (endpoint,) = counter.ask(LOOKING, "webhooks.list")["endpoints"]
    assert (endpoint["url"], endpoint["types"], endpoint["state"]) == (URL, ["quarter.closed"], "enabled")
    assert made["secret"] not in json.dumps(endpoint)
    other = counter.ask(P1, "webhooks.rotate", **which)
    assert other.startswith("whsec_")
    assert other != made["secret"]
    counter.ask(P1, "webhooks.ping", **which)
    (delivery,) = counter.ask(P1, "webhooks.log", **which)["deliveries"]
    assert (delivery["type"], delivery["state"]) == ("ping", "pending")
    assert counter.ask(P1, "webhooks.replay", **which, delivery=delivery["number"]) == 1
    assert counter.ask(P1, "webhooks.replay", **which) == 0
    assert counter.ask(P1, "webhooks.enable", **which) == 1
    counter.ask(P1, "webhooks.remove", **which)
    assert counter.ask(P1, "webhooks.list")["endpoints"] == []


def test_nobody_reaches_anothers_endpoint(counter: Counter) -> None:
    which = {"endpoint": counter.ask(P1, "webhooks.add", url=URL)["endpoint_id"]}
    for operation in ("log", "rotate", "remove", "enable", "ping", "replay"):
        assert counter.refused(P2, f"webhooks.{operation}", **which) == "unknown-endpoint"
        assert counter.refused(P1, f"webhooks.{operation}", endpoint="ep_none") == "unknown-endpoint"
    assert counter.ask(P2, "webhooks.list", partner_id="P1")["endpoints"] == []
    assert len(counter.ask(VIEWER, "webhooks.list")["endpoints"]) == 1
    assert len(counter.ask(VIEWER, "webhooks.list", partner_id="P2")["endpoints"]) == 0
    for operation in ("rotate", "remove", "enable", "ping", "replay"):
        assert counter.refused(LOOKING, f"webhooks.{operation}", **which) == "not-allowed"
        assert counter.refused(VIEWER, f"webhooks.{operation}", **which) == "not-allowed"
    assert counter.refused(CLERK, "webhooks.rotate", **which) == "not-allowed"
    counter.ask(CLERK, "webhooks.ping", **which)
    counter.ask(CLERK, "webhooks.enable", **which)


@pytest.mark.parametrize("url", ["http://hooks.partner.example/", "https://10.0.0.1/", "https://u@hooks.example/"])
def test_an_address_that_is_not_let_through_is_refused(counter: Counter, url: str) -> None:
    assert counter.refused(P1, "webhooks.add", url=url) == "usage"
    assert counter.refused(P1, "webhooks.add", url=URL, types=["nonsense"]) == "usage"
    assert counter.refused(Actor(Role.CONFIRMED, "P9", "P9"), "webhooks.add", url=URL) == "unknown-partner"


def test_mails_are_seen_and_sent_again(desk: Desk, counter: Counter, mailbox: Mailbox) -> None:
    mailbox.answers["p2@partner.example"] = "550 5.1.1 unknown"
    desk.told(tier(number=1), close(number=2))
    desk.send()
    (failed,) = counter.ask(VIEWER, "mails.list", states=["failed"])["mails"]
    assert (failed["partner_id"], failed["kind"], failed["state"]) == ("P2", "final", "failed")
    (shown,) = counter.ask(VIEWER, "mails.show", numbers=[failed["number"]])
    assert "550 5.1.1 unknown" in shown["why"]
    assert "p2@partner.example" not in json.dumps(shown)
    (own,) = counter.ask(LOOKING, "mails.list", partner_id="P2")["mails"]
    assert (own["partner_id"], own["state"]) == ("P1", "sent")
    assert counter.refused(VIEWER, "mails.resend", numbers=[failed["number"]]) == "not-allowed"
    assert counter.refused(P1, "mails.resend", numbers=[failed["number"]]) == "not-allowed"
    done = counter.ask(CLERK, "mails.resend", numbers=[failed["number"], own["number"]])
    assert done["due"] == [failed["number"]]
    assert [refusal["number"] for refusal in done["refused"]] == [own["number"]]
    assert counter.refused(CLERK, "mails.resend", numbers=list(range(201))) == "too-many"
    mailbox.answers.clear()
    desk.send()
    assert desk.states() == ["sent", "sent"]


def test_a_new_link_goes_to_whoever_has_the_address_and_nobody_hears_who(
    desk: Desk, counter: Counter, mailbox: Mailbox
) -> None:
    assert counter.ask(VIEWER, "links.send", address="nobody@partner.example") is None
    assert counter.ask(VIEWER, "links.send", address="") is None
    desk.send()
    assert mailbox.taken == []
    assert counter.ask(VIEWER, "links.send", address=" P1@Partner.Example ") is None
    assert counter.ask(VIEWER, "links.send", address="p1@partner.example") is None
    desk.send()
    (delivery,) = mailbox.to("p1@partner.example")
    assert delivery.mail["Subject"] == "Your new link"
    assert "/l/" in delivery.part("plain")


def test_a_partner_names_people_and_their_addresses_are_told_to_him_alone(desk: Desk, counter: Counter) -> None:
    sam = {"contact_id": "c-aaaaaaaaaaaaa", "standing": "accountant", "language": "fr"}
    assert counter.refused(LOOKING, "contacts.add", **sam, name="Sam", email="sam@zahl.example") == "not-allowed"
    assert counter.refused(CLERK, "contacts.add", **sam, name="Sam", email="sam@zahl.example") == "not-allowed"
    counter.ask(P1, "contacts.add", **sam, name="Sam", email="sam@zahl.example")
    assert [one["email"] for one in counter.ask(P1, "contacts.list")] == ["sam@zahl.example"]
    assert [one["email"] for one in counter.ask(LOOKING, "contacts.list")] == ["s…@z….example"]
    assert counter.ask(P2, "contacts.list") == []
    assert counter.refused(CLERK, "contacts.list") == "not-allowed"
    settled = {"weekly_mail": True, "gone": True, "at": "2026-11-24T11:00:00Z"}
    assert counter.refused(P1, "contacts.settle", partner_id="P1", **sam, **settled) == "not-allowed"
    counter.ask(CLERK, "contacts.settle", partner_id="P2", **sam, **settled)
    assert len(counter.ask(P1, "contacts.list")) == 1
    counter.ask(CLERK, "contacts.settle", partner_id="P1", **sam, **settled)
    assert counter.ask(P1, "contacts.list") == []
