"""Work lists of the vendor's staff: conflicts, sales that do not count, and what a close needs."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from babel.numbers import get_currency_precision
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from schemas.values import Quarter
from services.kit.csvfile import Refused as NotTaken
from services.portal import reasons
from services.portal.access import Asked, Needs, Refused, Row
from services.portal.auth import Role
from services.portal.claims.reading import free_text
from services.portal.exports import Cell, csv_response, xlsx_response
from services.portal.lists import conflicts, uncounted
from services.portal.lists.closing import Closing, closing
from services.portal.lists.conflicts import Kind, Outcome, Wanted, enter_return
from services.portal.overview import Overview
from services.portal.queries import snapshot
from services.portal.routes.claims import page_of
from services.portal.views import NotHere, read_quarter
from services.portal.voice import Voice

_REASON_LENGTH_MAX = 60


async def show_conflicts(asked: Asked) -> Response:
    """What two sales have open at once."""
    return HTMLResponse(await run_in_threadpool(_conflicts_page, asked))


async def give_conflicts(asked: Asked) -> Response:
    """The same as a file, a row for each sale."""
    portal, voice, kind = asked.portal, asked.voice(), _kind(asked)

    def rows() -> Iterator[tuple[Cell, ...]]:
        with snapshot(portal.engine) as connection:
            for one in conflicts.all_conflicts(connection, portal.programme, kind):
                for side in one.sides:
                    line, worth = side.line, _decimal(side.worth_minor, side.currency)
                    yield (
                        *(one.what, line.partner_id, side.name, line.sale_id, line.product_id, line.quantity),
                        *(line.sold_on, line.quarter, side.units, worth, side.currency),
                    )

    titles = (
        *(voice.say("Conflict"), voice.say("Partner"), voice.say("Name"), voice.say("Sale"), voice.say("Product")),
        *(voice.say("Units"), voice.say("Sold on"), voice.say("Quarter"), voice.say("Units at stake")),
        *(voice.say("Worth"), voice.say("Currency")),
    )
    return await run_in_threadpool(_file_of(asked), f"conflicts-{kind}", titles, rows())


async def take_return(asked: Asked) -> Response:
    """End a conflict by a return."""
    portal, form = asked.portal, asked.form
    if form.get("reason") not in conflicts.REASONS:
        raise Refused
    partner_id, sale_id, serial = (form.get(name, "") for name in ("partner_id", "sale_id", "serial_number"))

    def act() -> Response:
        try:
            text = free_text(form.get("note", ""))
        except NotTaken:
            raise Refused from None
        wanted = Wanted(partner_id, sale_id, serial, form["reason"], text, asked.visitor.person)
        outcome = enter_return(portal.engine, portal.programme, wanted, portal.clock.now())
        if outcome is not Outcome.DONE:
            return HTMLResponse(_conflicts_page(asked, outcome), 409)
        portal.changes.publish([wanted.partner_id])
        return RedirectResponse(f"/conflicts?kind={_kind(asked)}&done=1", 303)

    return await run_in_threadpool(act)


async def show_uncounted(asked: Asked) -> Response:
    """Sales that do not count, by reason, and those of one reason."""
    page, reason = page_of(asked), _reason(asked)

    def render() -> str:
        with snapshot(asked.portal.engine) as connection:
            quarter, known = _quarter(asked, connection)
            return asked.page(
                "lists/uncounted.html",
                asked.voice(),
                page=_Quarters(quarter, known),
                by_reason=uncounted.by_reason(connection, quarter),
                some=uncounted.some(connection, quarter, reason, page),
                reason=reason,
                query=urlencode({"quarter": quarter, "reason": reason}),
            )

    return HTMLResponse(await run_in_threadpool(render))


async def give_uncounted(asked: Asked) -> Response:
    """The same as a file."""
    voice, reason = asked.voice(), _reason(asked)

    def find() -> Quarter:
        with snapshot(asked.portal.engine) as connection:
            return _quarter(asked, connection)[0]

    quarter = await run_in_threadpool(find)

    def rows() -> Iterator[tuple[Cell, ...]]:
        with snapshot(asked.portal.engine) as connection:
            for sale in uncounted.every(connection, quarter, reason):
                yield (
                    *(sale.partner_id, sale.name, sale.country, sale.sale_id, sale.product_id, sale.quantity),
                    *(sale.sold_on, sale.serial_numbers.replace("\n", " "), sale.status, sale.reason),
                    *(voice.say(reasons.of_sale(sale.reason or "").name), sale.recorded_at.astimezone(voice.zone)),
                )

    return await run_in_threadpool(_file_of(asked), f"not-counted-{quarter}", _uncounted_titles(voice), rows())


async def show_closing(asked: Asked) -> Response:
    """What the close of a quarter needs."""

    def render() -> str:
        portal = asked.portal
        with snapshot(portal.engine) as connection:
            quarter, known = _quarter(asked, connection)
            page: Closing = closing(connection, portal.programme, quarter, known, portal.clock.now())
        return asked.page("lists/closing.html", asked.voice(), page=page)

    return HTMLResponse(await run_in_threadpool(render))


class _Quarters:
    """The quarter of a page, and those that it leads to."""

    def __init__(self, quarter: Quarter, quarters: list[Quarter]) -> None:
        self.quarter, self.quarters = quarter, quarters


def _conflicts_page(asked: Asked, outcome: str = "") -> str:
    portal, kind, page = asked.portal, _kind(asked), page_of(asked)
    with snapshot(portal.engine) as connection:
        return asked.page(
            "lists/conflicts.html",
            asked.voice(),
            kind=kind,
            kinds=list(Kind),
            numbers={one: conflicts.number_of(connection, one) for one in Kind},
            some=conflicts.conflicts(connection, portal.programme, kind, page),
            may_act=asked.visitor.role >= Role.OPERATOR,
            reasons_for_return=conflicts.REASONS,
            outcome=outcome,
            done=asked.request.query_params.get("done") == "1",
        )


def _kind(asked: Asked) -> Kind:
    try:
        return Kind(asked.request.query_params.get("kind", Kind.SERIAL))
    except ValueError:
        raise NotHere from None


def _reason(asked: Asked) -> str:
    return asked.request.query_params.get("reason", "").replace("\0", "")[:_REASON_LENGTH_MAX]


def _quarter(asked: Asked, connection: Connection) -> tuple[Quarter, list[Quarter]]:
    """The quarter that the address asks for, and all there are, the latest first. Raises NotHere for another one."""
    portal = asked.portal
    current = Quarter.of(portal.clock.now().astimezone(portal.programme.zone).date())
    quarter = read_quarter(asked.request.query_params) or current
    names = {*Overview(connection, portal.programme.id, current).quarters(), *uncounted.quarters(connection)}
    known = sorted({*map(Quarter.parse, names), current}, reverse=True)
    if quarter not in known:
        raise NotHere
    return quarter, known


def _decimal(minor: int, currency: str) -> Decimal:
    return Decimal(minor).scaleb(-get_currency_precision(currency))


def _file_of(asked: Asked) -> Any:
    return csv_response if asked.request.url.path.endswith(".csv") else xlsx_response


def _uncounted_titles(voice: Voice) -> tuple[str, ...]:
    return (
        *(voice.say("Partner"), voice.say("Name"), voice.say("Country"), voice.say("Sale"), voice.say("Product")),
        *(voice.say("Units"), voice.say("Sold on"), voice.say("Serial numbers"), voice.say("Verdict")),
        *(voice.say("Code"), voice.say("Reason"), voice.say("Received")),
    )


ROWS = (
    Row("/conflicts", show_conflicts, Needs.VIEWER, "conflicts"),
    Row("/conflicts.csv", give_conflicts, Needs.VIEWER, "conflicts"),
    Row("/conflicts.xlsx", give_conflicts, Needs.VIEWER, "conflicts"),
    Row("/conflicts", take_return, Needs.OPERATOR, "conflicts", "POST", form_bytes_max=16_384),
    Row("/rejected", show_uncounted, Needs.VIEWER, "rejected"),
    Row("/rejected.csv", give_uncounted, Needs.VIEWER, "rejected"),
    Row("/rejected.xlsx", give_uncounted, Needs.VIEWER, "rejected"),
    Row("/closing", show_closing, Needs.VIEWER, "closing"),
)
