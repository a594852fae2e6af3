"""Who may do what: every route is a row that says what it needs, and one function that asks for it.

Whatever is not the visitor's own, or needs more than he has, is answered like what does not exist. A form must carry
the mark of the browser that it was shown in. Handlers begin where all of that is settled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from sqlalchemy import Engine
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings
from services.kit.statements import Shelf
from services.portal.auth import PARTNER, STAFF, Cookies, Forms, Role, Sessions, Visitor
from services.portal.badges import Badges
from services.portal.breakdown import Breakdowns
from services.portal.claims.proofs import Proofs
from services.portal.identity.client import client_address, read_proxies
from services.portal.identity.codes import Codes
from services.portal.identity.pace import Pace
from services.portal.identity.passkeys import Passkeys
from services.portal.identity.provider import Provider
from services.portal.kept import Kept
from services.portal.live import Changes, Fragments
from services.portal.metrics import REFUSED
from services.portal.offices import Offices
from services.portal.pages import Pages
from services.portal.views import NotHere
from services.portal.visitors import Visitors
from services.portal.voice import Voice, voice_for, voice_for_header
from streams.rules.terms import Programme

FORM_BYTES_MAX = 4096
_PAGES_ROOM, _PARTS_ROOM = 64 * 1024**2, 32 * 1024**2
"""Bytes that pages made before, and live parts of such, may take."""
_BEHIND_SECONDS = 0.5
"""So long a page that is asked for a lot may be behind what was reported. Live parts never are."""
CONFIRM = "/confirm"
"""Where a partner shows more than his link, before he does what concerns money or access."""


class Needs(StrEnum):
    """What a visitor must have shown."""

    NOTHING = "nothing"
    """A door: the handler finds out by itself."""
    READ = "read"
    """A partner's accountant, or anybody of whom more is asked below. Staff that looks at the page may read it, too."""
    LINK = "link"
    """A partner, however he came in, but not his accountant. Staff that looks at the page as he sees it may read it."""
    CONFIRMED = "confirmed"
    """A partner who has shown a second factor in this session."""
    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    """Staff of this role, or of one that may more."""


_LOOKED_AT = (Needs.READ, Needs.LINK)
_ROLES = {Needs.VIEWER: Role.VIEWER, Needs.OPERATOR: Role.OPERATOR, Needs.APPROVER: Role.APPROVER}


class Refused(Exception):
    """A form that no page of ours has shown to this browser."""


@dataclass(frozen=True, slots=True)
class Portal:
    """What the routes work with."""

    settings: Settings
    programme: Programme
    engine: Engine
    clock: Clock
    changes: Changes
    sessions: Sessions
    visitors: Visitors
    cookies: Cookies
    forms: Forms
    pages: Pages
    shelf: Shelf
    pace: Pace
    codes: Codes
    passkeys: Passkeys
    offices: Offices
    provider: Provider | None
    """Where staff signs in, if not here."""
    breakdowns: Breakdowns
    badges: Badges
    kept_pages: Kept[bytes] = field(default_factory=lambda: Kept(_PAGES_ROOM, len, _BEHIND_SECONDS))
    kept_parts: Kept[Fragments] = field(default_factory=lambda: Kept(_PARTS_ROOM, lambda parts: parts.size))

    @property
    def proofs(self) -> Proofs:
        """The files that partners send in, out of reach of any address."""
        return Proofs(Path(self.settings.uploads), self.settings.upload_scanner)


NOBODY = Visitor("", "", "")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may be answered: by whom, and with what form."""

    portal: Portal
    request: Request
    visitor: Visitor = NOBODY
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def without_session(self) -> Asked:
        """The same, asked by nobody in particular who may see the same: no session, no mark that is worth anything."""
        return replace(self, visitor=self.visitor._replace(session_id="", version=()))

    async def kept_page(self, make: Callable[[Asked], str]) -> Response:
        """A page of the partner's own: that made before, if it is the same still.

        It is made as for a visitor without a session, so that nothing of one is kept. His mark is put in afterwards.
        Where time alone changes a page, it does so at a whole minute.
        """
        portal, nobody = self.portal, self.without_session
        minute = portal.clock.now().replace(second=0, microsecond=0)
        reported, *at_once = self.visitor.version
        what, state = (nobody.what, *at_once), (reported, minute)
        html = await portal.kept_pages.get(what, state, lambda: make(nobody).encode())
        return HTMLResponse(html.replace(nobody.mark.encode(), self.mark.encode()))

    async def kept_parts(self, state: Hashable, make: Callable[[Asked], Fragments]) -> Fragments:
        """The live parts of such a page, of this state: one and the same for all who have it open."""
        nobody = self.without_session
        return await self.portal.kept_parts.get(nobody.what, state, lambda: make(nobody))

    @property
    def what(self) -> Hashable:
        """All that a page of the partner's own depends on beside his rows and the time."""
        scope, languages = self.request.scope, self.request.headers.get("accept-language", "")
        return self.visitor, scope["path"], scope["query_string"], languages

    @property
    def mark(self) -> str:
        """What the forms of the page must carry."""
        return self.portal.forms.mark(self.visitor.session_id)

    @property
    def address(self) -> str:
        """Where the request comes from, for limits. A proxy's word counts only if it is one of ours."""
        return client_address(self.request, read_proxies(self.portal.settings.proxies))

    def voice(self, language: str = "", country: str = "") -> Voice:
        """The voice for a partner of this language and country, or without one that of the visitor's browser."""
        zone = self.portal.programme.zone
        if language:
            return voice_for(language, country, zone)
        return voice_for_header(self.request.headers.get("accept-language", ""), zone)

    def page(self, template: str, voice: Voice, live: str = "", **facts: Any) -> str:
        """A whole page within the frame. ``live`` is the address of its stream of changes, if it has one."""
        return self.portal.pages.page(
            template,
            voice,
            self.visitor,
            mark=self.mark,
            path=self.request.url.path,
            programme=self.portal.programme,
            live=live,
            waiting=self.portal.badges.of(self.visitor),
            **facts,
        )


Handler = Callable[[Asked], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Row:
    """A route: its path, what answers, what it needs, and its name in metrics, which is nothing personal."""

    path: str
    handler: Handler
    needs: Needs
    name: str
    method: str = "GET"
    form_bytes_max: int | None = FORM_BYTES_MAX
    """None: the handler reads the body itself, and calls ``check_mark`` with the mark that it finds there."""


def routes(portal: Portal, rows: Sequence[Row]) -> list[Route]:
    """The rows as routes of an application."""
    return [Route(row.path, _endpoint(portal, row), methods=[row.method]) for row in rows]


def check_mark(portal: Portal, request: Request, session_id: str, mark: str) -> None:
    """Raises Refused unless the form was shown to the browser that holds this session."""
    if not portal.forms.is_ours(request, session_id, mark):
        raise Refused


async def read_form(request: Request, limit: int = FORM_BYTES_MAX) -> dict[str, str]:
    """A form's fields, of each the last value. Raises Refused for a body that none of our forms sends."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Refused
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict")
        return {name: values[-1] for name, values in fields.items()}
    except ValueError:
        raise Refused from None


def _endpoint(portal: Portal, row: Row) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        request.scope["staffel.page"] = row.name
        if row.needs is Needs.NOTHING:
            return await row.handler(Asked(portal, request))
        visitor = await _admitted(portal, request, row)
        if row.needs is Needs.CONFIRMED and not visitor.confirmed:
            if row.method != "GET":
                raise NotHere
            return RedirectResponse(f"{CONFIRM}?next={quote(request.url.path)}", 303)
        form: dict[str, str] = {}
        if row.method == "POST" and row.form_bytes_max is not None:
            form = await read_form(request, row.form_bytes_max)
            check_mark(portal, request, visitor.session_id, form.get("mark", ""))
        return await row.handler(Asked(portal, request, visitor, form))

    return answer


async def _admitted(portal: Portal, request: Request, row: Row) -> Visitor:
    """Who is asking, if the row is open to him. Raises NotHere, as for a page that does not exist."""
    session_id = request.cookies.get(portal.cookies.session, "")
    visitor = await portal.visitors.asking(session_id)
    if visitor is None:
        REFUSED.labels("no-session").inc()
        raise NotHere
    if row.needs in _ROLES:
        admitted = visitor.audience == STAFF and visitor.role >= _ROLES[row.needs]
    elif visitor.audience == STAFF and visitor.viewing and row.needs in _LOOKED_AT and row.method == "GET":
        return visitor.as_partner()
    else:
        admitted = visitor.audience == PARTNER and (row.needs is Needs.READ or not visitor.accountant)
    if not admitted:
        REFUSED.labels("not-his").inc()
        raise NotHere
    return visitor
