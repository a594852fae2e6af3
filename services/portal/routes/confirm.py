"""A partner shows more than his link: a second factor, or to set up the first, the code that the vendor gave him."""

from __future__ import annotations

import re
from datetime import timedelta

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.kit.database import reading
from services.portal.access import CONFIRM, Asked, Needs, Row
from services.portal.audit import actor, note
from services.portal.auth import LIFETIME, PARTNER
from services.portal.identity import proof
from services.portal.identity.codes import Purpose
from services.portal.identity.pace import Limit
from services.portal.queries import PartnerRows
from services.portal.routes.partner import voice_of

_OWN_PATH = re.compile(r"/|(/[A-Za-z0-9._-]+)+")
_ACTIVATIONS_A_DAY = 10
_FORM_BYTES = 16_384


async def show_confirm(asked: Asked) -> Response:
    """What the partner is asked."""
    return HTMLResponse(await run_in_threadpool(_page, asked, _next(asked.request.query_params.get("next", ""))))


async def confirm(asked: Asked) -> Response:
    """Look at the second factor that he shows."""
    portal, owner, page = asked.portal, actor(asked.visitor), _next(asked.form.get("next", ""))

    def check() -> str:
        if not portal.pace.spend(proof.limit(owner)):
            return proof.Outcome.PAUSE
        with portal.engine.begin() as connection:
            outcome = proof.check(portal, connection, owner, asked.visitor.session_id, asked.form)
            if outcome is not proof.Outcome.SHOWN:
                note(connection, owner, "second-factor-failed", asked.visitor.partner_id)
                return outcome
            portal.pace.forgive(connection, proof.limit(owner))
            note(connection, owner, "second-factor-shown", asked.visitor.partner_id)
            return portal.sessions.confirm(connection, asked.visitor.session_id)

    return await _answer(asked, await run_in_threadpool(check), page, page, "code")


async def activate(asked: Asked) -> Response:
    """Look at the code that the vendor handed over. It opens the page on which a second factor is set up."""
    portal, owner = asked.portal, actor(asked.visitor)
    limit = Limit("activation", owner, _ACTIVATIONS_A_DAY, timedelta(days=1))

    def check() -> str:
        if not portal.pace.spend(limit):
            return proof.Outcome.PAUSE
        with portal.engine.begin() as connection:
            if not portal.codes.spend(connection, owner, Purpose.ACTIVATION, asked.form.get("activation", "")):
                note(connection, owner, "activation-failed", asked.visitor.partner_id)
                return proof.Outcome.WRONG
            note(connection, owner, "activation-code-used", asked.visitor.partner_id)
            return portal.sessions.confirm(connection, asked.visitor.session_id)

    return await _answer(
        asked, await run_in_threadpool(check), "/security", _next(asked.form.get("next", "")), "activation"
    )


async def _answer(asked: Asked, found: str, page: str, back: str, form: str) -> Response:
    """On to the page with the session's new id, or the question again."""
    if found in (proof.Outcome.WRONG, proof.Outcome.PAUSE):
        status = 429 if found == proof.Outcome.PAUSE else 422
        return HTMLResponse(await run_in_threadpool(_page, asked, back, str(found), form), status)
    response = RedirectResponse(page, 303)
    asked.portal.cookies.put(response, asked.portal.cookies.session, found, int(LIFETIME.total_seconds()))
    return response


def _page(asked: Asked, page: str, wrong: str = "", form: str = "") -> str:
    portal, visitor = asked.portal, asked.visitor
    with reading(portal.engine).connect() as connection:
        partner = PartnerRows(connection, portal.programme.id, visitor.partner_id).partner()
        owner = f"{PARTNER} {visitor.partner_id}" if visitor.viewing else actor(visitor)
        has_any = bool(proof.listed(connection, owner))
        question = proof.question(portal, connection, owner, visitor.session_id)
    voice = voice_of(asked, partner)
    return asked.page(
        "identity/confirm.html", voice, question=question, has_any=has_any, next=page, wrong=wrong, form=form
    )


def _next(path: str) -> str:
    """Where to go on: a page of ours, and nowhere else."""
    return path if _OWN_PATH.fullmatch(path) else "/"


ROWS = (
    Row(CONFIRM, show_confirm, Needs.LINK, "confirm"),
    Row(CONFIRM, confirm, Needs.LINK, "confirm", "POST", _FORM_BYTES),
    Row(f"{CONFIRM}/activation", activate, Needs.LINK, "confirm", "POST"),
)
