"""Tokens for a partner's own systems: which there are, a new one, and the end of one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.kit.database import reading
from services.portal import tokens
from services.portal.access import Asked, Needs, Refused, Row
from services.portal.audit import actor, note
from services.portal.queries import PartnerRows
from services.portal.routes.partner import voice_of
from services.portal.tokens import DAYS_MAX, Scope, TooMany
from services.portal.views import NotHere

_NAME_MAX = 60
_LIVES = (30, 90, 180, DAYS_MAX)


async def show_tokens(asked: Asked) -> Response:
    """Which tokens there are; none of them can be read here."""
    return HTMLResponse(await run_in_threadpool(_page, asked))


async def make_token(asked: Asked) -> Response:
    """Make a token and show it, this once."""
    name = " ".join(asked.form.get("name", "").split())[:_NAME_MAX]
    scopes = {scope for scope in Scope if asked.form.get(f"scope-{scope}") == "1"}
    if not (days := asked.form.get("days", "")).isascii() or days not in map(str, _LIVES):
        raise Refused

    def make() -> str:
        if not name or not scopes:
            return _page(asked, wrong="incomplete", name=name)
        with asked.portal.engine.begin() as connection:
            try:
                made = tokens.create(
                    connection, asked.visitor.partner_id, name, scopes, int(days), asked.portal.sessions.now()
                )
            except TooMany:
                return _page(asked, wrong="too-many", name=name)
            note(
                connection,
                actor(asked.visitor),
                "token-made",
                asked.visitor.partner_id,
                scopes=" ".join(sorted(scopes)),
            )
        return _page(asked, made=made)

    return HTMLResponse(await run_in_threadpool(make))


async def end_token(asked: Asked) -> Response:
    """End a token."""

    def end() -> bool:
        with asked.portal.engine.begin() as connection:
            token_id, now = asked.request.path_params["token_id"], asked.portal.sessions.now()
            if not tokens.revoke(connection, asked.visitor.partner_id, token_id, now):
                return False
            note(connection, actor(asked.visitor), "token-ended", asked.visitor.partner_id, token=token_id)
            return True

    if not await run_in_threadpool(end):
        raise NotHere
    return RedirectResponse("/tokens", 303)


def _page(asked: Asked, made: str = "", wrong: str = "", name: str = "") -> str:
    portal, now = asked.portal, asked.portal.sessions.now()
    with reading(portal.engine).connect() as connection:
        partner = PartnerRows(connection, portal.programme.id, asked.visitor.partner_id).partner()
        listed = [(row, _state(row, now)) for row in tokens.listed(connection, asked.visitor.partner_id)]
    return asked.page(
        "tokens.html",
        voice_of(asked, partner),
        tokens=listed,
        made=made,
        wrong=wrong,
        name=name,
        scopes=Scope,
        lives=_LIVES,
        interface=f"{portal.settings.public_url.rstrip('/')}/api/v1",
    )


def _state(row: Any, now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at <= now else "works"


ROWS = (
    Row("/tokens", show_tokens, Needs.LINK, "tokens"),
    Row("/tokens", make_token, Needs.CONFIRMED, "tokens", "POST"),
    Row("/tokens/{token_id}/end", end_token, Needs.CONFIRMED, "tokens", "POST"),
)
