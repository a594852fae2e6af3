"""The vendor's staff about a partner's access: look at his pages as he sees them, and make him an activation code."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.kit.database import reading
from services.portal.access import Asked, Needs, Row
from services.portal.audit import actor, note
from services.portal.identity.activation import make_activation_code
from services.portal.queries import PartnerRows
from services.portal.views import NotHere


async def look(asked: Asked) -> Response:
    """Look at a partner's pages, without being able to change anything there. It is written down who looks."""
    portal, visitor, partner_id = asked.portal, asked.visitor, asked.request.path_params["partner_id"]

    def begin() -> None:
        _demand_partner(asked, partner_id)
        with portal.engine.begin() as connection:
            portal.sessions.view(connection, visitor.session_id, partner_id)
            note(connection, actor(visitor), "looked-as-partner", partner_id)

    await run_in_threadpool(begin)
    return RedirectResponse("/", 303)


async def look_away(asked: Asked) -> Response:
    """Back to the vendor's own pages."""
    portal, visitor = asked.portal, asked.visitor

    def end() -> None:
        with portal.engine.begin() as connection:
            portal.sessions.view(connection, visitor.session_id, "")
            if visitor.viewing:
                note(connection, actor(visitor), "looked-away", visitor.viewing)

    await run_in_threadpool(end)
    return RedirectResponse("/programme", 303)


async def show_activation_code(asked: Asked) -> Response:
    """Make a code with which the partner sets up his first second factor, and show it, this once."""
    portal, visitor, partner_id = asked.portal, asked.visitor, asked.request.path_params["partner_id"]

    def make() -> str:
        _demand_partner(asked, partner_id)
        with portal.engine.begin() as connection:
            code = make_activation_code(connection, portal.codes, partner_id, actor(visitor))
        return asked.page("identity/activation.html", asked.voice(), partner_id=partner_id, code=code)

    return HTMLResponse(await run_in_threadpool(make))


def _demand_partner(asked: Asked, partner_id: str) -> None:
    """Raises NotHere for a partner whom nobody knows, and for the vendor's link, behind which is nobody by name."""
    with reading(asked.portal.engine).connect() as connection:
        rows = PartnerRows(connection, asked.portal.programme.id, partner_id)
        known = rows.partner() is not None or bool(rows.quarters())
    if not known or not asked.visitor.person:
        raise NotHere


ROWS = (
    Row("/partners/{partner_id}/view", look, Needs.VIEWER, "look", "POST"),
    Row("/partners/look-away", look_away, Needs.VIEWER, "look", "POST"),
    Row("/partners/{partner_id}/activation-code", show_activation_code, Needs.OPERATOR, "activation", "POST"),
)
