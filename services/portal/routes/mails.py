"""Mails to partners, for the vendor's staff: which were not sent, why, and sending them again."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from services.kit.office.client import Refused
from services.kit.office.protocol import Refusal
from services.portal.access import Asked, Needs, Row
from services.portal.offices import Mails, Resent, acting
from services.portal.routes.counter import FILE_ROWS_MAX, calmly, done, list_response, said, shown

_STATES = ("failed", "waiting-for-address", "pending", "sent", "expired", "superseded")


async def show_mails(asked: Asked) -> Response:
    """The latest, of one state or of any."""
    return await shown(asked, _page)


async def export_mails(asked: Asked) -> Response:
    """The same as a list, up to the latest twenty thousand."""

    def make() -> Response:
        header = ("Number", "Partner", "Contact", "Kind", "State", "Queued", "Sent", "Attempts", "Last error")
        rows = [
            (
                *(mail.number, mail.partner_id, mail.contact_id, mail.kind, mail.state, mail.queued_at, mail.sent_at),
                *(mail.attempts, mail.last_error),
            )
            for mail in _mails(asked, _state(asked), limit=FILE_ROWS_MAX).mails
        ]
        return list_response(asked, f"mails-{_state(asked) or 'all'}", header, rows)

    return await run_in_threadpool(make)


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
    state = _state(asked)
    return asked.page(
        "office/mails.html",
        asked.voice(),
        page=_mails(asked, state),
        state=state,
        states=_STATES,
        refused=refused,
        done=said(asked),
    )


def _state(asked: Asked) -> str:
    state = asked.request.query_params.get("state", "failed")
    return state if state in _STATES else ""


def _mails(asked: Asked, state: str, **more: int) -> Mails:
    found: Mails = _ask(asked, "mails.list", Mails, states=[state] if state else [], **more)
    return found


def _ask(asked: Asked, operation: str, kind: Any, **arguments: Any) -> Any:
    return asked.portal.offices.notification.ask(acting(asked.visitor), operation, kind, **arguments)


ROWS = calmly(
    (
        Row("/mails", show_mails, Needs.VIEWER, "mails"),
        Row("/mails/list.{form}", export_mails, Needs.VIEWER, "mails-list"),
        Row("/mails/resend", resend, Needs.OPERATOR, "mails", "POST"),
    )
)
