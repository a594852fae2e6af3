"""A partner's own details: where his money goes, what we write to him in, and all that is kept about him.

An account number is passed on to payout and kept nowhere here: not in the database, a log, an address or the record.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.kit.office.client import Away, Refused
from services.kit.speech import LANGUAGES
from services.portal.access import Asked, Needs, Row
from services.portal.access import Refused as NotOurs
from services.portal.offices import Details, Rehearsal, Sum, acting
from services.portal.own_data import own_data
from services.portal.preferences import chosen
from services.portal.queries import PartnerRows, snapshot
from services.portal.routes.counter import calmly, keep, said
from services.portal.routes.partner import choose, voice_of
from services.portal.voice import Voice

_FIELDS = ("account_holder", "iban", "bic", "town", "country")


async def show_details(asked: Asked) -> Response:
    """What is known. While payout is away, the rest is shown."""

    def render() -> str:
        partner, voice = _partner(asked)
        chosen_language = asked.visitor.language or _chosen(asked)
        versions: list[Details] | None = None
        owed: list[Sum] = []
        try:
            versions = _ask(asked, "bank_details.history", list[Details])
            owed = _ask(asked, "money.of_partner", list[Sum])
        except Away:
            pass  # the page says so
        return asked.page(
            "office/details.html",
            voice,
            partner=partner,
            versions=versions,
            owed=owed,
            done=said(asked),
            chosen=chosen_language,
            languages=LANGUAGES,
        )

    return HTMLResponse(await run_in_threadpool(render))


async def show_form(asked: Asked) -> Response:
    """The form for bank details."""
    return HTMLResponse(await run_in_threadpool(_form_page, asked))


async def enter(asked: Asked) -> Response:
    """Say what the details would do; and when that was seen, enter them."""
    form = {name: asked.form.get(name, "") for name in _FIELDS}

    def do() -> Response:
        try:
            if asked.form.get("seen") != "1":
                rehearsal = _ask(asked, "bank_details.rehearse", Rehearsal, **form)
                return HTMLResponse(_form_page(asked, form, rehearsal=rehearsal), headers=_NOT_KEPT)
            entered = _ask(asked, "bank_details.enter", Rehearsal, **form)
        except Refused as refused:
            return HTMLResponse(_form_page(asked, form, refused=refused), 409, headers=_NOT_KEPT)
        except Away as away:
            if away.may_be_done:
                keep(asked, "bank-details-entered", asked.visitor.partner_id, answered=False)
            raise
        keep(asked, "bank-details-entered", asked.visitor.partner_id, result=entered.result)
        return RedirectResponse("/details?done=bank-details-entered", 303)

    return await run_in_threadpool(do)


async def choose_language(asked: Asked) -> Response:
    """Be spoken to in another language from now on; a contact for himself, a partner with all that we write to him."""
    language, visitor = asked.form.get("language", ""), asked.visitor
    if language not in LANGUAGES and (language or visitor.person):
        raise NotOurs
    await run_in_threadpool(choose, asked, language=language)
    return RedirectResponse("/#language" if visitor.accountant else "/details?done=language-chosen", 303)


async def give_data(asked: Asked) -> Response:
    """All that is kept about the partner, as a file."""

    def make() -> bytes:
        with snapshot(asked.portal.engine) as connection:
            found = own_data(connection, asked.visitor.partner_id)
        for name, ask in (
            ("bank_details", partial(_ask, asked, "bank_details.history", list[Any])),
            ("webhooks", partial(_ask_mails, asked, "webhooks.list")),
            ("mails", partial(_ask_mails, asked, "mails.list")),
            ("contacts", partial(_ask_mails, asked, "contacts.list", list[Any])),
        ):
            try:
                found[name] = ask()
            except Away as away:
                found[name] = f"{away.office} did not answer; ask for the file again later"
        return msgspec.json.format(msgspec.json.encode(found, enc_hook=str))

    name = {"Content-Disposition": 'attachment; filename="my-data.json"'}
    return Response(await run_in_threadpool(make), headers=name, media_type="application/json")


_NOT_KEPT = {"Cache-Control": "no-store"}


def _form_page(
    asked: Asked,
    form: dict[str, str] | None = None,
    *,
    rehearsal: Rehearsal | None = None,
    refused: Refused | None = None,
) -> str:
    known = _ask(asked, "bank_details.history", list[Details])
    return asked.page(
        "office/bank_details.html",
        _partner(asked)[1],
        form=form or dict.fromkeys(_FIELDS, ""),
        known=known[-1] if known else None,
        rehearsal=rehearsal,
        refused=refused,
    )


def _partner(asked: Asked) -> tuple[Any, Voice]:
    with snapshot(asked.portal.engine) as connection:
        partner = PartnerRows(connection, asked.portal.programme.id, asked.visitor.partner_id).partner()
    return partner, voice_of(asked, partner)


def _chosen(asked: Asked) -> str:
    with snapshot(asked.portal.engine) as connection:
        return chosen(connection, asked.visitor.partner_id).language


def _ask(asked: Asked, operation: str, kind: Any, **arguments: Any) -> Any:
    return asked.portal.offices.payout.ask(acting(asked.visitor), operation, kind, **arguments)


def _ask_mails(asked: Asked, operation: str, kind: Any = dict[str, Any]) -> Any:
    return asked.portal.offices.notification.ask(acting(asked.visitor), operation, kind)


ROWS = calmly(
    (
        Row("/details", show_details, Needs.LINK, "details"),
        Row("/details/language", choose_language, Needs.READ, "language", "POST"),
        Row("/details/my-data.json", give_data, Needs.LINK, "my-data"),
        Row("/details/bank", show_form, Needs.CONFIRMED, "bank-details"),
        Row("/details/bank", enter, Needs.CONFIRMED, "bank-details", "POST"),
    )
)
