"""Webhooks: a partner's own endpoints, and those of all partners for the vendor's staff."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from services.kit.office.client import Refused
from services.portal.access import Asked, Handler, Needs, Row
from services.portal.auth import PARTNER, Role
from services.portal.exports import Cell
from services.portal.offices import DeliveryLog, Endpoints, NewEndpoint, acting
from services.portal.queries import PartnerRows, snapshot
from services.portal.routes.counter import FILE_ROWS_MAX, calmly, done, keep, list_response, said, shown
from services.portal.routes.partner import voice_of
from services.portal.views import NotHere
from services.portal.voice import Voice

_ACTS = {"enable": "webhook-enabled", "ping": "webhook-pinged", "replay": "webhook-replayed"}
"""What brings one back to an endpoint's page, and how the record calls it."""


async def show_endpoints(asked: Asked) -> Response:
    """The partner's, or for staff all."""
    return await shown(asked, _list_page)


async def show_endpoint(asked: Asked) -> Response:
    """One, with what was sent there and what it answered."""
    return await shown(asked, _one_page)


async def export_deliveries(asked: Asked) -> Response:
    """What was sent to an endpoint as a list, up to the latest twenty thousand, each with its last answer."""

    def make() -> Response:
        endpoint = asked.request.path_params["endpoint"]
        try:
            found = _ask(asked, "webhooks.log", DeliveryLog, endpoint=endpoint, limit=FILE_ROWS_MAX)
        except Refused:
            raise NotHere from None
        header = ("Number", "Type", "Recorded", "State", "Attempts", "Last attempt", "Status", "Answer")
        rows: list[Sequence[Cell]] = []
        for sent in found.deliveries:
            last = sent.attempts[-1] if sent.attempts else None
            answer = (last.at, last.status, last.said) if last else (None, None, None)
            rows.append((sent.number, sent.type, sent.recorded_at, sent.state, len(sent.attempts), *answer))
        return list_response(asked, f"deliveries-{found.endpoint.id}", header, rows)

    return await run_in_threadpool(make)


async def add(asked: Asked) -> Response:
    """Enter an endpoint, and show its secret, this once."""
    url = asked.form.get("url", "").strip()
    types = [name.removeprefix("type-") for name in asked.form if name.startswith("type-")]
    make = partial(_ask, asked, "webhooks.add", NewEndpoint, url=url, types=types)
    return await _secret(asked, lambda: make().secret, "webhook-added", url=url)


async def rotate(asked: Asked) -> Response:
    """Give an endpoint another secret, and show it, this once."""
    endpoint = asked.request.path_params["endpoint"]
    return await _secret(asked, partial(_ask, asked, "webhooks.rotate", str, endpoint=endpoint), "webhook-rotated")


async def remove(asked: Asked) -> Response:
    """Forget an endpoint."""
    endpoint = asked.request.path_params["endpoint"]
    do = partial(_ask, asked, "webhooks.remove", object, endpoint=endpoint)
    return await done(asked, do, _list_page, _base(asked), "webhook-removed", endpoint)


def _acting(operation: str) -> Handler:
    async def act(asked: Asked) -> Response:
        endpoint = asked.request.path_params["endpoint"]
        do = partial(_ask, asked, f"webhooks.{operation}", int, endpoint=endpoint)
        return await done(asked, do, _one_page, f"{_base(asked)}/{endpoint}", _ACTS[operation], endpoint)

    return act


async def _secret(asked: Asked, make: Callable[[], str], what: str, url: str = "") -> Response:
    def do() -> Response:
        try:
            secret = make()
        except Refused as refused:
            return HTMLResponse(_list_page(asked, refused, url=url), 409)
        keep(asked, what, asked.request.path_params.get("endpoint", asked.visitor.partner_id))
        return HTMLResponse(_list_page(asked, None, secret=secret), headers={"Cache-Control": "no-store"})

    return await run_in_threadpool(do)


def _list_page(asked: Asked, refused: Refused | None, *, secret: str = "", url: str = "") -> str:
    found = _ask(asked, "webhooks.list", Endpoints)
    return asked.page(
        "office/endpoints.html",
        _voice(asked),
        page=found,
        base=_base(asked),
        refused=refused,
        secret=secret,
        url=url,
        done=said(asked),
    )


def _one_page(asked: Asked, refused: Refused | None) -> str:
    try:
        found = _ask(asked, "webhooks.log", DeliveryLog, endpoint=asked.request.path_params["endpoint"])
    except Refused:
        raise NotHere from None
    visitor = asked.visitor
    may = visitor.confirmed if visitor.audience == PARTNER else visitor.role >= Role.OPERATOR
    return asked.page(
        "office/endpoint.html",
        _voice(asked),
        page=found,
        base=_base(asked),
        may=may,
        refused=refused,
        done=said(asked),
    )


def _base(asked: Asked) -> str:
    return "/endpoints" if asked.visitor.audience == PARTNER else "/webhooks"


def _voice(asked: Asked) -> Voice:
    if asked.visitor.audience != PARTNER:
        return asked.voice()
    with snapshot(asked.portal.engine) as connection:
        return voice_of(asked, PartnerRows(connection, asked.portal.programme.id, asked.visitor.partner_id).partner())


def _ask(asked: Asked, operation: str, kind: Any, **arguments: Any) -> Any:
    return asked.portal.offices.notification.ask(acting(asked.visitor), operation, kind, **arguments)


def _acts(base: str, needs: Needs) -> list[Row]:
    path = f"{base}/{{endpoint}}"
    return [
        Row(f"{path}/remove", remove, needs, "webhook", "POST"),
        *(Row(f"{path}/{name}", _acting(name), needs, "webhook", "POST") for name in _ACTS),
    ]


ROWS = calmly(
    (
        Row("/endpoints", show_endpoints, Needs.LINK, "webhooks"),
        Row("/endpoints", add, Needs.CONFIRMED, "webhooks", "POST"),
        Row("/endpoints/{endpoint}", show_endpoint, Needs.LINK, "webhook"),
        Row("/endpoints/{endpoint}/rotate", rotate, Needs.CONFIRMED, "webhook", "POST"),
        *_acts("/endpoints", Needs.CONFIRMED),
        Row("/webhooks", show_endpoints, Needs.VIEWER, "webhooks"),
        Row("/webhooks/{endpoint}", show_endpoint, Needs.VIEWER, "webhook"),
        Row("/webhooks/{endpoint}/list.{form}", export_deliveries, Needs.VIEWER, "webhook-list"),
        *_acts("/webhooks", Needs.OPERATOR),
    )
)
