"""What is earned and not paid, for the vendor's staff: why, what ends it, and what people decide about it."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from services.kit.office.client import Refused
from services.portal.access import Asked, Needs, Row
from services.portal.offices import Hold, HoldPage, acting
from services.portal.routes.counter import calmly, done, list_response, said, shown
from services.portal.views import NotHere

T = TypeVar("T")
_SHOWN_MAX = 500
"""Rows on the page; a file has all."""


async def show_holds(asked: Asked) -> Response:
    """All of them."""
    return await shown(asked, _holds_page)


async def show_hold(asked: Asked) -> Response:
    """One of them."""
    return await shown(asked, partial(_hold_page, asked.request.path_params["obligation"]))


async def lift(asked: Asked) -> Response:
    """Let an unusual one go, after having looked at it."""
    obligation = asked.form.get("obligation", "")
    do = partial(_ask, asked, "holds.lift", str, obligation=obligation, note=asked.form.get("note", ""))
    return await done(asked, do, partial(_hold_page, obligation), _path(obligation), "hold-lifted", obligation)


async def block(asked: Asked) -> Response:
    """Pay a partner nothing until he is unblocked."""
    return await _decide(asked, "holds.block", "partner-blocked")


async def unblock(asked: Asked) -> Response:
    """Let a blocked partner be paid again."""
    return await _decide(asked, "holds.unblock", "partner-unblocked")


async def export_holds(asked: Asked) -> Response:
    """All of them as a list."""

    def make() -> Response:
        header = ("Obligation", "Partner", "Quarter", "Amount", "Currency", "Since", "Reason", "Why", "Ends")
        rows = [
            (
                *(hold.obligation, hold.partner_id, hold.quarter, Decimal(hold.amount_minor).scaleb(-2)),
                *(hold.currency, hold.since, hold.code, hold.why, hold.ends),
            )
            for hold in _ask(asked, "holds.list", list[Hold])
        ]
        return list_response(asked, "held-payments", header, rows)

    return await run_in_threadpool(make)


async def _decide(asked: Asked, operation: str, what: str) -> Response:
    partner_id, obligation = asked.form.get("partner", ""), asked.form.get("obligation", "")
    do = partial(_ask, asked, operation, bool, partner_id=partner_id, reason=asked.form.get("reason", ""))
    if not obligation:
        return await done(asked, do, _holds_page, "/holds", what, partner_id)
    return await done(asked, do, partial(_hold_page, obligation), _path(obligation), what, partner_id)


def _holds_page(asked: Asked, refused: Refused | None) -> str:
    found = _ask(asked, "holds.list", list[Hold])
    sums: dict[str, int] = {}
    for hold in found:
        sums[hold.currency] = sums.get(hold.currency, 0) + hold.amount_minor
    return asked.page(
        "office/holds.html",
        asked.voice(),
        holds=found,
        sums=sums,
        path_of=_path,
        shown_max=_SHOWN_MAX,
        form=asked.form,
        refused=refused,
        done=said(asked),
    )


def _hold_page(obligation: str, asked: Asked, refused: Refused | None) -> str:
    try:
        found = _ask(asked, "holds.describe", HoldPage, obligation=obligation)
    except Refused:
        raise NotHere from None
    return asked.page("office/hold.html", asked.voice(), hold=found, refused=refused, done=said(asked))


def _path(obligation: str) -> str:
    return f"/holds/of/{quote(obligation)}"


def _ask(asked: Asked, operation: str, kind: type[T], **arguments: Any) -> T:
    return asked.portal.offices.payout.ask(acting(asked.visitor), operation, kind, **arguments)


ROWS = calmly(
    (
        Row("/holds", show_holds, Needs.VIEWER, "holds"),
        Row("/holds/list.{form}", export_holds, Needs.VIEWER, "holds"),
        Row("/holds/of/{obligation:path}", show_hold, Needs.VIEWER, "hold"),
        Row("/holds/lift", lift, Needs.OPERATOR, "hold", "POST"),
        Row("/holds/block", block, Needs.OPERATOR, "hold", "POST"),
        Row("/holds/unblock", unblock, Needs.OPERATOR, "hold", "POST"),
    )
)
