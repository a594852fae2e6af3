"""The read model of the portal's benchmark, and the server in a process of its own that shows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

from sqlalchemy import Engine, insert
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.runtime.clock import RealClock
from deploy.runtime.programme import read_programme
from deploy.runtime.settings import Port, load
from schemas.events import LineStatus
from schemas.values import Quarter
from services.kit.listening import listening
from services.portal.live import Changes
from services.portal.queries import open_database
from services.portal.server import Server
from services.portal.tables import open_serials, partners, sale_lines, tallies
from services.portal.web import create_web
from streams.rules.terms import Programme, parse

BIG = "BIG"
"""The partner with most sales; the others are ``P0``, ``P1``, …"""
_CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is to look at."""

    sales: int
    """Of one partner."""
    partners: int
    lines: int
    """Of all the others."""


def fill(engine: Engine, programme: Programme, size: Size) -> Quarter:
    """Write a quarter's read model; answers which quarter it is."""
    quarter = Quarter.of(datetime.now(UTC).date())  # noqa: TID251  # the benchmark runs on real time
    each = size.lines // size.partners
    with engine.begin() as connection:
        connection.execute(insert(partners), [_partner(*numbered) for numbered in enumerate(_names(size))])
        units = {BIG: size.sales} | {f"P{n}": each for n in range(size.partners)}
        connection.execute(insert(tallies), [_tally(programme, quarter, *pair) for pair in units.items()])
    lines = _lines(quarter, size)
    while chunk := list(islice(lines, _CHUNK)):
        serials = [
            {"partner_id": line["partner_id"], "sale_id": line["sale_id"], "serial_number": line["serial_numbers"]}
            for line in chunk
            if line["status"] == LineStatus.COUNTED
        ]
        with engine.begin() as connection:
            connection.execute(insert(sale_lines), chunk)
            connection.execute(insert(open_serials), serials)
    return quarter


def serve(flags: dict[str, Any], orders: Connection) -> None:
    """Serve the read model until told to stop by None; a list of partners counts as changed."""
    settings = load(flags, {}).settings
    changes, engine = Changes(), open_database(settings)
    web = create_web(settings, read_programme(settings, parse), engine, RealClock(), changes)
    server = Server(_timed(web), changes)
    listener = listening(settings.listen, settings.port(Port.PORTAL), "the pages")

    def obey() -> None:
        while (changed := orders.recv()) is not None:
            changes.publish(changed)
        server.stop()

    threading.Thread(target=obey, daemon=True).start()
    orders.send("listening")
    server.serve_on(listener, lambda: False)
    engine.dispose()


def _timed(app: ASGIApp) -> ASGIApp:
    """Each answer says how long it took from the request being read to being ready. Only here: it may tell strangers
    what a page does not say."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                took_ms = 1000 * (time.perf_counter() - began)
                message["headers"].append((b"server-timing", b"app;dur=%.2f" % took_ms))
            await send(message)

        await app(scope, receive, tell)

    return answer


def _names(size: Size) -> Iterator[str]:
    yield BIG
    yield from (f"P{n}" for n in range(size.partners))


def _partner(number: int, partner_id: str) -> dict[str, Any]:
    return {
        "partner_id": partner_id,
        "name": f"Bench {partner_id}",
        "language": "en",
        "country": ("DE", "AT", "FR")[number % 3],
        "registered_on": date(2020, 1, 1),
        "source_offset": 0,
    }


def _tally(programme: Programme, quarter: Quarter, partner_id: str, units: int) -> dict[str, Any]:
    terms = programme.terms_for(quarter)
    rejected = units // 30 if partner_id == BIG else 0
    return {
        "partner_id": partner_id,
        "programme_id": programme.id,
        "quarter": str(quarter),
        "currency": terms.currency,
        "units": units - rejected,
        "tier": terms.tier_for(units).units,
        "rebate_minor": terms.rebate_minor(units - rejected),
        "counted": units - rejected,
        "pending": 0,
        "rejected": rejected,
        "returned": 0,
        "phase": "open",
        "revision": -1,
        "payable_minor": 0,
        "as_of": datetime.now(UTC),  # noqa: TID251
        "source_offset": 0,
    }


def _lines(quarter: Quarter, size: Size) -> Iterator[dict[str, Any]]:
    for number in range(size.sales):
        yield _line(quarter, BIG, number, rejected=number % 30 == 29)
    for number in range(size.lines):
        yield _line(quarter, f"P{number % size.partners}", number, rejected=False)


def _line(quarter: Quarter, partner_id: str, number: int, rejected: bool) -> dict[str, Any]:
    day = quarter.first_day + timedelta(days=number * 7 % 50)
    at = datetime(day.year, day.month, day.day, 8, tzinfo=UTC)
    return {
        "partner_id": partner_id,
        "sale_id": f"{partner_id[0]}-{number}",
        "quarter": str(quarter),
        "status": "rejected" if rejected else "counted",
        "reason": "product-not-in-programme" if rejected else None,
        "product_id": f"TS-{number % 3 + 1}00",
        "quantity": 1,
        "units": 0 if rejected else 1,
        "sold_on": day,
        "listed_on": day,
        "serial_numbers": f"{partner_id}-{number}",
        "returns": [],
        "conflicts": 0,
        "reported_at": at,
        "recorded_at": at,
        "source_offset": number,
    }
