"""Ways in and out: the personal link, signing out, and the link under a weekly mail."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from schemas.events import PreferenceSource
from services.kit.database import reading
from services.kit.links import Invitation, LinkExpired, LinkInvalid, read_token, read_unsubscribe_token
from services.portal import contacts
from services.portal.access import Asked, Needs, Row, check_mark, read_form
from services.portal.audit import actor, note
from services.portal.auth import LIFETIME, PARTNER, STAFF, Role, Visitor, new_id
from services.portal.claims.making import CLAIM_ID
from services.portal.metrics import REFUSED, SESSIONS
from services.portal.views import NotHere, read_quarter

_FORM_SECONDS = 3600


async def show_door(asked: Asked) -> Response:
    """What a personal link shows: a button. Looking opens nothing, as mail scanners look at every link."""
    portal, request = asked.portal, asked.request
    refused = await run_in_threadpool(_refusal, asked)
    if refused is not None:
        return refused
    claim = claimed(asked)
    action = request.url.path + (f"?claim={claim}" if claim else wanted(asked))

    def html(cookie: str) -> str:
        return portal.pages.message("door", asked.voice(), mark=portal.forms.mark(cookie), action=action)

    return with_form(asked, html)


async def enter(asked: Asked) -> Response:
    """Redeem a personal link: open a session and go to the page, which carries no token."""
    portal, request = asked.portal, asked.request
    refused = await run_in_threadpool(_refusal, asked)
    if refused is not None:
        return refused
    form = await read_form(request)
    check_mark(portal, request, request.cookies.get(portal.cookies.form, ""), form.get("mark", ""))
    invitation = read_token(portal.settings, request.path_params["token"])
    # The vendor's link shows the programme to the machine's owner; whoever acts in it signs in under his own name.
    role = Role.VIEWER if invitation.audience == STAFF else Role.NONE

    def begin() -> str:
        with portal.engine.begin() as connection:
            portal.sessions.end(connection, request.cookies.get(portal.cookies.session, ""))
            session_id = portal.sessions.open(connection, invitation, invitation.person, role)
            who = Visitor(invitation.audience, invitation.partner_id, session_id, invitation.person)
            note(connection, actor(who), "link-redeemed", invitation.partner_id)
        return session_id

    session_id = await run_in_threadpool(begin)
    SESSIONS.labels(invitation.audience).inc()
    page = "/programme" if invitation.audience == STAFF else "/"
    claim = claimed(asked)
    return admit(asked, session_id, f"/claims/{claim}" if claim else page + wanted(asked))


def admit(asked: Asked, session_id: str, page: str) -> Response:
    """Give the browser its session and send it to a page."""
    portal, response = asked.portal, RedirectResponse(page, 303)
    portal.cookies.put(response, portal.cookies.session, session_id, int(LIFETIME.total_seconds()))
    portal.cookies.drop(response, portal.cookies.form)
    return response


def with_form(asked: Asked, html: Callable[[str], str], status: int = 200) -> Response:
    """A page with a form for somebody without a session: the mark is his browser's, by a passing cookie."""
    portal = asked.portal
    cookie = asked.request.cookies.get(portal.cookies.form) or new_id()
    response = HTMLResponse(html(cookie), status)
    portal.cookies.put(response, portal.cookies.form, cookie, _FORM_SECONDS)
    return response


async def leave(asked: Asked) -> Response:
    """Sign out."""
    portal, request = asked.portal, asked.request
    session_id = request.cookies.get(portal.cookies.session, "")
    visitor = await portal.visitors.asking(session_id)
    if visitor is None:
        raise NotHere
    form = await read_form(request)
    check_mark(portal, request, session_id, form.get("mark", ""))

    def end() -> None:
        with portal.engine.begin() as connection:
            portal.sessions.end(connection, session_id)
            note(connection, actor(visitor), "signed-out", visitor.partner_id)

    await run_in_threadpool(end)
    response = HTMLResponse(portal.pages.message("left", asked.voice()))
    portal.cookies.drop(response, portal.cookies.session)
    return response


async def offer_unsubscribing(asked: Asked) -> Response:
    """What the link under a weekly mail shows: a button. Looking changes nothing, as scanners look at every link."""
    _unsubscriber(asked)
    return HTMLResponse(asked.portal.pages.message("unsubscribe", asked.voice(), action=asked.request.url.path))


async def unsubscribe(asked: Asked) -> Response:
    """Turn the weekly mail off: by the link's button, or by the mail program itself (RFC 8058), which knows no session
    and no mark. The token is all that it takes, and this is all that the token can do."""
    portal, who = asked.portal, _unsubscriber(asked)
    await read_form(asked.request)

    source, at, real = PreferenceSource.MAIL, portal.clock.now(), portal.sessions.now()
    await run_in_threadpool(
        contacts.choose, portal.engine, source, who.partner_id, who.person, at, real, weekly_mail=False
    )
    return HTMLResponse(portal.pages.message("unsubscribed", asked.voice()))


def claimed(asked: Asked) -> str:
    """The claim that a link leads to, if it leads to one. Whose it is, is asked by its page."""
    found = CLAIM_ID.fullmatch(asked.request.query_params.get("claim", ""))
    return found[0] if found else ""


def wanted(asked: Asked) -> str:
    """The query of the page that a link or form leads to: of the quarter that its address names."""
    quarter = read_quarter(asked.request.query_params)
    return f"?quarter={quarter}" if quarter else ""


def _unsubscriber(asked: Asked) -> Invitation:
    try:
        return read_unsubscribe_token(asked.portal.settings, asked.request.path_params["token"])
    except (LinkExpired, LinkInvalid):
        REFUSED.labels("link-invalid").inc()
        raise NotHere from None


def _refusal(asked: Asked) -> Response | None:
    """The answer to a link that opens nothing, or None if it would open something."""
    try:
        audience, partner_id, person = read_token(asked.portal.settings, asked.request.path_params["token"])
    except LinkExpired:
        REFUSED.labels("link-expired").inc()
        return HTMLResponse(asked.portal.pages.message("expired", asked.voice()), 410)
    except LinkInvalid:
        REFUSED.labels("link-invalid").inc()
        raise NotHere from None
    if (audience, bool(partner_id)) not in ((PARTNER, True), (STAFF, False)):
        raise NotHere
    if person and not _is_named(asked, partner_id, person):
        REFUSED.labels("link-invalid").inc()
        raise NotHere
    return None


def _is_named(asked: Asked, partner_id: str, person: str) -> bool:
    """Whether a contact whom a link is for has not been removed."""
    with reading(asked.portal.engine).connect() as connection:
        return contacts.find(connection, partner_id, person) is not None


ROWS = (
    Row("/l/{token}", show_door, Needs.NOTHING, "link"),
    Row("/l/{token}", enter, Needs.NOTHING, "link", "POST"),
    Row("/logout", leave, Needs.NOTHING, "logout", "POST"),
    Row("/unsubscribe/{token}", offer_unsubscribing, Needs.NOTHING, "unsubscribe"),
    Row("/unsubscribe/{token}", unsubscribe, Needs.NOTHING, "unsubscribe", "POST"),
)
