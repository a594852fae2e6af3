"""The bank, for the vendor's staff: its answers are handed in, and what it says or does not say is seen."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from services.kit.office.client import Refused
from services.kit.office.protocol import Refusal
from services.portal.access import Asked, Needs, Row, check_mark
from services.portal.claims.upload import TooLarge, read_form_with_files
from services.portal.offices import Bank, Taken, acting
from services.portal.routes.counter import calmly, done, keep, said, shown

_FIELD = "answers"


async def show_bank(asked: Asked) -> Response:
    """Where the runs stand with the bank."""
    return await shown(asked, _page)


async def take(asked: Asked) -> Response:
    """Read files of the bank, in any order. The same again changes nothing."""
    try:
        form = await read_form_with_files(asked.request)
    except TooLarge:
        return HTMLResponse(await run_in_threadpool(_page, asked, Refused(Refusal("too-large", ""))), 413)
    try:
        check_mark(asked.portal, asked.request, asked.visitor.session_id, form.fields.get("mark", ""))
        return await run_in_threadpool(_take, asked, [(one.name, one.file.read()) for one in form.sent(_FIELD)])
    finally:
        await form.close()


async def clear(asked: Asked) -> Response:
    """Say that something was looked into."""
    number, statement = asked.form.get("number", ""), asked.form.get("statement", "")
    which: dict[str, Any] = {"number": int(number)} if number.isdecimal() else {"statement": statement}
    do = partial(_ask, asked, "bank.clear", object, because=asked.form.get("because", ""), **which)
    return await done(asked, do, _page, "/bank", "bank-cleared", number or statement)


def _take(asked: Asked, files: list[tuple[str, bytes]]) -> Response:
    taken: list[tuple[str, Taken | None]] = []
    for name, content in files:
        try:
            found = _ask(asked, "bank.take", Taken, patiently=True, name=name, content=content)
        except Refused as refused:
            if refused.code != "unreadable":
                return HTMLResponse(_page(asked, refused, taken), 409)
            taken.append((name, None))
            continue
        keep(asked, "bank-file-read", found.kind, repeated=found.repeated, unmatched=found.unmatched)
        taken.append((name, found))
    return HTMLResponse(_page(asked, None, taken))


def _page(asked: Asked, refused: Refused | None, taken: list[tuple[str, Taken | None]] | None = None) -> str:
    found = _ask(asked, "bank.standing", Bank)
    return asked.page(
        "office/bank.html", asked.voice(), page=found, taken=taken or [], refused=refused, done=said(asked)
    )


def _ask(asked: Asked, operation: str, kind: Any, **arguments: Any) -> Any:
    return asked.portal.offices.payout.ask(acting(asked.visitor), operation, kind, **arguments)


ROWS = calmly(
    (
        Row("/bank", show_bank, Needs.VIEWER, "bank"),
        Row("/bank/take", take, Needs.OPERATOR, "bank", "POST", form_bytes_max=None),
        Row("/bank/clear", clear, Needs.OPERATOR, "bank", "POST"),
    )
)
