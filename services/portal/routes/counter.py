"""What the routes that ask an office have in common: an action and what follows from it, and an office that is away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.kit.office.client import Away, Refused
from services.portal.access import Asked, Handler, Row
from services.portal.audit import actor, note
from services.portal.exports import Rows, csv_response, xlsx_response
from services.portal.views import NotHere

FILE_ROWS_MAX = 20_000
"""So many rows of what notification keeps come into a file."""
_RETRY_SECONDS = "10"
Page = Callable[[Asked, Refused | None], str]
"""Renders a page, with what an office has just refused, if it has."""


def said(asked: Asked) -> str:
    """The code of what was done before this page, for a sentence at its top."""
    return asked.request.query_params.get("done", "")


async def shown(asked: Asked, page: Page) -> Response:
    """A page."""
    return HTMLResponse(await run_in_threadpool(page, asked, None))


async def done(
    asked: Asked, do: Callable[[], object], page: Page, back: str, what: str, about: str, **details: str | int
) -> Response:
    """Have an office do something, note who had it done, and go back to a page; or show ``page`` with why it was not.

    An action whose answer did not come in time may have been done: that is noted, too.
    """

    def act() -> Response:
        try:
            do()
        except Refused as refused:
            return HTMLResponse(page(asked, refused), 409)
        except Away as away:
            if away.may_be_done:
                keep(asked, what, about, answered=False, **details)
            raise
        keep(asked, what, about, **details)
        return RedirectResponse(f"{back}?done={what}", 303)

    return await run_in_threadpool(act)


def list_response(asked: Asked, name: str, header: Sequence[str], rows: Rows) -> Response:
    """A list as a file of the form that its address ends in. Raises NotHere if that is none of ours."""
    form = asked.request.path_params["form"]
    if form not in ("csv", "xlsx"):
        raise NotHere
    return (csv_response if form == "csv" else xlsx_response)(name, header, rows)


def keep(asked: Asked, what: str, about: str, **details: str | int | bool) -> None:
    """Note in the record who had something done."""
    with asked.portal.engine.begin() as connection:
        note(connection, actor(asked.visitor), what, about, **details)


def calmly(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The same rows; while an office is away, they answer with a page that says so."""
    return tuple(replace(row, handler=_calm(row.handler)) for row in rows)


def _calm(handler: Handler) -> Handler:
    async def answer(asked: Asked) -> Response:
        try:
            return await handler(asked)
        except Away as away:
            html = await run_in_threadpool(
                asked.page, "office/away.html", asked.voice(), office=away.office, may_be_done=away.may_be_done
            )
            return HTMLResponse(html, 503, headers={"Retry-After": _RETRY_SECONDS})

    return answer
