"""The vendor's pages: the whole programme, and the partners in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from schemas.values import PARTNER_ID
from services.portal.access import Asked, Needs, Row
from services.portal.directory import (
    NEAR_UNITS,
    Directory,
    PartnersAddress,
    PartnersList,
    read_partners,
    table_header,
    table_rows,
)
from services.portal.exports import Cell, csv_response, xlsx_response
from services.portal.live import EVERYBODY, Fragments
from services.portal.programme_view import ProgrammePage, programme_page, programme_quarter, table_of
from services.portal.quarters import quarters_page
from services.portal.queries import PartnerRows, snapshot
from services.portal.routes.live import follow
from services.portal.views import NotHere, read_quarter


async def show_programme(asked: Asked) -> Response:
    """The vendor's page."""

    def render() -> str:
        page, voice = _page(asked), asked.voice()
        parts = asked.portal.pages.programme_parts(page, voice)
        live = f"/programme/events?quarter={page.quarter}"
        return asked.page("programme.html", voice, live, page=page, parts=parts)

    return HTMLResponse(await run_in_threadpool(render))


async def follow_programme(asked: Asked) -> Response:
    """What changes on it, as it happens."""

    async def render(_: object) -> Fragments:
        return await asked.portal.changes.apart(lambda: asked.portal.pages.programme_parts(_page(asked), asked.voice()))

    return follow(asked, EVERYBODY, render, rest=1.0)


async def give_programme_csv(asked: Asked) -> Response:
    """One of its tables as a file."""
    name, voice = asked.request.path_params["table"], asked.voice()
    page = await run_in_threadpool(_page, asked)
    header, rows = table_of(page, name, voice)
    return csv_response(f"programme-{page.quarter}-{name}", header, rows)


async def list_partners(asked: Asked) -> Response:
    """The partners, page by page."""

    def render() -> str:
        portal, address = asked.portal, _address(asked)
        with snapshot(portal.engine) as connection:
            quarter, known = programme_quarter(connection, portal.programme, address.quarter, portal.clock.now())
            directory = Directory(connection, portal.programme, quarter)
            found = directory.page(address.wanted, address.number)
            page = PartnersList(portal.programme, address, quarter, known, directory.countries(), found)
        return asked.page("partners.html", asked.voice(), page=page)

    return HTMLResponse(await run_in_threadpool(render))


async def give_partners_csv(asked: Asked) -> Response:
    """The same partners as a file, all of them."""
    rows = await run_in_threadpool(_everybody, asked, _address(asked))
    return csv_response("partners", table_header(asked.voice()), rows)


async def give_partners_xlsx(asked: Asked) -> Response:
    """The same as a workbook."""
    rows = await run_in_threadpool(_everybody, asked, _address(asked))
    return await run_in_threadpool(xlsx_response, "partners", table_header(asked.voice()), rows)


async def show_partner_to_staff(asked: Asked) -> Response:
    """One partner: where he stands, his quarters, closes and payments."""
    portal, partner_id = asked.portal, asked.request.path_params["partner_id"]
    if PARTNER_ID.fullmatch(partner_id) is None:
        raise NotHere

    def render() -> str:
        cards = portal.shelf.of_partner(partner_id)
        with snapshot(portal.engine) as connection:
            rows = PartnerRows(connection, portal.programme.id, partner_id)
            if rows.partner() is None and not rows.quarters():
                raise NotHere
            page = quarters_page(rows, portal.programme, partner_id, portal.clock.now(), cards)
            sales = rows.sales_by_status(page.cards[0].quarter)
        return asked.page("partner_of_staff.html", asked.voice(), page=page, partner_id=partner_id, sales=sales)

    return HTMLResponse(await run_in_threadpool(render))


def _page(asked: Asked) -> ProgrammePage:
    portal = asked.portal
    with snapshot(portal.engine) as connection:
        return programme_page(
            connection,
            portal.breakdowns,
            portal.programme,
            read_quarter(asked.request.query_params),
            portal.clock.now(),
            _near_units(asked),
        )


def _near_units(asked: Asked) -> int:
    return asked.portal.settings.near_units or NEAR_UNITS


def _address(asked: Asked) -> PartnersAddress:
    return read_partners(asked.request.query_params, _near_units(asked))


def _everybody(asked: Asked, address: PartnersAddress) -> Iterator[Sequence[Cell]]:
    """All who are wanted; a connection is held for as long as they are read."""
    portal = asked.portal
    with snapshot(portal.engine) as connection:
        quarter, _ = programme_quarter(connection, portal.programme, address.quarter, portal.clock.now())

    def read() -> Iterator[Sequence[Cell]]:
        with snapshot(portal.engine) as connection:
            standings = Directory(connection, portal.programme, quarter).everybody(address.wanted)
            yield from table_rows(standings, portal.programme.terms_for(quarter).currency)

    return read()


ROWS = (
    Row("/programme", show_programme, Needs.VIEWER, "programme"),
    Row("/programme/events", follow_programme, Needs.VIEWER, "events"),
    Row("/programme/{table}.csv", give_programme_csv, Needs.VIEWER, "programme-csv"),
    Row("/partners", list_partners, Needs.VIEWER, "partners"),
    Row("/partners.csv", give_partners_csv, Needs.VIEWER, "partners-csv"),
    Row("/partners.xlsx", give_partners_xlsx, Needs.VIEWER, "partners-xlsx"),
    Row("/partners/{partner_id}", show_partner_to_staff, Needs.VIEWER, "partner-of-staff"),
)
