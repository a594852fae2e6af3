"""The partner's own pages. What they show is chosen by his session alone: no address names a partner."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row as SqlRow
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from schemas.events import PreferenceSource
from services.kit.statements import Form
from services.portal.access import Asked, Needs, Refused, Row
from services.portal.live import Fragments
from services.portal.preferences import choose
from services.portal.queries import PartnerRows, snapshot
from services.portal.routes.door import wanted
from services.portal.routes.live import follow
from services.portal.views import NotHere, PartnerPage, partner_page, read_address
from services.portal.voice import Voice
from services.portal.why import why_page

_MEDIA_TYPES = {Form.PDF.value: "application/pdf", Form.CSV.value: "text/csv; charset=utf-8"}


async def show_partner(asked: Asked) -> Response:
    """The partner's own page."""

    def render() -> str:
        page, voice = _page(asked)
        parts = asked.portal.pages.partner_parts(page, voice)
        live = page.address.url("/events", quarter=page.quarter, page=page.address.wanted.page)
        return asked.page("partner.html", voice, live, page=page, parts=parts)

    return HTMLResponse(await run_in_threadpool(render))


async def follow_partner(asked: Asked) -> Response:
    """What changes on it, as it happens."""

    def render() -> Fragments | None:
        if asked.portal.sessions.find(asked.visitor.session_id, used=False) is None:
            return None
        return asked.portal.pages.partner_parts(*_page(asked))

    return follow(asked, asked.visitor.partner_id, render, rest=0.25)


async def show_why(asked: Asked) -> Response:
    """The partner's number, taken apart."""
    portal = asked.portal

    def render() -> str:
        with snapshot(portal.engine) as connection:
            rows = PartnerRows(connection, portal.programme.id, asked.visitor.partner_id)
            address = read_address(asked.request.query_params)
            page = why_page(rows, portal.programme, address, portal.clock.now())
        return asked.page("why.html", voice_of(asked, page.partner), page=page)

    return HTMLResponse(await run_in_threadpool(render))


async def give_statement(asked: Asked) -> Response:
    """One of the partner's statements, as it was issued."""
    number, form = asked.request.path_params["number"], asked.request.path_params["form"]
    if form not in _MEDIA_TYPES:
        raise NotHere
    content = await run_in_threadpool(asked.portal.shelf.read, asked.visitor.partner_id, number, Form(form))
    if content is None:
        raise NotHere
    name = {"Content-Disposition": f'attachment; filename="{number}.{form}"'}
    return Response(content, headers=name, media_type=_MEDIA_TYPES[form])


async def choose_weekly_mail(asked: Asked) -> Response:
    """Turn the weekly mail off or on again, from the partner's own page."""
    if asked.form.get("on") not in ("0", "1"):
        raise Refused
    portal, on = asked.portal, asked.form["on"] == "1"
    await run_in_threadpool(
        choose, portal.engine, asked.visitor.partner_id, on, PreferenceSource.PORTAL, portal.clock.now()
    )
    return RedirectResponse("/" + wanted(asked) + "#mails", 303)


def voice_of(asked: Asked, partner: SqlRow[Any] | None) -> Voice:
    """A partner's voice, or as long as nobody knows him, that of his browser."""
    return asked.voice(partner.language, partner.country) if partner else asked.voice()


def _page(asked: Asked) -> tuple[PartnerPage, Voice]:
    portal, partner_id = asked.portal, asked.visitor.partner_id
    with snapshot(portal.engine) as connection:
        rows = PartnerRows(connection, portal.programme.id, partner_id)
        address = read_address(asked.request.query_params)
        cards = portal.shelf.of_partner(partner_id)
        page = partner_page(rows, portal.programme, partner_id, address, portal.clock.now(), cards)
    return page, voice_of(asked, page.partner)


ROWS = (
    Row("/", show_partner, Needs.LINK, "partner"),
    Row("/events", follow_partner, Needs.LINK, "events"),
    Row("/why", show_why, Needs.LINK, "why"),
    Row("/statements/{number}.{form}", give_statement, Needs.LINK, "statement"),
    Row("/weekly-mail", choose_weekly_mail, Needs.LINK, "weekly-mail", "POST"),
)
