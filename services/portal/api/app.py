"""The JSON interface as an application of its own, mounted by the portal. It only reads.

Who asks shows a token (``Authorization: Bearer stf_…``); no cookie is looked at, so no other site can ask in a
visitor's name. What is not the partner's does not exist for him.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from deploy.runtime.clock import Clock
from schemas.values import SALE_ID_LENGTH_MAX, Quarter
from services.kit.database import reading
from services.portal import tokens
from services.portal.access import Portal
from services.portal.api import models
from services.portal.api.pace import Pace
from services.portal.api.rows import ApiRows
from services.portal.projector import SETTLED
from services.portal.queries import snapshot, standing_of
from services.portal.tokens import Scope

VERSION = "1"
_PAGE_MAX = 1000
_QUARTER, _CURSOR = "^[1-9][0-9]{3}Q[1-4]$", "^([0-9]{0,18}|-4[0-9]{18})$"
_bearer = HTTPBearer(auto_error=False, description="A token made on the partner's page")
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": models.Problem, "description": text}
    for status, text in (
        (401, "No token, or one that does not work"),
        (403, "The token is not good for this"),
        (404, "There is no such thing of this partner's"),
        (422, "The question can't be read"),
        (429, "Too many questions; Retry-After says when to go on"),
    )
}


class Fault(Exception):
    """Why there is no answer."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


def create_api(portal: Portal, real: Clock) -> FastAPI:
    """The interface to this portal's read model. Tokens live by real time."""
    app = FastAPI(
        title=f"{portal.programme.name}: partner interface",
        version=VERSION,
        description="A partner's standing, sales and payouts, for his own systems. Money is in minor units.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        responses=_PROBLEMS,
    )
    app.state.desk = _Desk(portal, real, Pace(portal.settings.api_per_minute, time.monotonic))
    app.include_router(_router)
    app.add_exception_handler(Fault, _tell_fault)
    app.add_exception_handler(RequestValidationError, _tell_unreadable)
    app.add_exception_handler(HTTPException, _tell_missing)
    return app


@dataclass(frozen=True, slots=True)
class _Desk:
    """What the routes work with. They know of it by the request alone: FastAPI remembers routes beyond their app."""

    portal: Portal
    real: Clock
    pace: Pace


def _desk(request: Request) -> _Desk:
    desk: _Desk = request.app.state.desk
    return desk


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question that may be answered: whose, and to which portal."""

    portal: Portal
    partner_id: str

    @contextmanager
    def rows(self) -> Iterator[ApiRows]:
        """The partner's rows, as they were at one instant."""
        with snapshot(self.portal.engine) as connection:
            yield ApiRows(connection, self.portal.programme.id, self.partner_id)


def _needing(scope: Scope) -> Any:
    """What a route depends on: a token that works and is good for the scope."""

    def admit(
        request: Request,
        desk: Annotated[_Desk, Depends(_desk)],
        shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
    ) -> _Asked:
        request.scope["staffel.page"] = "api"
        now, engine = desk.real.now(), desk.portal.engine
        with reading(engine).connect() as connection:
            grant = tokens.find(connection, shown.credentials, now) if shown else None
        if grant is None:
            why = {"WWW-Authenticate": "Bearer"}
            raise Fault(401, "no-token", "show a token that works: Authorization: Bearer stf_…", why)
        wait = desk.pace.wait(grant.token_id)
        if wait:
            raise Fault(429, "too-many", f"go on in {wait} s", {"Retry-After": str(wait)})
        if scope not in grant.scopes:
            raise Fault(403, "out-of-scope", f"this token is not good for {scope}")
        with engine.begin() as connection:
            tokens.note_use(connection, grant.token_id, now)
        return _Asked(desk.portal, grant.partner_id)

    return Depends(admit)


_FOR_STANDING, _FOR_SALES, _FOR_PAYOUTS = map(_needing, Scope)
_router = APIRouter()


@_router.get("/quarters")
def quarters(asked: _Asked = _FOR_STANDING) -> models.Quarters:
    """The quarters in which you have a standing or a sale, the latest first."""
    with asked.rows() as rows:
        return models.Quarters(quarters=rows.quarters())


@_router.get("/standing")
def standing(
    quarter: Annotated[
        str | None, Query(description="Like 2026Q4; without it, the present one", pattern=_QUARTER)
    ] = None,
    asked: _Asked = _FOR_STANDING,
) -> models.Standing:
    """Your standing in a quarter."""
    programme, now = asked.portal.programme, asked.portal.clock.now()
    present = Quarter.of(now.astimezone(programme.zone).date())
    wanted = Quarter.parse(quarter) if quarter is not None else present
    with asked.rows() as rows:
        tally = rows.tally(wanted)
    if tally is None and quarter is not None:
        raise Fault(404, "nothing-there", "you have nothing in this quarter")
    return models.Standing(**standing_of(tally, programme, asked.partner_id, wanted, now))


@_router.get("/sales")
def sales(
    after: Annotated[str, Query(description="The cursor of an earlier answer", pattern=_CURSOR)] = "",
    limit: Annotated[int, Query(ge=1, le=_PAGE_MAX)] = 100,
    asked: _Asked = _FOR_SALES,
) -> models.Sales:
    """Your sales in the order in which they changed last: go on with the cursor, and you miss no change."""
    offset = int(after or SETTLED - 1)
    with asked.rows() as rows:
        found = rows.sales_changed(offset, limit + 1)
    shown = found[:limit]
    return models.Sales(
        sales=[_sale(row) for row in shown],
        cursor=str(shown[-1].source_offset if shown else offset),
        more=len(found) > limit,
    )


@_router.get("/sale")
def sale(
    sale_id: Annotated[str, Query(min_length=1, max_length=SALE_ID_LENGTH_MAX)], asked: _Asked = _FOR_SALES
) -> models.Sale:
    """One of your sales."""
    with asked.rows() as rows:
        row = rows.sale(sale_id.replace("\0", ""))
    if row is None:
        raise Fault(404, "nothing-there", "you have no such sale")
    return _sale(row)


@_router.get("/payouts")
def payouts(asked: _Asked = _FOR_PAYOUTS) -> models.Payouts:
    """Where the money of each of your closes is."""
    with asked.rows() as rows:
        found = rows.payouts()
    return models.Payouts(payouts=[models.Payout.model_validate(row._mapping) for row in found])


def _sale(row: Any) -> models.Sale:
    serials = [serial for serial in row.serial_numbers.split("\n") if serial]
    facts = dict(row._mapping) | {"serial_numbers": serials, "conflicting_reports": row.conflicts}
    return models.Sale.model_validate(facts)


async def _tell_fault(_: Request, fault: Any) -> Response:
    return JSONResponse({"error": fault.code, "message": fault.message}, fault.status, fault.headers)


async def _tell_unreadable(_: Request, error: Any) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": "unreadable", "message": f"{where}: {first['msg']}"}, 422)


async def _tell_missing(_: Request, error: Any) -> Response:
    code = "no-such-address" if error.status_code == 404 else "not-so"
    return JSONResponse({"error": code, "message": str(error.detail)}, error.status_code, error.headers)
