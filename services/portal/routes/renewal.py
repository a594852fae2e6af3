"""A new link for who has lost his: he enters his address, and hears nothing of whether anybody has it."""

from __future__ import annotations

import re
from datetime import timedelta

import structlog
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from deploy.runtime.errors import StaffelError
from services.kit.office.protocol import Actor
from services.kit.office.protocol import Role as Acting
from services.portal.access import Asked, Needs, Row, check_mark, read_form
from services.portal.identity.pace import Limit
from services.portal.metrics import REFUSED
from services.portal.routes.door import with_form

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.portal")
_HOUR = timedelta(hours=1)
_FOR_ADDRESS, _FROM_CLIENT, _IN_ALL = 5, 20, 500
_ADDRESS = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}")
_PORTAL = Actor(Acting.VIEWER, "portal")
"""Nobody has signed in: the portal itself asks."""


async def show_renewal(asked: Asked) -> Response:
    """The form for an address."""
    return _page(asked)


async def renew(asked: Asked) -> Response:
    """Have a link sent, if somebody has this address. That is found out after the answer, which is always the same."""
    portal, request = asked.portal, asked.request
    form = await read_form(request)
    check_mark(portal, request, request.cookies.get(portal.cookies.form, ""), form.get("mark", ""))
    address = form.get("address", "").strip()
    if not _ADDRESS.fullmatch(address):
        return _page(asked, "none", 422)
    limits = (
        Limit("link for", address.lower(), _FOR_ADDRESS, _HOUR),
        Limit("link from", asked.address, _FROM_CLIENT, _HOUR),
        Limit("link", "", _IN_ALL, _HOUR),
    )
    if not await run_in_threadpool(portal.pace.spend, *limits):
        REFUSED.labels("too-often").inc()
        return _page(asked, "pause", 429)
    answer = _page(asked, "asked")
    answer.background = BackgroundTask(_ask, asked, address)
    return answer


def _ask(asked: Asked, address: str) -> None:
    try:
        asked.portal.offices.notification.ask(_PORTAL, "links.send", type(None), address=address)
    except StaffelError as error:
        _log.error("somebody asked for a new link, and notification could not be told", reason=error.message)


def _page(asked: Asked, said: str = "", status: int = 200) -> Response:
    portal = asked.portal

    def html(cookie: str) -> str:
        return portal.pages.door("identity/renewal.html", asked.voice(), mark=portal.forms.mark(cookie), said=said)

    return with_form(asked, html, status)


ROWS = (
    Row("/new-link", show_renewal, Needs.NOTHING, "new-link"),
    Row("/new-link", renew, Needs.NOTHING, "new-link", "POST"),
)
