"""Mails to partners, for the vendor's staff: which were not sent, why, and sending them again."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from services.kit.office.client import Refused
from services.kit.office.protocol import Refusal
from services.portal.access import Asked, Needs, Row
from services.portal.offices import Mails, Resent, acting
from services.portal.routes.counter import calmly, done, said, shown

_STATES = ("failed", "waiting-for-address", "pending", "sent", "expired", "superseded")


async def show_mails(asked: Asked) -> Response:
    """The latest, of one state or of any."""
    return await shown(asked, _page)


async def resend(asked: Asked) -> Response:
    """Make one due again, or all that were given up and are shown."""
    number = asked.form.get("number", "")

    def do() -> None:
        numbers = [int(number)] if number.isdecimal() else [mail.number for mail in _mails(asked, "failed").mails]
        found = _ask(asked, "mails.resend", Resent, numbers=numbers)
        if not found.due:
            raise Refused(Refusal("not-resent", ""))

    return await done(asked, do, _page, "/mails", "mails-resent", number or "failed")


def _page(asked: Asked, refused: Refused | None) -> str:
    state = asked.request.query_params.get("state", "failed")
    state = state if state in _STATES else ""
    return asked.page(
        "office/mails.html",
        asked.voice(),
        page=_mails(asked, state),
        state=state,
        states=_STATES,
        refused=refused,
        done=said(asked),
    )


def _mails(asked: Asked, state: str) -> Mails:
    found: Mails = _ask(asked, "mails.list", Mails, states=[state] if state else [])
    return found


def _ask(asked: Asked, operation: str, kind: Any, **arguments: Any) -> Any:
    return asked.portal.offices.notification.ask(acting(asked.visitor), operation, kind, **arguments)


ROWS = calmly(
    (
        Row("/mails", show_mails, Needs.VIEWER, "mails"),
        Row("/mails/resend", resend, Needs.OPERATOR, "mails", "POST"),
    )
)
