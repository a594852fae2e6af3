"""The portal's routes. Whatever is not the visitor's own does not exist for him: one answer for all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from sqlalchemy import Engine, Row
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from deploy.runtime.clock import Clock, RealClock
from deploy.runtime.settings import Settings
from schemas.events import PreferenceSource
from services.kit.links import LinkExpired, LinkInvalid, read_token, read_unsubscribe_token
from services.kit.statements import Form, Shelf
from services.portal.auth import LIFETIME, PARTNER, STAFF, Cookies, Forms, Sessions, Visitor, new_id
from services.portal.headers import Guarded
from services.portal.live import EVERYBODY, Changes, Fragments, stream
from services.portal.metrics import REFUSED, SESSIONS
from services.portal.pages import STATIC, Pages
from services.portal.preferences import choose
from services.portal.programme_view import ProgrammePage, programme_page
from services.portal.queries import PartnerRows, snapshot
from services.portal.views import NotHere, PartnerPage, partner_page, read_address
from services.portal.voice import Voice, voice_for, voice_for_header
from services.portal.why import why_page
from streams.rules.terms import Programme

_FORM_BYTES_MAX = 4096
_FORM_SECONDS = 3600
_MEDIA_TYPES = {Form.PDF.value: "application/pdf", Form.CSV.value: "text/csv; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Portal:
    """What the routes work with."""

    settings: Settings
    programme: Programme
    engine: Engine
    clock: Clock
    changes: Changes
    sessions: Sessions
    cookies: Cookies
    forms: Forms
    pages: Pages
    shelf: Shelf


def create_web(
    settings: Settings,
    programme: Programme,
    engine: Engine,
    clock: Clock,
    changes: Changes,
    real: Clock | None = None,
) -> ASGIApp:
    """The portal as an ASGI application. ``clock`` is the programme's, ``real`` the one that sessions live by."""
    portal = Portal(
        settings=settings,
        programme=programme,
        engine=engine,
        clock=clock,
        changes=changes,
        sessions=Sessions(engine, real or RealClock()),
        cookies=Cookies(settings),
        forms=Forms(settings),
        pages=Pages(clock),
        shelf=Shelf(Path(settings.statements)),
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        changes.open()
        yield

    def bound(handler: Callable[..., Any]) -> Callable[[Request], Any]:
        async def call(request: Request) -> Response:
            answer: Response = await handler(portal, request)
            return answer

        return call

    app = Starlette(
        routes=[
            Route("/", bound(show_partner)),
            Route("/events", bound(follow_partner)),
            Route("/why", bound(show_why)),
            Route("/statements/{number}.{form}", bound(give_statement)),
            Route("/programme", bound(show_programme)),
            Route("/programme/events", bound(follow_programme)),
            Route("/l/{token}", bound(show_door), methods=["GET"]),
            Route("/l/{token}", bound(enter), methods=["POST"]),
            Route("/logout", bound(leave), methods=["POST"]),
            Route("/weekly-mail", bound(choose_weekly_mail), methods=["POST"]),
            Route("/unsubscribe/{token}", bound(offer_unsubscribing), methods=["GET"]),
            Route("/unsubscribe/{token}", bound(unsubscribe), methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        exception_handlers={
            NotHere: bound_error(portal, "nothing", 404),
            HTTPException: bound_error(portal, "nothing", 404),
            Refused: bound_error(portal, "refused", 403),
            Exception: bound_error(portal, "failed", 500),
        },
        lifespan=lifespan,
    )
    return Guarded(app, secure=portal.cookies.secure)


class Refused(Exception):
    """A form that no page of ours has shown to this browser."""


def bound_error(portal: Portal, name: str, status: int) -> Callable[[Request, Exception], Response]:
    """Answers an exception with a page that tells what can be done, and nothing of what is there."""

    def answer(request: Request, _: Exception) -> Response:
        return HTMLResponse(portal.pages.message(name, _voice(portal, request)), status)

    return answer


async def show_partner(portal: Portal, request: Request) -> Response:
    """The partner's own page."""
    visitor = await _visitor(portal, request, PARTNER)

    def render() -> str:
        page, voice = _partner_page(portal, request, visitor)
        return portal.pages.partner(page, voice, portal.forms.mark(visitor.session_id))

    return HTMLResponse(await run_in_threadpool(render))


async def follow_partner(portal: Portal, request: Request) -> Response:
    """What changes on it, as it happens."""
    visitor = await _visitor(portal, request, PARTNER)

    def render() -> Fragments | None:
        if portal.sessions.find(visitor.session_id, used=False) is None:
            return None
        return portal.pages.partner_parts(*_partner_page(portal, request, visitor))

    return _stream(portal, request, visitor.partner_id, render, rest=0.25)


async def show_why(portal: Portal, request: Request) -> Response:
    """The partner's number, taken apart."""
    visitor = await _visitor(portal, request, PARTNER)

    def render() -> str:
        with snapshot(portal.engine) as connection:
            rows = PartnerRows(connection, portal.programme.id, visitor.partner_id)
            page = why_page(rows, portal.programme, read_address(request.query_params), portal.clock.now())
        voice = _voice_of(portal, request, page.partner)
        return portal.pages.why(page, voice, portal.forms.mark(visitor.session_id))

    return HTMLResponse(await run_in_threadpool(render))


async def give_statement(portal: Portal, request: Request) -> Response:
    """One of the partner's statements, as it was issued."""
    visitor = await _visitor(portal, request, PARTNER)
    number, form = request.path_params["number"], request.path_params["form"]
    if form not in _MEDIA_TYPES:
        raise NotHere
    content = await run_in_threadpool(portal.shelf.read, visitor.partner_id, number, Form(form))
    if content is None:
        raise NotHere
    name = {"Content-Disposition": f'attachment; filename="{number}.{form}"'}
    return Response(content, headers=name, media_type=_MEDIA_TYPES[form])


async def show_programme(portal: Portal, request: Request) -> Response:
    """The vendor's page."""
    visitor = await _visitor(portal, request, STAFF)

    def render() -> str:
        return portal.pages.programme(
            _programme_page(portal, request), _voice(portal, request), portal.forms.mark(visitor.session_id)
        )

    return HTMLResponse(await run_in_threadpool(render))


async def follow_programme(portal: Portal, request: Request) -> Response:
    """What changes on it, as it happens."""
    visitor = await _visitor(portal, request, STAFF)

    def render() -> Fragments | None:
        if portal.sessions.find(visitor.session_id, used=False) is None:
            return None
        return portal.pages.programme_parts(_programme_page(portal, request), _voice(portal, request))

    return _stream(portal, request, EVERYBODY, render, rest=1.0)


async def show_door(portal: Portal, request: Request) -> Response:
    """What a personal link shows: a button. Looking opens nothing, as mail scanners look at every link."""
    refused = _refusal(portal, request)
    if refused is not None:
        return refused
    cookie = request.cookies.get(portal.cookies.form) or new_id()
    html = portal.pages.message(
        "door", _voice(portal, request), mark=portal.forms.mark(cookie), action=request.url.path + _wanted(request)
    )
    response = HTMLResponse(html)
    portal.cookies.put(response, portal.cookies.form, cookie, _FORM_SECONDS)
    return response


async def enter(portal: Portal, request: Request) -> Response:
    """Redeem a personal link: open a session and go to the page, which carries no token."""
    refused = _refusal(portal, request)
    if refused is not None:
        return refused
    form = await _form(request)
    if not portal.forms.is_ours(request, request.cookies.get(portal.cookies.form, ""), form.get("mark", "")):
        raise Refused
    invitation = read_token(portal.settings, request.path_params["token"])
    before = request.cookies.get(portal.cookies.session, "")
    if before:
        await run_in_threadpool(portal.sessions.end, before)
    session_id = await run_in_threadpool(portal.sessions.open, invitation)
    SESSIONS.labels(invitation.audience).inc()
    page = "/programme" if invitation.audience == STAFF else "/"
    response = RedirectResponse(page + _wanted(request), 303)
    portal.cookies.put(response, portal.cookies.session, session_id, int(LIFETIME.total_seconds()))
    portal.cookies.drop(response, portal.cookies.form)
    return response


async def leave(portal: Portal, request: Request) -> Response:
    """Sign out."""
    session_id = request.cookies.get(portal.cookies.session, "")
    if await run_in_threadpool(portal.sessions.find, session_id) is None:
        raise NotHere
    form = await _form(request)
    if not portal.forms.is_ours(request, session_id, form.get("mark", "")):
        raise Refused
    await run_in_threadpool(portal.sessions.end, session_id)
    response = HTMLResponse(portal.pages.message("left", _voice(portal, request)))
    portal.cookies.drop(response, portal.cookies.session)
    return response


async def choose_weekly_mail(portal: Portal, request: Request) -> Response:
    """Turn the weekly mail off or on again, from the partner's own page."""
    visitor = await _visitor(portal, request, PARTNER)
    form = await _form(request)
    if form.get("on") not in ("0", "1") or not portal.forms.is_ours(request, visitor.session_id, form.get("mark", "")):
        raise Refused
    at = portal.clock.now()
    await run_in_threadpool(choose, portal.engine, visitor.partner_id, form["on"] == "1", PreferenceSource.PORTAL, at)
    return RedirectResponse("/" + _wanted(request) + "#mails", 303)


async def offer_unsubscribing(portal: Portal, request: Request) -> Response:
    """What the link under a weekly mail shows: a button. Looking changes nothing, as scanners look at every link."""
    _unsubscriber(portal, request)
    page = portal.pages.message("unsubscribe", _voice(portal, request), action=request.url.path)
    return HTMLResponse(page)


async def unsubscribe(portal: Portal, request: Request) -> Response:
    """Turn the weekly mail off: by the link's button, or by the mail program itself (RFC 8058), which knows no session
    and no mark. The token is all that it takes, and this is all that the token can do."""
    partner_id = _unsubscriber(portal, request)
    await _form(request)
    await run_in_threadpool(choose, portal.engine, partner_id, False, PreferenceSource.MAIL, portal.clock.now())
    return HTMLResponse(portal.pages.message("unsubscribed", _voice(portal, request)))


def _unsubscriber(portal: Portal, request: Request) -> str:
    try:
        return read_unsubscribe_token(portal.settings, request.path_params["token"])
    except (LinkExpired, LinkInvalid):
        REFUSED.labels("link-invalid").inc()
        raise NotHere from None


def _wanted(request: Request) -> str:
    """The query of the page that a personal link leads to: of the quarter that its mail is about."""
    quarter = read_address(request.query_params).quarter
    return f"?quarter={quarter}" if quarter else ""


def _refusal(portal: Portal, request: Request) -> Response | None:
    """The answer to a link that opens nothing, or None if it would open something."""
    try:
        audience, partner_id = read_token(portal.settings, request.path_params["token"])
    except LinkExpired:
        REFUSED.labels("link-expired").inc()
        return HTMLResponse(portal.pages.message("expired", _voice(portal, request)), 410)
    except LinkInvalid:
        REFUSED.labels("link-invalid").inc()
        raise NotHere from None
    if (audience, bool(partner_id)) not in ((PARTNER, True), (STAFF, False)):
        raise NotHere
    return None


async def _visitor(portal: Portal, request: Request, audience: str) -> Visitor:
    """Who is asking, if he is of this audience. Raises NotHere, as for a page that does not exist."""
    session_id = request.cookies.get(portal.cookies.session, "")
    visitor = await run_in_threadpool(portal.sessions.find, session_id)
    if visitor is None or visitor.audience != audience:
        REFUSED.labels("no-session" if visitor is None else "not-his").inc()
        raise NotHere
    return visitor


def _partner_page(portal: Portal, request: Request, visitor: Visitor) -> tuple[PartnerPage, Voice]:
    with snapshot(portal.engine) as connection:
        rows = PartnerRows(connection, portal.programme.id, visitor.partner_id)
        address = read_address(request.query_params)
        cards = portal.shelf.of_partner(visitor.partner_id)
        page = partner_page(rows, portal.programme, visitor.partner_id, address, portal.clock.now(), cards)
    return page, _voice_of(portal, request, page.partner)


def _programme_page(portal: Portal, request: Request) -> ProgrammePage:
    with snapshot(portal.engine) as connection:
        address = read_address(request.query_params)
        return programme_page(connection, portal.programme, address, portal.clock.now())


def _stream(
    portal: Portal, request: Request, partner_id: str, render: Callable[[], Fragments | None], rest: float
) -> Response:
    if portal.changes.full:
        return Response("too many pages are open\n", 503, {"Retry-After": "30"}, "text/plain")
    read_address(request.query_params)  # an address that is none is refused before the stream begins
    seen = request.headers.get("last-event-id") or request.query_params.get("seen", "")
    events = stream(portal.changes, partner_id, render, seen, portal.pages.look_every, rest)
    return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _voice_of(portal: Portal, request: Request, partner: Row[Any] | None) -> Voice:
    """A partner's voice, or as long as nobody knows him, that of his browser."""
    if partner is None:
        return _voice(portal, request)
    return voice_for(partner.language, partner.country, portal.programme.zone)


def _voice(portal: Portal, request: Request) -> Voice:
    return voice_for_header(request.headers.get("accept-language", ""), portal.programme.zone)


async def _form(request: Request) -> dict[str, str]:
    """A small form's fields. Raises Refused for a body that none of our forms sends."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES_MAX:
            raise Refused
    try:
        return {name: values[-1] for name, values in parse_qs(body.decode("ascii")).items()}
    except ValueError:
        raise Refused from None
