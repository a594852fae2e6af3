"""Payment runs, for the vendor's staff: prepared by one, approved by another, released, or given up.

The rules about who may are payout's; the portal says who has signed in.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from services.kit.office.client import Refused
from services.kit.office.protocol import Refusal
from services.portal.access import Asked, Needs, Row
from services.portal.exports import csv_response, xlsx_response
from services.portal.offices import RunFile, RunPage, Runs, acting
from services.portal.routes.counter import calmly, done, keep, said, shown
from services.portal.views import NotHere

T = TypeVar("T")
_SHOWN_MAX = 200
"""Payments on a run's page; a file has all."""


async def show_runs(asked: Asked) -> Response:
    """Every run."""
    return await shown(asked, _runs_page)


async def show_run(asked: Asked) -> Response:
    """One of them."""
    return await shown(asked, _run_page)


async def prepare(asked: Asked) -> Response:
    """Prepare runs of all that is payable now."""

    def do() -> None:
        made = _ask(asked, "runs.prepare", list[dict[str, Any]], patiently=True)
        if not made:
            raise Refused(Refusal("nothing-payable", "nothing is payable that is not in a run already"))

    return await done(asked, do, _runs_page, "/payments", "runs-prepared", "")


async def approve(asked: Asked) -> Response:
    """Approve a run's file."""
    return await _act(asked, "runs.approve", "run-approved")


async def release(asked: Asked) -> Response:
    """Release an approved run: it is paid."""
    return await _act(asked, "runs.release", "run-released")


async def give_up(asked: Asked) -> Response:
    """Give up a run that is not released."""
    return await _act(asked, "runs.void", "run-given-up", reason=asked.form.get("reason", ""))


async def give_file(asked: Asked) -> Response:
    """A run's file, to be put into the bank's portal by hand. It holds accounts, so it is noted who took it."""
    run = asked.request.path_params["run"]

    def take() -> Response:
        try:
            file = _ask(asked, "runs.file", RunFile, patiently=True, run=run)
        except Refused:
            raise NotHere from None
        keep(asked, "run-file-taken", run)
        name = {"Content-Disposition": f'attachment; filename="{file.name}"', "Cache-Control": "no-store"}
        return Response(file.content, headers=name, media_type="application/octet-stream")

    return await run_in_threadpool(take)


async def export_runs(asked: Asked) -> Response:
    """All runs as a list."""

    def make() -> Response:
        header = ("Run", "Kind", "State", "Paid on", "Payments", "Amount", "Currency", "Prepared by", "Prepared")
        rows = [
            (
                *(run.run, run.kind, run.state, run.execution_date, run.payments),
                *(_decimal(run.total_minor), run.currency, run.prepared_by, run.prepared_at),
            )
            for run in _ask(asked, "runs.list", Runs).runs
        ]
        return _list(asked, "payment-runs", header, rows)

    return await run_in_threadpool(make)


async def export_run(asked: Asked) -> Response:
    """A run's payments as a list; accounts masked."""

    def make() -> Response:
        found = _found(asked)
        header = ("Partner", "Account", "Amount", "Currency", "State", "Reason", "End-to-end id")
        rows = [
            (
                *(made.partner_id, made.account, _decimal(made.amount_minor), made.currency),
                *(made.state, made.reason, made.end_to_end_id),
            )
            for made in found.payments_made
        ]
        return _list(asked, found.run, header, rows)

    return await run_in_threadpool(make)


async def _act(asked: Asked, operation: str, what: str, **arguments: str) -> Response:
    run = asked.request.path_params["run"]
    do = partial(_ask, asked, operation, object, patiently=True, run=run, **arguments)
    return await done(asked, do, _run_page, f"/payments/{run}", what, run)


def _runs_page(asked: Asked, refused: Refused | None) -> str:
    found = _ask(asked, "runs.list", Runs)
    return asked.page("office/payments.html", asked.voice(), page=found, refused=refused, done=said(asked))


def _run_page(asked: Asked, refused: Refused | None) -> str:
    found = _found(asked)
    return asked.page(
        "office/payment.html", asked.voice(), run=found, shown_max=_SHOWN_MAX, refused=refused, done=said(asked)
    )


def _found(asked: Asked) -> RunPage:
    try:
        return _ask(asked, "runs.show", RunPage, patiently=True, run=asked.request.path_params["run"])
    except Refused:
        raise NotHere from None


def _ask(asked: Asked, operation: str, kind: type[T], *, patiently: bool = False, **arguments: Any) -> T:
    return asked.portal.offices.payout.ask(acting(asked.visitor), operation, kind, patiently=patiently, **arguments)


def _list(asked: Asked, name: str, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Response:
    form = asked.request.path_params["form"]
    if form == "csv":
        return csv_response(name, header, rows)
    if form == "xlsx":
        return xlsx_response(name, header, rows)
    raise NotHere


def _decimal(minor: int) -> Decimal:
    return Decimal(minor).scaleb(-2)


ROWS = calmly(
    (
        Row("/payments", show_runs, Needs.VIEWER, "payments"),
        Row("/payments/list.{form}", export_runs, Needs.VIEWER, "payments"),
        Row("/payments/prepare", prepare, Needs.OPERATOR, "payments", "POST"),
        Row("/payments/{run}", show_run, Needs.VIEWER, "payment"),
        Row("/payments/{run}/list.{form}", export_run, Needs.VIEWER, "payment"),
        Row("/payments/{run}/approve", approve, Needs.APPROVER, "payment", "POST"),
        Row("/payments/{run}/release", release, Needs.APPROVER, "payment", "POST"),
        Row("/payments/{run}/give-up", give_up, Needs.OPERATOR, "payment", "POST"),
        Row("/payments/{run}/file", give_file, Needs.APPROVER, "payment", "POST"),
    )
)
