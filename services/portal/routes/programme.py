"""The vendor's page of the whole programme."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from services.portal.access import Asked, Needs, Row
from services.portal.live import EVERYBODY, Fragments
from services.portal.programme_view import ProgrammePage, programme_page
from services.portal.queries import snapshot
from services.portal.routes.live import follow
from services.portal.views import read_address


async def show_programme(asked: Asked) -> Response:
    """The vendor's page."""

    def render() -> str:
        page, voice = _page(asked), asked.voice()
        parts = asked.portal.pages.programme_parts(page, voice)
        return asked.page(
            "programme.html", voice, page.address.url("/programme/events", quarter=page.quarter), page=page, parts=parts
        )

    return HTMLResponse(await run_in_threadpool(render))


async def follow_programme(asked: Asked) -> Response:
    """What changes on it, as it happens."""

    def render() -> Fragments | None:
        if asked.portal.sessions.find(asked.visitor.session_id, used=False) is None:
            return None
        return asked.portal.pages.programme_parts(_page(asked), asked.voice())

    return follow(asked, EVERYBODY, render, rest=1.0)


def _page(asked: Asked) -> ProgrammePage:
    portal = asked.portal
    with snapshot(portal.engine) as connection:
        address = read_address(asked.request.query_params)
        return programme_page(connection, portal.programme, address, portal.clock.now())


ROWS = (
    Row("/programme", show_programme, Needs.VIEWER, "programme"),
    Row("/programme/events", follow_programme, Needs.VIEWER, "events"),
)
