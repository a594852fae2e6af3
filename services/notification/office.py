"""Notification's office: what the portal may ask about webhooks and mails, and have done.

The operations call what the command line calls. A partner's endpoints are known to him alone; a secret is told once, to
the partner, when it is made. Mail addresses leave the office masked; those of the people whom a partner named are told
to him whole once he has shown a second factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from deploy.runtime.clock import RealClock
from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import Port, Settings
from services.kit.contacts import Standing
from services.kit.database import reading
from services.kit.office.protocol import Actor, Arguments, Operation, Role
from services.kit.office.server import Counter, Office
from services.kit.sealing import Sealer
from services.notification import overview
from services.notification.overview import Wanted
from services.notification.people import People, Wish
from services.notification.renewals import Renewals
from services.notification.tables import State
from services.notification.webhooks import deliveries, endpoints
from services.notification.webhooks.payloads import TYPES
from services.notification.webhooks.target import Gate

NAME = "notification"
_MAILS_MAX, _FILE_MAX = 200, 20_000
"""So many mails are shown or sent again at a time; so many rows a list may have."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the process holds open."""

    settings: Settings
    engine: Engine
    sealer: Sealer
    gate: Gate
    renewals: Renewals
    people: People

    def now(self) -> datetime:
        """This instant. Webhooks and mails go by real time, whatever clock the programme runs on."""
        return RealClock().now()


class Whose(Arguments):
    """Staff says which partner, or nobody for all; a partner asks for himself, whatever is said here."""

    partner_id: str = ""


class NewEndpoint(Arguments):
    """Where to tell what; no types: all."""

    url: str
    types: tuple[str, ...] = ()


class Endpoint(Arguments):
    """Which endpoint, and of its latest deliveries so many."""

    endpoint: str
    limit: int = 50


class Again(Endpoint):
    """What is to be sent there again: one delivery, or all that were given up."""

    delivery: int = 0


class Mails(Arguments):
    """Which mails: of these states, or of any; of a partner, or of all."""

    partner_id: str = ""
    states: tuple[State, ...] = ()
    limit: int = 200


class Numbers(Arguments):
    """Which mails, by number."""

    numbers: list[int]


class Address(Arguments):
    """Who wants a new link, as he entered it."""

    address: str


class Contact(Arguments):
    """Somebody whom the partner names."""

    contact_id: str
    name: str
    email: str
    standing: Standing
    language: str


class Settled(Arguments):
    """What somebody is from then on, by the portal's word."""

    partner_id: str
    contact_id: str
    standing: Standing
    language: str
    weekly_mail: bool
    gone: bool
    at: datetime


def list_endpoints(means: Means, actor: Actor, said: Whose) -> dict[str, Any]:
    """The endpoints, how they do, and which types there are."""
    partner_id = actor.partner_id or said.partner_id or None
    with reading(means.engine).connect() as connection:
        return {"endpoints": endpoints.overview(connection, partner_id), "types": list(TYPES)}


def add(means: Means, actor: Actor, said: NewEndpoint) -> dict[str, str]:
    """Enter an endpoint; answers its secret, this once."""
    with means.engine.begin() as connection:
        made = endpoints.add(connection, means.sealer, means.gate, actor.partner_id, said.url, said.types, means.now())
    return made._asdict()


def rotate(means: Means, actor: Actor, said: Endpoint) -> str:
    """Give an endpoint another secret; the old one signs beside it for a day."""
    with means.engine.begin() as connection:
        _own(connection, actor, said)
        return endpoints.rotate(connection, means.sealer, said.endpoint, means.now())


def remove(means: Means, actor: Actor, said: Endpoint) -> None:
    """Forget an endpoint and all that was or was to be sent there."""
    with means.engine.begin() as connection:
        _own(connection, actor, said)
        endpoints.remove(connection, said.endpoint)


def enable(means: Means, actor: Actor, said: Endpoint) -> int:
    """Send there again; answers how many deliveries have waited."""
    with means.engine.begin() as connection:
        _own(connection, actor, said)
        return endpoints.enable(connection, said.endpoint, means.now())


def ping(means: Means, actor: Actor, said: Endpoint) -> int:
    """Have a ping sent; answers the delivery's number."""
    with means.engine.begin() as connection:
        _own(connection, actor, said)
        return deliveries.ping(connection, said.endpoint, means.now())


def replay(means: Means, actor: Actor, said: Again) -> int:
    """Have deliveries sent again; answers how many."""
    with means.engine.begin() as connection:
        _own(connection, actor, said)
        one = said.delivery or None
        return deliveries.replay(connection, said.endpoint, means.now(), number=one, failed_only=one is None)


def log(means: Means, actor: Actor, said: Endpoint) -> dict[str, Any]:
    """An endpoint and its latest deliveries, with what it answered."""
    with reading(means.engine).connect() as connection:
        partner_id = _own(connection, actor, said)
        (endpoint,) = [row for row in endpoints.overview(connection, partner_id) if row["id"] == said.endpoint]
        return {
            "endpoint": endpoint,
            "deliveries": deliveries.log(connection, said.endpoint, _within(said.limit)),
        }


def list_mails(means: Means, actor: Actor, said: Mails) -> dict[str, Any]:
    """Mails, newest first, and how many there are."""
    whose, limit = actor.partner_id or said.partner_id, _within(said.limit)
    wanted = Wanted(states=said.states, partner_id=whose, limit=limit)
    found = overview.listed(means.engine, wanted)
    return {"total": found.total, "mails": [overview.as_dict(row) for row in found.rows]}


def show_mail(means: Means, _actor: Actor, said: Numbers) -> list[dict[str, Any]]:
    """All about some mails, their addresses masked."""
    found = (overview.shown(means.engine, number) for number in said.numbers[:_MAILS_MAX])
    return [mail for mail in found if mail is not None]


def resend(means: Means, _actor: Actor, said: Numbers) -> dict[str, Any]:
    """Make mails due that were not sent; answers which, and why others are not."""
    done = overview.resend(means.engine, _few(said.numbers))
    return {"due": list(done.numbers), "refused": [refusal._asdict() for refusal in done.refused]}


def send_link(means: Means, _actor: Actor, said: Address) -> None:
    """Have a new link sent to whoever has this address. Whether anybody has it is not told."""
    means.renewals.ask(said.address)


def list_contacts(means: Means, actor: Actor, _said: Arguments) -> list[dict[str, Any]]:
    """Whom the partner named."""
    with reading(means.engine).connect() as connection:
        return means.people.listed(connection, actor.partner_id, whole=actor.role is Role.CONFIRMED)


def add_contact(means: Means, actor: Actor, said: Contact) -> None:
    """Name somebody, and invite him."""
    wish = Wish(said.contact_id, said.standing, said.language)
    means.people.add(actor.partner_id, wish, said.name, said.email)


def settle_contact(means: Means, _actor: Actor, said: Settled) -> None:
    """Make somebody what he is, or forget him."""
    wish = Wish(said.contact_id, said.standing, said.language)
    means.people.settle(said.partner_id, wish, weekly_mail=said.weekly_mail, gone=said.gone, at=said.at)


OPERATIONS = (
    Operation("webhooks.list", Whose, list_endpoints, staff=Role.VIEWER, partner=Role.PARTNER),
    Operation("webhooks.log", Endpoint, log, staff=Role.VIEWER, partner=Role.PARTNER),
    Operation("webhooks.add", NewEndpoint, add, partner=Role.CONFIRMED),
    Operation("webhooks.rotate", Endpoint, rotate, partner=Role.CONFIRMED),
    Operation("webhooks.remove", Endpoint, remove, staff=Role.OPERATOR, partner=Role.CONFIRMED),
    Operation("webhooks.enable", Endpoint, enable, staff=Role.OPERATOR, partner=Role.CONFIRMED),
    Operation("webhooks.ping", Endpoint, ping, staff=Role.OPERATOR, partner=Role.CONFIRMED),
    Operation("webhooks.replay", Again, replay, staff=Role.OPERATOR, partner=Role.CONFIRMED),
    Operation("mails.list", Mails, list_mails, staff=Role.VIEWER, partner=Role.PARTNER),
    Operation("mails.show", Numbers, show_mail, staff=Role.VIEWER),
    Operation("mails.resend", Numbers, resend, staff=Role.OPERATOR),
    Operation("contacts.list", Arguments, list_contacts, partner=Role.PARTNER),
    Operation("contacts.add", Contact, add_contact, partner=Role.CONFIRMED),
    Operation("contacts.settle", Settled, settle_contact, staff=Role.OPERATOR),
    Operation("links.send", Address, send_link, staff=Role.VIEWER),
)
"""All that it does, with the role that each needs."""


def open_office(means: Means) -> Office:
    """Open it. Raises NotReady if its port is taken."""
    return Office(means.settings, Port.NOTIFICATION_OFFICE, NAME, Counter(means.settings, NAME, means, OPERATIONS))


def _own(connection: Connection, actor: Actor, said: Endpoint) -> str:
    """The partner whose endpoint it is. Raises StaffelError, as for one that is not there, if it is not the actor's."""
    endpoint = endpoints.find(connection, said.endpoint)
    if actor.partner_id and endpoint.partner_id != actor.partner_id:
        raise StaffelError(f"there is no endpoint {said.endpoint!r}", code="unknown-endpoint")
    return str(endpoint.partner_id)


def _within(limit: int) -> int:
    return max(1, min(limit, _FILE_MAX))


def _few(numbers: Sequence[int]) -> Sequence[int]:
    if len(numbers) > _MAILS_MAX:
        raise StaffelError(f"at most {_MAILS_MAX} mails are sent again at a time", code="too-many")
    return numbers
