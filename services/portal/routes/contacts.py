"""The people whom a partner names: who they are, what each may do, naming another, and shutting one out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy import Row as SqlRow
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.kit.contacts import Standing, new_contact_id
from services.kit.office.client import Away
from services.kit.office.client import Refused as NotDone
from services.kit.speech import LANGUAGES
from services.portal import contacts
from services.portal.access import Asked, Needs, Refused, Row
from services.portal.audit import actor, note
from services.portal.identity.codes import Purpose
from services.portal.identity.pace import Limit
from services.portal.offices import Contact, acting
from services.portal.queries import PartnerRows, snapshot
from services.portal.routes.counter import calmly, said, shown
from services.portal.routes.partner import voice_of
from services.portal.views import NotHere

PATH = "/details/contacts"
_NAMED_A_DAY = 30
_NOT_KEPT = {"Cache-Control": "no-store"}


class Person(NamedTuple):
    """Somebody named, as the page shows him."""

    contact_id: str
    standing: str
    language: str
    known: Contact | None
    """Name and address; None while nobody says them."""
    admitted: bool = True
    """False where naming him was cut short: he gets mails, and does not come in."""


async def show_contacts(asked: Asked) -> Response:
    """All of them. Without notification they have no names, and can be shut out all the same."""
    return await shown(asked, _page)


async def add(asked: Asked) -> Response:
    """Name somebody. An owner needs a code, which is shown this once."""
    name, email = asked.form.get("name", ""), asked.form.get("email", "")
    standing, language = _choices(asked)
    contact_id, partner_id = new_contact_id(), asked.visitor.partner_id
    facts = {"contact_id": contact_id, "standing": standing, "language": language}

    def do() -> Response:
        if not asked.portal.pace.spend(Limit("contact", partner_id, _NAMED_A_DAY, timedelta(days=1))):
            return HTMLResponse(_page(asked, None, wrong="pause"), 429)
        try:
            _ask(asked, "contacts.add", name=name, email=email, **facts)
        except NotDone as refused:
            return HTMLResponse(_page(asked, refused), 409)
        except Away as away:
            if away.may_be_done:
                _admit(asked, contact_id, standing, language, answered=False)
            raise
        code = _admit(asked, contact_id, standing, language)
        if code:
            return HTMLResponse(_page(asked, None, code=code, done="contact-added"), headers=_NOT_KEPT)
        return RedirectResponse(f"{PATH}?done=contact-added", 303)

    return await run_in_threadpool(do)


async def change(asked: Asked) -> Response:
    """Make somebody something else, or have him spoken to in another language."""
    standing, language = _choices(asked)

    def act(connection: Connection, partner_id: str, contact_id: str) -> bool:
        at = asked.portal.sessions.now()
        return contacts.change(connection, partner_id, contact_id, standing, language, at)

    return await _acted(asked, "contact-changed", act, standing=standing.value, language=language)


async def remove(asked: Asked) -> Response:
    """Shut somebody out, whoever is away. Who was never let in is forgotten where he is known."""

    def act(connection: Connection, partner_id: str, contact_id: str) -> bool:
        return contacts.remove(connection, partner_id, contact_id, asked.portal.sessions.now())

    def stray() -> None:
        with snapshot(asked.portal.engine) as connection:
            known = {row.contact_id for row in contacts.named(connection, partner_id, removed=True)}
        if contact_id not in known and any(one.contact_id == contact_id for one in _listed(asked)):
            with asked.portal.engine.begin() as connection:
                at = asked.portal.sessions.now()
                contacts.add(connection, partner_id, contact_id, Standing.ACCOUNTANT, LANGUAGES[0], at)

    contact_id, partner_id = asked.request.path_params["contact_id"], asked.visitor.partner_id
    await run_in_threadpool(stray)
    return await _acted(asked, "contact-removed", act)


async def make_code(asked: Asked) -> Response:
    """A new code with which an owner sets up his second factor; one of before is worth nothing any more."""

    def do() -> Response:
        contact_id, partner_id = asked.request.path_params["contact_id"], asked.visitor.partner_id
        with asked.portal.engine.begin() as connection:
            found = contacts.find(connection, partner_id, contact_id)
            if found is None or found.standing != Standing.OWNER:
                raise NotHere
            code = _code(asked, connection, contact_id)
        return HTMLResponse(_page(asked, None, code=code), headers=_NOT_KEPT)

    return await run_in_threadpool(do)


async def _acted(asked: Asked, what: str, act: Callable[[Connection, str, str], bool], **details: str) -> Response:
    """Do something with one of them, with its note in the record. Notification is told a moment later."""
    contact_id, partner_id = asked.request.path_params["contact_id"], asked.visitor.partner_id

    def do() -> Response:
        with asked.portal.engine.begin() as connection:
            if not act(connection, partner_id, contact_id):
                raise NotHere
            note(connection, actor(asked.visitor), what, partner_id, contact=contact_id, **details)
        return RedirectResponse(f"{PATH}?done={what}", 303)

    return await run_in_threadpool(do)


def _admit(asked: Asked, contact_id: str, standing: Standing, language: str, **details: bool) -> str:
    """Let somebody in. Answers the code that an owner needs, else nothing."""
    partner_id = asked.visitor.partner_id
    with asked.portal.engine.begin() as connection:
        contacts.add(connection, partner_id, contact_id, standing, language, asked.portal.sessions.now())
        about: dict[str, str | bool] = {"contact": contact_id, "standing": standing.value, "language": language}
        note(connection, actor(asked.visitor), "contact-added", partner_id, **about, **details)
        return _code(asked, connection, contact_id) if standing is Standing.OWNER else ""


def _code(asked: Asked, connection: Connection, contact_id: str) -> str:
    partner_id = asked.visitor.partner_id
    (code,) = asked.portal.codes.make(connection, contacts.owner_of(partner_id, contact_id), Purpose.ACTIVATION)
    note(connection, actor(asked.visitor), "activation-code-made", partner_id, contact=contact_id)
    return code


def _choices(asked: Asked) -> tuple[Standing, str]:
    """What the form says. Raises Refused for what no form of ours offers."""
    standing, language = asked.form.get("standing", ""), asked.form.get("language", "")
    if standing not in list(Standing) or language not in LANGUAGES:
        raise Refused
    return Standing(standing), language


def _page(asked: Asked, refused: NotDone | None, *, code: str = "", wrong: str = "", done: str = "") -> str:
    visitor = asked.visitor
    with snapshot(asked.portal.engine) as connection:
        partner = PartnerRows(connection, asked.portal.programme.id, visitor.partner_id).partner()
        rows = contacts.named(connection, visitor.partner_id, removed=True)
    try:
        people, away = _people(rows, _listed(asked)), False
    except Away:
        people, away = _people(rows, []), True
    return asked.page(
        "contacts.html",
        voice_of(asked, partner),
        people=people,
        away=away,
        code=code,
        refused=refused,
        wrong=wrong,
        done=done or said(asked),
        languages=LANGUAGES,
        standings=Standing,
        given=asked.form if refused or wrong else {},
    )


def _people(rows: Sequence[SqlRow[Any]], listed: Sequence[Contact]) -> list[Person]:
    """Both halves of what is known, put together."""
    names = {one.contact_id: one for one in listed}
    known = {row.contact_id for row in rows}
    found = [
        Person(row.contact_id, row.standing, row.language, names.get(row.contact_id))
        for row in rows
        if row.removed_at is None
    ]
    found += [
        Person(one.contact_id, one.standing, one.language, one, admitted=False)
        for one in listed
        if one.contact_id not in known
    ]
    return sorted(found, key=lambda person: (person.known.name.lower() if person.known else "", person.contact_id))


def _listed(asked: Asked) -> list[Contact]:
    found: list[Contact] = _ask(asked, "contacts.list", list[Contact])
    return found


def _ask(asked: Asked, operation: str, kind: Any = object, **arguments: Any) -> Any:
    return asked.portal.offices.notification.ask(acting(asked.visitor), operation, kind, **arguments)


ROWS = calmly(
    (
        Row(PATH, show_contacts, Needs.LINK, "contacts"),
        Row(PATH, add, Needs.CONFIRMED, "contacts", "POST"),
        Row(f"{PATH}/{{contact_id}}/change", change, Needs.CONFIRMED, "contacts", "POST"),
        Row(f"{PATH}/{{contact_id}}/remove", remove, Needs.CONFIRMED, "contacts", "POST"),
        Row(f"{PATH}/{{contact_id}}/code", make_code, Needs.CONFIRMED, "contacts", "POST"),
    )
)
