"""Second factors and sessions: ``/security`` of a partner, ``/account`` of somebody among the vendor's staff."""

from __future__ import annotations

import io
from collections.abc import Callable

import segno
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from deploy.runtime.errors import StaffelError
from services.kit.database import reading
from services.kit.sealing import SealBroken
from services.portal.access import Asked, Needs, Refused, Row
from services.portal.audit import actor, note
from services.portal.auth import STAFF, end_all
from services.portal.identity import passwords, proof, staff
from services.portal.identity.codes import Purpose
from services.portal.identity.pace import Limit
from services.portal.queries import PartnerRows
from services.portal.routes.partner import voice_of
from services.portal.views import NotHere
from services.portal.voice import Voice

_LABEL_LENGTH_MAX = 40
_FORM_BYTES = 16_384


async def show_security(asked: Asked) -> Response:
    """The second factors, and what can be done about them."""
    return HTMLResponse(await run_in_threadpool(_page, asked))


async def show_app(asked: Asked) -> Response:
    """A new secret for an app that shows one-time codes. Nothing is kept until a code comes back."""
    return HTMLResponse(await run_in_threadpool(_app_page, asked))


async def add_app(asked: Asked) -> Response:
    """Set the app up, if its code is right."""

    def add() -> tuple[str, int]:
        form, session_id = asked.form, asked.visitor.session_id
        try:
            fresh = asked.portal.codes.offered(session_id, form.get("sealed", ""))
        except (SealBroken, ValueError):
            raise Refused from None
        if not _is_himself(asked):
            return _app_page(asked, "password", fresh), 422
        with asked.portal.engine.begin() as connection:
            if asked.portal.codes.take(connection, _owner(asked), fresh, form.get("code", ""), _label(asked)):
                return _added(asked, connection, "app"), 200
        return _app_page(asked, "code", fresh), 422

    return HTMLResponse(*await run_in_threadpool(add))


async def show_passkey(asked: Asked) -> Response:
    """What the browser needs to make a passkey."""
    return HTMLResponse(await run_in_threadpool(_passkey_page, asked))


async def add_passkey(asked: Asked) -> Response:
    """Set the passkey up that the browser has made."""

    def add() -> tuple[str, int]:
        form, session_id, owner = asked.form, asked.visitor.session_id, _owner(asked)
        if not _is_himself(asked):
            return _passkey_page(asked, "password"), 422
        with asked.portal.engine.begin() as connection:
            answer = (form.get("asked", ""), form.get("answer", ""), _label(asked))
            if asked.portal.passkeys.take(connection, owner, session_id, *answer):
                return _added(asked, connection, "passkey"), 200
        return _passkey_page(asked, "passkey"), 422

    return HTMLResponse(*await run_in_threadpool(add))


async def remove(asked: Asked) -> Response:
    """Remove a second factor."""

    def change(connection: Connection) -> str | None:
        kind = proof.remove(connection, _owner(asked), asked.form.get("factor", ""))
        if not kind:
            raise NotHere
        note(connection, actor(asked.visitor), "second-factor-removed", _whom(asked), kind=kind)
        return None

    return await _changed(asked, change)


async def renew_recovery_codes(asked: Asked) -> Response:
    """New recovery codes, shown this once. Those of before don't work any more."""

    def change(connection: Connection) -> str | None:
        if not proof.listed(connection, _owner(asked)):
            raise NotHere
        return _codes_page(asked, connection)

    return await _changed(asked, change)


async def end_everywhere(asked: Asked) -> Response:
    """End all sessions, this one among them."""
    portal, visitor = asked.portal, asked.visitor
    if visitor.audience == STAFF and not visitor.person:
        raise NotHere

    def end() -> None:
        with portal.engine.begin() as connection:
            ended = end_all(connection, visitor.audience, visitor.partner_id, visitor.person)
            note(connection, actor(visitor), "sessions-ended", _whom(asked), sessions_ended=ended)

    await run_in_threadpool(end)
    response = HTMLResponse(portal.pages.message("left", asked.voice()))
    portal.cookies.drop(response, portal.cookies.session)
    return response


async def change_password(asked: Asked) -> Response:
    """Set another password. It ends all sessions: one signs in with the new one."""
    form, visitor, owner = asked.form, asked.visitor, _owner(asked)

    def change() -> str:
        if not _is_himself(asked):
            return _page(asked, "password")
        if form.get("new", "") != form.get("again", ""):
            return _page(asked, "differ")
        try:
            with asked.portal.engine.begin() as connection:
                staff.change_password(connection, visitor.person, form.get("new", ""), owner)
        except StaffelError:
            return _page(asked, "weak")
        return ""

    wrong = await run_in_threadpool(change)
    return HTMLResponse(wrong, 422) if wrong else RedirectResponse("/sign-in", 303)


async def _changed(asked: Asked, change: Callable[[Connection], str | None]) -> Response:
    """Change something, if the visitor is himself: then the page that this gives, or without one back to the first."""

    def attempt() -> tuple[str | None, int]:
        if not _is_himself(asked):
            return _page(asked, "password"), 422
        with asked.portal.engine.begin() as connection:
            return change(connection), 200

    html, status = await run_in_threadpool(attempt)
    return HTMLResponse(html, status) if html else RedirectResponse(_base(asked), 303)


def _is_himself(asked: Asked) -> bool:
    """Whether a form may change how somebody signs in. A partner has just shown a second factor, as its route demands;
    staff gives the password again."""
    visitor, portal = asked.visitor, asked.portal
    owner = _owner(asked)
    if visitor.audience != STAFF:
        return True
    if not portal.pace.spend(limit := Limit("password again", owner, proof.TRIES, proof.PAUSE)):
        return False
    with reading(portal.engine).connect() as connection:
        row = staff.find(connection, visitor.person)
    if row is None or not passwords.fits(row.password_hash, asked.form.get("password", "")):
        return False
    with portal.engine.begin() as connection:
        portal.pace.forgive(connection, limit)
    return True


def _added(asked: Asked, connection: Connection, kind: str) -> str:
    """After a new second factor: with the first one come recovery codes."""
    note(connection, actor(asked.visitor), "second-factor-added", _whom(asked), kind=kind)
    return _codes_page(asked, connection, first=True)


def _codes_page(asked: Asked, connection: Connection, *, first: bool = False) -> str:
    portal, owner = asked.portal, _owner(asked)
    codes: list[str] = []
    if not first or not portal.codes.left(connection, owner):
        codes = portal.codes.make(connection, owner, Purpose.RECOVERY)
        note(connection, owner, "recovery-codes-made", _whom(asked))
    return asked.page("identity/codes.html", _voice(asked, connection), base=_base(asked), codes=codes)


def _page(asked: Asked, wrong: str = "") -> str:
    portal, owner = asked.portal, _owner(asked)
    with reading(portal.engine).connect() as connection:
        return asked.page(
            "identity/security.html",
            _voice(asked, connection),
            base=_base(asked),
            factors=proof.listed(connection, owner),
            recovery=portal.codes.left(connection, owner),
            passkeys=portal.passkeys.work,
            own_password=_has_password(asked, connection),
            wrong=wrong,
        )


def _app_page(asked: Asked, wrong: str = "", fresh: str = "") -> str:
    portal, session_id = asked.portal, asked.visitor.session_id
    secret, sealed = portal.codes.offer(session_id, fresh)
    picture = io.BytesIO()
    segno.make(portal.codes.address(_owner(asked), secret), micro=False).save(
        picture, kind="svg", xmldecl=False, svgns=False, border=2, svgclass="qr", lineclass=None, omitsize=True
    )
    with reading(portal.engine).connect() as connection:
        return asked.page(
            "identity/app.html",
            _voice(asked, connection),
            base=_base(asked),
            secret=secret,
            sealed=sealed,
            picture=picture.getvalue().decode(),
            wrong=wrong,
        )


def _passkey_page(asked: Asked, wrong: str = "") -> str:
    portal, owner = asked.portal, _owner(asked)
    if not portal.passkeys.work:
        raise NotHere
    with reading(portal.engine).connect() as connection:
        question, signed = portal.passkeys.offer(connection, owner, asked.visitor.session_id)
        return asked.page(
            "identity/passkey.html",
            _voice(asked, connection),
            base=_base(asked),
            question=question,
            asked=signed,
            wrong=wrong,
        )


def _voice(asked: Asked, connection: Connection) -> Voice:
    if asked.visitor.audience == STAFF:
        return asked.voice()
    rows = PartnerRows(connection, asked.portal.programme.id, asked.visitor.partner_id)
    return voice_of(asked, rows.partner())


def _owner(asked: Asked) -> str:
    """Whose second factors these are. Raises NotHere for the vendor's link, behind which is nobody by name."""
    if asked.visitor.audience == STAFF and not asked.visitor.person:
        raise NotHere
    return actor(asked.visitor)


def _whom(asked: Asked) -> str:
    """Whom an entry of the record is about."""
    return asked.visitor.partner_id or asked.visitor.person


def _has_password(asked: Asked, connection: Connection) -> bool:
    visitor = asked.visitor
    return visitor.audience == STAFF and staff.find(connection, visitor.person) is not None


def _label(asked: Asked) -> str:
    return "".join(letter for letter in asked.form.get("label", "") if letter.isprintable()).strip()[:_LABEL_LENGTH_MAX]


def _base(asked: Asked) -> str:
    return "/account" if asked.visitor.audience == STAFF else "/security"


def _rows(base: str, needs: Needs, ending: Needs) -> tuple[Row, ...]:
    return (
        Row(base, show_security, needs, "security"),
        Row(f"{base}/app", show_app, needs, "security"),
        Row(f"{base}/app", add_app, needs, "security", "POST"),
        Row(f"{base}/passkey", show_passkey, needs, "security"),
        Row(f"{base}/passkey", add_passkey, needs, "security", "POST", _FORM_BYTES),
        Row(f"{base}/remove", remove, needs, "security", "POST"),
        Row(f"{base}/recovery-codes", renew_recovery_codes, needs, "security", "POST"),
        Row(f"{base}/end-all", end_everywhere, ending, "security", "POST"),
    )


ROWS = (
    *_rows("/security", Needs.CONFIRMED, Needs.LINK),
    *_rows("/account", Needs.VIEWER, Needs.VIEWER),
    Row("/account/password", change_password, Needs.VIEWER, "security", "POST"),
)
