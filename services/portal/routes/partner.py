"""The partner's own pages. What they show is chosen by his session alone: no address names a partner."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Row as SqlRow
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from schemas.events import PreferenceSource
from schemas.values import Quarter
from services.kit.speech import LANGUAGES
from services.kit.statements import Form
from services.portal import contacts
from services.portal.access import Asked, Needs, Refused, Row
from services.portal.exports import Cell, csv_response, xlsx_response
from services.portal.live import Fragments
from services.portal.quarters import quarters_page
from services.portal.queries import PartnerRows, snapshot
from services.portal.routes.door import wanted
from services.portal.routes.live import follow
from services.portal.sales import (
    ALL,
    SalesAddress,
    read_sales,
    sale_history,
    sales_list,
    table_header,
    table_rows,
)
from services.portal.todo import Task
from services.portal.views import NotHere, PartnerPage, partner_page, read_quarter
from services.portal.voice import Voice
from services.portal.why import why_page

_WORKBOOKS = asyncio.Semaphore(1)
"""A workbook keeps the processor busy for seconds: one at a time, so that the pages stay quick."""
_MEDIA_TYPES = {Form.PDF.value: "application/pdf", Form.CSV.value: "text/csv; charset=utf-8"}


async def show_partner(asked: Asked) -> Response:
    """The partner's own page."""

    def make(asked: Asked) -> str:
        page, voice = _page(asked)
        parts = asked.portal.pages.partner_parts(page, voice)
        weekly, live = _wants_weekly_mail(asked, page), f"/events?quarter={page.quarter}"
        return asked.page("partner.html", voice, live, page=page, parts=parts, weekly_mail=weekly, languages=LANGUAGES)

    return await asked.kept_page(make)


async def follow_partner(asked: Asked) -> Response:
    """What changes on it, as it happens."""

    def make(asked: Asked) -> Fragments:
        return asked.portal.pages.partner_parts(*_page(asked))

    async def render(state: Hashable) -> Fragments:
        return await asked.kept_parts(state, make)

    return follow(asked, asked.visitor.partner_id, render, rest=0.25)


async def show_sales(asked: Asked) -> Response:
    """The partner's sales, page by page."""

    def make(asked: Asked) -> str:
        with _rows(asked) as rows:
            page = sales_list(rows, asked.portal.programme, _sales_address(asked), asked.portal.clock.now())
        return asked.page("sales.html", voice_of(asked, page.partner), page=page)

    return await asked.kept_page(make)


async def give_sales_csv(asked: Asked) -> Response:
    """The same sales as a file, all of them."""
    address = _sales_address(asked)
    voice = await run_in_threadpool(_voice, asked)
    return csv_response(_file_name(address), table_header(voice), _every_sale(asked, address, voice))


async def give_sales_xlsx(asked: Asked) -> Response:
    """The same as a workbook."""
    address = _sales_address(asked)
    voice = await run_in_threadpool(_voice, asked)
    rows = _every_sale(asked, address, voice)
    async with _WORKBOOKS:
        return await run_in_threadpool(xlsx_response, _file_name(address), table_header(voice), rows)


async def show_sale(asked: Asked) -> Response:
    """What is known of one sale. Its number is whatever a reporter wrote, so it is no part of a path."""

    def make(asked: Asked) -> str:
        portal, sale_id = asked.portal, asked.request.query_params.get("id", "")
        with _rows(asked) as rows:
            page = sale_history(rows, portal.programme, asked.visitor.partner_id, sale_id, portal.clock.now())
        return asked.page("sale.html", voice_of(asked, page.partner), page=page)

    return await asked.kept_page(make)


async def show_quarters(asked: Asked) -> Response:
    """All quarters of the partner, with their closes, payments and statements."""

    def make(asked: Asked) -> str:
        portal, partner_id = asked.portal, asked.visitor.partner_id
        cards = portal.shelf.of_partner(partner_id)
        with _rows(asked) as rows:
            page = quarters_page(rows, portal.programme, partner_id, portal.clock.now(), cards)
        return asked.page("quarters.html", voice_of(asked, page.partner), page=page)

    return await asked.kept_page(make)


async def show_why(asked: Asked) -> Response:
    """The partner's number, taken apart."""

    def make(asked: Asked) -> str:
        portal = asked.portal
        with _rows(asked) as rows:
            page = why_page(rows, portal.programme, read_quarter(asked.request.query_params), portal.clock.now())
        return asked.page("why.html", voice_of(asked, page.partner), page=page)

    return await asked.kept_page(make)


async def give_statement(asked: Asked) -> Response:
    """One of the partner's statements, as it was issued."""
    number, form = asked.request.path_params["number"], asked.request.path_params["form"]
    if form not in _MEDIA_TYPES:
        raise NotHere
    content = await run_in_threadpool(asked.portal.shelf.read, asked.visitor.partner_id, number, Form(form))
    if content is None:
        raise NotHere
    name = {"Content-Disposition": f'attachment; filename="{number}.{form}"'}
    return Response(content, headers=name, media_type=_MEDIA_TYPES[form])


async def choose_weekly_mail(asked: Asked) -> Response:
    """Turn the weekly mail off or on again, from the partner's own page. A contact of his chooses for himself."""
    if asked.form.get("on") not in ("0", "1"):
        raise Refused
    await run_in_threadpool(choose, asked, weekly_mail=asked.form["on"] == "1")
    return RedirectResponse("/" + wanted(asked) + "#mails", 303)


def choose(asked: Asked, *, weekly_mail: bool | None = None, language: str | None = None) -> None:
    """Write down what he chose on a page: a contact for himself, whoever is the partner for the partner. Blocks."""
    portal, visitor = asked.portal, asked.visitor
    at, real = portal.clock.now(), portal.sessions.now()
    contacts.choose(
        portal.engine,
        PreferenceSource.PORTAL,
        visitor.partner_id,
        visitor.person,
        at,
        real,
        weekly_mail=weekly_mail,
        language=language,
    )


def voice_of(asked: Asked, partner: SqlRow[Any] | None) -> Voice:
    """The voice for a partner, or a contact of his; as long as nobody knows him, that of his browser."""
    language = asked.visitor.language
    if partner is None:
        return asked.voice(language)
    return asked.voice(language or partner.language, partner.country)


@contextmanager
def _rows(asked: Asked) -> Iterator[PartnerRows]:
    with snapshot(asked.portal.engine) as connection:
        yield PartnerRows(connection, asked.portal.programme.id, asked.visitor.partner_id)


def _page(asked: Asked) -> tuple[PartnerPage, Voice]:
    portal, partner_id = asked.portal, asked.visitor.partner_id
    quarter, cards = read_quarter(asked.request.query_params), portal.shelf.of_partner(partner_id)
    with _rows(asked) as rows:
        page = partner_page(rows, portal.programme, partner_id, quarter, portal.clock.now(), cards)
    if asked.visitor.accountant:
        page = replace(page, todos=[todo for todo in page.todos if todo.task is Task.STATEMENT])
    return page, voice_of(asked, page.partner)


def _wants_weekly_mail(asked: Asked, page: PartnerPage) -> bool | None:
    """Whether this visitor gets the weekly mail; None if there is nothing to choose for him."""
    visitor = asked.visitor
    if visitor.accountant:
        return None
    if not visitor.person or visitor.viewing:
        return page.weekly_mail
    with snapshot(asked.portal.engine) as connection:
        found = contacts.find(connection, visitor.partner_id, visitor.person)
    return found is not None and found.weekly_mail


def _sales_address(asked: Asked) -> SalesAddress:
    today = asked.portal.clock.now().astimezone(asked.portal.programme.zone).date()
    return read_sales(asked.request.query_params, Quarter.of(today))


def _every_sale(asked: Asked, address: SalesAddress, voice: Voice) -> Iterator[Sequence[Cell]]:
    """Holds a connection for as long as the rows are read."""
    with _rows(asked) as rows:
        yield from table_rows(rows.every_sale(address.wanted), asked.portal.programme, voice)


def _voice(asked: Asked) -> Voice:
    with _rows(asked) as rows:
        return voice_of(asked, rows.partner())


def _file_name(address: SalesAddress) -> str:
    return f"sales-{address.wanted.quarter or ALL}"


ROWS = (
    Row("/", show_partner, Needs.READ, "partner"),
    Row("/events", follow_partner, Needs.READ, "events"),
    Row("/sales", show_sales, Needs.READ, "sales"),
    Row("/sales.csv", give_sales_csv, Needs.READ, "sales-csv"),
    Row("/sales.xlsx", give_sales_xlsx, Needs.READ, "sales-xlsx"),
    Row("/sale", show_sale, Needs.READ, "sale"),
    Row("/quarters", show_quarters, Needs.READ, "quarters"),
    Row("/why", show_why, Needs.READ, "why"),
    Row("/statements/{number}.{form}", give_statement, Needs.READ, "statement"),
    Row("/weekly-mail", choose_weekly_mail, Needs.LINK, "weekly-mail", "POST"),
)
