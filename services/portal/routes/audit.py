"""The vendor's page of who did what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from services.kit.database import reading
from services.portal import audit
from services.portal.access import Asked, Needs, Row
from services.portal.exports import Cell, csv_response
from services.portal.views import NotHere

_LENGTH_MAX = 100


async def show_audit(asked: Asked) -> Response:
    """Some of the entries, the latest first."""

    def render() -> str:
        wanted = _wanted(asked.request.query_params)
        with reading(asked.portal.engine).connect() as connection:
            found, kinds = audit.entries(connection, wanted), audit.kinds(connection)
        return asked.page(
            "audit.html", asked.voice(), found=found, kinds=kinds, wanted=wanted, told=audit.told, address=_address
        )

    return HTMLResponse(await run_in_threadpool(render))


async def give_audit(asked: Asked) -> Response:
    """All entries that fit, as a file."""
    portal, wanted = asked.portal, _wanted(asked.request.query_params)

    def rows() -> Iterator[tuple[Cell, ...]]:
        with reading(portal.engine).connect() as connection:
            for row in audit.all_entries(connection, wanted):
                yield row.at, row.who, row.what, row.about, audit.told(row.details)

    return csv_response("audit", ("At (UTC)", "Who", "What", "About", "Details"), rows())


def _wanted(parameters: Mapping[str, str]) -> audit.Wanted:
    who, what, about = (
        parameters.get(name, "").replace("\0", "").strip()[:_LENGTH_MAX] for name in ("who", "what", "about")
    )
    try:
        page = int(parameters.get("page") or 1)
    except ValueError:
        raise NotHere from None
    if not 0 < page < 10**9:
        raise NotHere
    return audit.Wanted(who, what, about, page)


def _address(path: str, wanted: audit.Wanted, page: int = 1) -> str:
    facts = wanted._asdict() | {"page": page if page > 1 else ""}
    return path + "?" + urlencode({name: value for name, value in facts.items() if value})


ROWS = (
    Row("/audit", show_audit, Needs.VIEWER, "audit"),
    Row("/audit.csv", give_audit, Needs.VIEWER, "audit"),
)
