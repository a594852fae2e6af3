"""The portal as an application: what the routes work with, the tables of routes, and the answers to what goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from deploy.runtime.clock import Clock, RealClock
from deploy.runtime.settings import Settings
from services.kit.statements import Shelf
from services.portal.access import Asked, Portal, Refused, Row, routes
from services.portal.api.app import create_api
from services.portal.auth import Cookies, Forms, Sessions
from services.portal.badges import Badges
from services.portal.brand import read_brand
from services.portal.breakdown import Breakdowns
from services.portal.headers import Guarded
from services.portal.identity.client import read_proxies
from services.portal.identity.codes import Codes
from services.portal.identity.pace import Pace
from services.portal.identity.passkeys import Passkeys
from services.portal.identity.provider import Provider
from services.portal.live import Changes
from services.portal.offices import open_offices
from services.portal.pages import STATIC, Pages
from services.portal.routes import (
    audit,
    bank,
    brand,
    claims,
    confirm,
    contacts,
    deadletters,
    desk,
    details,
    door,
    endpoints,
    holds,
    lists,
    looking,
    mails,
    partner,
    payments,
    programme,
    provider,
    renewal,
    security,
    signin,
    tokens,
)
from services.portal.views import NotHere
from services.portal.visitors import Visitors
from streams.rules.terms import Programme

ROWS: tuple[Row, ...] = (
    *door.ROWS,
    *partner.ROWS,
    *programme.ROWS,
    *tokens.ROWS,
    *brand.ROWS,
    *signin.ROWS,
    *provider.ROWS,
    *confirm.ROWS,
    *security.ROWS,
    *renewal.ROWS,
    *looking.ROWS,
    *audit.ROWS,
    *desk.ROWS,  # before the claims, whose ids have the same place in an address
    *claims.ROWS,
    *payments.ROWS,
    *holds.ROWS,
    *details.ROWS,
    *contacts.ROWS,
    *endpoints.ROWS,
    *bank.ROWS,
    *mails.ROWS,
    *lists.ROWS,
    *deadletters.ROWS,
)
"""Every route of the portal, with what it needs."""


def create_web(
    settings: Settings,
    terms: Programme,
    engine: Engine,
    clock: Clock,
    changes: Changes,
    real: Clock | None = None,
    badges: Badges | None = None,
) -> ASGIApp:
    """The portal as an ASGI application. ``clock`` is the programme's, ``real`` the one that sessions live by."""
    real, offices = real or RealClock(), open_offices(settings)
    sessions, shelf = Sessions(engine, real), Shelf(Path(settings.statements))
    read_proxies(settings.proxies)  # a setting that can't be read is told at the start
    portal = Portal(
        settings=settings,
        programme=terms,
        engine=engine,
        clock=clock,
        changes=changes,
        sessions=sessions,
        visitors=Visitors(sessions, shelf),
        cookies=Cookies(settings),
        forms=Forms(settings),
        pages=Pages(clock, read_brand(settings)),
        shelf=shelf,
        pace=Pace(engine, real, settings),
        codes=Codes(real, settings, terms.name),
        passkeys=Passkeys(real, settings, terms.name),
        offices=offices,
        provider=Provider(settings) if settings.oidc_issuer else None,
        breakdowns=Breakdowns(engine, terms, clock),
        badges=badges or Badges(engine, offices.payout),
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        changes.open()
        yield

    app = Starlette(
        routes=[
            *routes(portal, ROWS),
            Mount("/api/v1", create_api(portal, real)),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        exception_handlers={
            NotHere: _answer_with(portal, "nothing", 404),
            HTTPException: _answer_with(portal, "nothing", 404),
            Refused: _answer_with(portal, "refused", 403),
            Exception: _answer_with(portal, "failed", 500),
        },
        lifespan=lifespan,
    )
    return Guarded(app, secure=portal.cookies.secure)


def _answer_with(portal: Portal, name: str, status: int) -> Callable[[Request, Exception], Response]:
    """Answers an exception with a page that tells what can be done, and nothing of what is there."""

    def answer(request: Request, _: Exception) -> Response:
        return HTMLResponse(portal.pages.message(name, Asked(portal, request).voice()), status)

    return answer
