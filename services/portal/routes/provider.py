"""The vendor's people sign in at their own identity provider, and come back."""

from __future__ import annotations

import hmac

import structlog
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from deploy.runtime.settings import secret
from services.kit.links import Invitation
from services.portal.access import Asked, Needs, Row
from services.portal.audit import SYSTEM, note
from services.portal.auth import STAFF, Role
from services.portal.identity import staff, subjects
from services.portal.identity.provider import BACK, Asking, NotVouchedFor, Person, Provider
from services.portal.metrics import SESSIONS
from services.portal.routes.door import admit
from services.portal.views import NotHere

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.portal")
_AWAY_SECONDS = 600


async def send_away(asked: Asked) -> Response:
    """To the provider. What it is asked stays in the browser, signed, until the answer comes back."""
    portal, provider = asked.portal, _provider(asked)
    try:
        address, asking = await run_in_threadpool(provider.send_to)
    except NotVouchedFor as reason:
        return _failed(asked, str(reason))
    response = RedirectResponse(address, 303)
    portal.cookies.put(response, _cookie(asked), str(_signer(asked).dumps(list(asking))), _AWAY_SECONDS)
    return response


async def come_back(asked: Asked) -> Response:
    """From the provider, with a code that says who it is. It works in the browser that was sent away, once."""
    provider, parameters = _provider(asked), asked.request.query_params
    try:
        asking = Asking(*_signer(asked).loads(asked.request.cookies.get(_cookie(asked), ""), max_age=_AWAY_SECONDS))
    except (BadSignature, TypeError):
        return _failed(asked, "nobody was sent to the provider from this browser")
    if not hmac.compare_digest(parameters.get("state", "").encode(), asking.state.encode()):
        return _failed(asked, "the answer belongs to another question")
    if parameters.get("iss", provider.issuer) != provider.issuer or "code" not in parameters:
        return _failed(asked, "the provider gives no code")
    try:
        person = await run_in_threadpool(provider.person, parameters["code"], asking)
    except NotVouchedFor as reason:
        return _failed(asked, str(reason))
    return await run_in_threadpool(_begin, asked, provider, person)


def _begin(asked: Asked, provider: Provider, person: Person) -> Response:
    portal = asked.portal
    with portal.engine.begin() as connection:
        name = subjects.name_of(connection, provider.issuer, person.subject, person.name)
        if name is None or person.role is Role.NONE:
            note(connection, SYSTEM, "sign-in-refused", name or "", role=person.role.name.lower())
            return _page(asked, "nothing", 403)
        portal.sessions.end(connection, asked.request.cookies.get(portal.cookies.session, ""))
        session_id = portal.sessions.open(connection, Invitation(STAFF, ""), name, person.role)
        note(connection, staff.owner_of(name), "signed-in", name, by_provider=True, role=person.role.name.lower())
    SESSIONS.labels(STAFF).inc()
    response = admit(asked, session_id, "/programme")
    portal.cookies.drop(response, _cookie(asked))
    return response


def _failed(asked: Asked, reason: str) -> Response:
    _log.warning("signing in at the provider failed", reason=reason)
    return _page(asked, "failed", 422)


def _page(asked: Asked, wrong: str, status: int) -> Response:
    portal = asked.portal
    response = HTMLResponse(portal.pages.door("identity/provider.html", asked.voice(), wrong=wrong), status)
    portal.cookies.drop(response, _cookie(asked))
    return response


def _provider(asked: Asked) -> Provider:
    if asked.portal.provider is None:
        raise NotHere
    return asked.portal.provider


def _cookie(asked: Asked) -> str:
    return f"{asked.portal.cookies.form}-away"


def _signer(asked: Asked) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret(asked.portal.settings, "session_secret"), salt="staffel.provider.v1")


ROWS = (
    Row("/sign-in/start", send_away, Needs.NOTHING, "sign-in"),
    Row(BACK, come_back, Needs.NOTHING, "sign-in"),
)
