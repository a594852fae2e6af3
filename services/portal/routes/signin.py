"""The vendor's people sign in: name and password, then what else they have set up."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import NamedTuple

from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from deploy.runtime.settings import secret
from services.kit.database import reading
from services.kit.links import Invitation
from services.portal.access import Asked, Needs, Row, check_mark, read_form
from services.portal.audit import SYSTEM, note
from services.portal.auth import STAFF, Role
from services.portal.identity import passwords, proof, staff
from services.portal.identity.pace import Limit
from services.portal.metrics import REFUSED, SESSIONS
from services.portal.routes.door import admit, with_form
from services.portal.views import NotHere

_WITHIN = timedelta(minutes=15)
_FROM_ADDRESS, _FOR_NAME_FROM_ADDRESS, _FOR_NAME = 50, 10, 20
_SLOWED = timedelta(seconds=5)
_SECOND_STEP_SECONDS = 300
_FORM_BYTES = 16_384


class _Passed(NamedTuple):
    """Somebody who has given his password, and has yet to show his second factor."""

    name: str
    seen: str
    """Of the password that he gave: when it is changed meanwhile, the first step is worth nothing."""


async def show_sign_in(asked: Asked) -> Response:
    """The form for name and password."""
    if asked.portal.provider is not None and not asked.portal.settings.oidc_and_passwords:
        return HTMLResponse(asked.portal.pages.door("identity/provider.html", asked.voice(), wrong=""))
    return _first_step(asked)


async def sign_in(asked: Asked) -> Response:
    """Look at name and password. Whether a name exists is told neither by the answer nor by its time."""
    form, cookie = await _form(asked)
    name, password = form.get("name", "").strip().lower(), form.get("password", "")
    if not await run_in_threadpool(_may_try, asked, name):
        REFUSED.labels("too-often").inc()
        return _first_step(asked, "pause", name, 429)
    page = await run_in_threadpool(_try, asked, name, password, cookie)
    return page or _first_step(asked, "wrong", name, 422)


async def second_step(asked: Asked) -> Response:
    """Look at the second factor of somebody who has given his password."""
    form, cookie = await _form(asked)
    try:
        passed = _Passed(*_signer(asked).loads(form.get("passed", ""), max_age=_SECOND_STEP_SECONDS))
    except (BadSignature, TypeError):
        return _first_step(asked, "late", status=422)

    def check() -> Response | proof.Outcome:
        owner = staff.owner_of(passed.name)
        if not asked.portal.pace.spend(proof.limit(owner)):
            return proof.Outcome.PAUSE
        with asked.portal.engine.begin() as connection:
            outcome = proof.check(asked.portal, connection, owner, cookie, form)
            if outcome is not proof.Outcome.SHOWN:
                note(connection, SYSTEM, "second-factor-failed", passed.name)
                return outcome
            asked.portal.pace.forgive(connection, proof.limit(owner))
            return _begin(asked, connection, passed, confirmed=True) or outcome

    found = await run_in_threadpool(check)
    if isinstance(found, Response):
        return found
    if found is proof.Outcome.SHOWN:
        return _first_step(asked, "late", status=422)
    status = 429 if found is proof.Outcome.PAUSE else 422
    return await run_in_threadpool(_second_step, asked, passed, cookie, str(found), status)


def _try(asked: Asked, name: str, password: str, cookie: str) -> Response | None:
    portal = asked.portal
    with reading(portal.engine).connect() as connection:
        row = staff.find(connection, name)
        asks_more = bool(proof.listed(connection, staff.owner_of(name)))
    if not passwords.fits(row.password_hash if row else None, password) or row is None or row.disabled:
        with portal.engine.begin() as connection:
            # A name that nobody has may be a password in the wrong field.
            note(connection, SYSTEM, "sign-in-failed", row.name if row else "")
        return None
    passed = _Passed(name, _seen(row.password_hash))
    if asks_more:
        return _second_step(asked, passed, cookie)
    with portal.engine.begin() as connection:
        portal.pace.forgive(connection, *_limits(asked, name)[1:])
        return _begin(asked, connection, passed)


def _begin(asked: Asked, connection: Connection, passed: _Passed, *, confirmed: bool = False) -> Response | None:
    """Open the session, if the person is still what he was at the first step."""
    portal = asked.portal
    row = staff.find(connection, passed.name, for_update=True)
    if row is None or row.disabled or _seen(row.password_hash) != passed.seen:
        return None
    portal.sessions.end(connection, asked.request.cookies.get(portal.cookies.session, ""))
    role = Role(row.role)
    session_id = portal.sessions.open(connection, Invitation(STAFF, ""), row.name, role, confirmed=confirmed)
    staff.signed_in(connection, row.name, portal.sessions.now())
    note(connection, staff.owner_of(row.name), "signed-in", row.name, second_factor=confirmed)
    SESSIONS.labels(STAFF).inc()
    return admit(asked, session_id, "/programme")


def _limits(asked: Asked, name: str) -> tuple[Limit, Limit]:
    return (
        Limit("sign-in from", asked.address, _FROM_ADDRESS, _WITHIN),
        Limit("sign-in of from", f"{name} {asked.address}", _FOR_NAME_FROM_ADDRESS, _WITHIN),
    )


def _may_try(asked: Asked, name: str) -> bool:
    """Whether one may try now. Nobody can shut out another: from elsewhere a name is slowed, but never stopped."""
    pace = asked.portal.pace
    if not pace.spend(*_limits(asked, name)):
        return False
    return pace.spend(Limit("sign-in of", name, _FOR_NAME, _WITHIN)) or pace.spend(
        Limit("sign-in of, slowly", name, 1, _SLOWED)
    )


async def _form(asked: Asked) -> tuple[dict[str, str], str]:
    """What came in, and the browser's cookie. Raises NotHere where people sign in elsewhere."""
    portal, request = asked.portal, asked.request
    if portal.provider is not None and not portal.settings.oidc_and_passwords:
        raise NotHere
    form, cookie = await read_form(request, _FORM_BYTES), request.cookies.get(portal.cookies.form, "")
    check_mark(portal, request, cookie, form.get("mark", ""))
    return form, cookie


def _first_step(asked: Asked, wrong: str = "", name: str = "", status: int = 200) -> Response:
    portal = asked.portal

    def html(cookie: str) -> str:
        return portal.pages.door(
            "identity/sign_in.html",
            asked.voice(),
            mark=portal.forms.mark(cookie),
            wrong=wrong,
            name=name,
            provider=portal.provider is not None,
        )

    return with_form(asked, html, status)


def _second_step(asked: Asked, passed: _Passed, cookie: str, wrong: str = "", status: int = 200) -> Response:
    portal, owner = asked.portal, staff.owner_of(passed.name)
    with reading(portal.engine).connect() as connection:
        question = proof.question(portal, connection, owner, cookie)
    html = portal.pages.door(
        "identity/second_step.html",
        asked.voice(),
        mark=portal.forms.mark(cookie),
        question=question,
        passed=_signer(asked).dumps(list(passed)),
        wrong=wrong,
    )
    return HTMLResponse(html, status)


def _signer(asked: Asked) -> URLSafeTimedSerializer:
    # Bound to the browser by the form's mark, which comes with it.
    return URLSafeTimedSerializer(secret(asked.portal.settings, "session_secret"), salt="staffel.first-step.v1")


def _seen(password_hash: str) -> str:
    return hashlib.sha256(password_hash.encode()).hexdigest()


ROWS = (
    Row("/sign-in", show_sign_in, Needs.NOTHING, "sign-in"),
    Row("/sign-in", sign_in, Needs.NOTHING, "sign-in", "POST"),
    Row("/sign-in/code", second_step, Needs.NOTHING, "sign-in", "POST"),
)
