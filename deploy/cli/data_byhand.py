"""``sell`` and ``take-back``: one event by hand, and what became of it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit, StaffelError
from deploy.runtime.settings import Loaded

if TYPE_CHECKING:
    from schemas.events import Tally
    from services.intake.byhand import Verdict
    from services.intake.rows import Report

app = typer.Typer(rich_markup_mode=None)

Partner = Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's id.")]
OnDay = Annotated[Optional[str], typer.Option("--on", metavar="DATE", help="The day [default: today].")]  # noqa: UP045
Serials = Annotated[Optional[list[str]], typer.Option("--serial", metavar="S", help="A serial number; repeatable.")]  # noqa: UP045
Wait = Annotated[float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for the verdict.", min=0)]


@app.command("sell", epilog=ending("./staffel sell P-1001 TS-100 --qty 3", exits=(Exit.NOT_READY,)))
@takes_settings("data", "port_base")
def sell(
    loaded: Loaded,
    partner: Partner,
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="The product's id.")],
    qty: Annotated[int, typer.Option("--qty", metavar="N", help="Units sold.")] = 1,
    on: OnDay = None,
    serial: Serials = None,
    sale_id: Annotated[Optional[str], typer.Option("--sale-id", help="Its id [default: a new one].")] = None,  # noqa: UP045
    wait: Wait = 30,
    as_json: JsonFlag = False,
) -> None:
    """Report one sale, wait for the stream's verdict and show it with the tally that follows."""
    own_id = sale_id or f"HAND-{secrets.token_hex(5)}"
    cells = {"event": "sale", "id": own_id, "sale_id": own_id, "partner_id": partner, "product_id": product}
    _report(loaded, cells, qty, on, serial, wait, as_json)


@app.command("take-back", epilog=ending("./staffel take-back P-1001 S-4711 --qty 1", exits=(Exit.NOT_READY,)))
@takes_settings("data", "port_base")
def take_back(
    loaded: Loaded,
    partner: Partner,
    sale: Annotated[str, typer.Argument(metavar="SALE", help="The id of the sale that it belongs to.")],
    qty: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--qty", metavar="N", help="Units that came back [default: all that are left]."),
    ] = None,
    on: OnDay = None,
    serial: Serials = None,
    return_id: Annotated[Optional[str], typer.Option("--return-id", help="Its id [default: a new one].")] = None,  # noqa: UP045
    wait: Wait = 30,
    as_json: JsonFlag = False,
) -> None:
    """Report that units of a sale came back. They leave the quarter of the sale."""
    from services.intake.byhand import line_of, units_left

    line = line_of(loaded.settings, partner, sale)
    if line is None:
        raise StaffelError(
            f"no sale {sale!r} of partner {partner!r} is known",
            "a return may come before its sale, but then by ./staffel sales import, which tells its product",
        )
    left = units_left(line)
    if qty is None and left == 0:
        raise StaffelError(f"all units of sale {sale!r} have come back already")
    cells = {
        "event": "return",
        "id": return_id or f"HAND-{secrets.token_hex(5)}",
        "sale_id": sale,
        "partner_id": partner,
        "product_id": line.product_id,
    }
    _report(loaded, cells, left if qty is None else qty, on, serial, wait, as_json)


def _report(
    loaded: Loaded,
    cells: dict[str, str],
    quantity: int,
    on: str | None,
    serials: list[str] | None,
    wait: float,
    as_json: bool,
) -> None:
    from deploy.cli.programme import today
    from deploy.runtime.programme import read_programme
    from services.intake.byhand import report_from, send_and_see
    from streams.rules.terms import parse

    settings = loaded.settings
    clock = open_clock(settings)
    day = on or today(read_programme(settings, parse), clock).isoformat()
    cells |= {"quantity": str(quantity), "sold_on": day, "serial_numbers": "|".join(serials or [])}
    report = report_from(cells, clock)
    verdict = send_and_see(settings, clock, report, wait)
    if as_json:
        output.print_json(_as_dict(report, verdict))
    else:
        print(_sentences(report, verdict))


def _outcome(report: Report, verdict: Verdict) -> tuple[str, str | None]:
    """What became of this very report, and why."""
    from schemas.events import SaleReported, content_hash

    line = verdict.line
    if isinstance(report, SaleReported):
        if line.content_hash != content_hash(report):
            return "conflicting-resend", "an earlier report of this sale says something else and stands"
        return line.status.value, line.reason
    own = next((back for back in line.returns if back.return_id == report.return_id), None)
    if own is None or own.content_hash != content_hash(report):
        return "conflicting-resend", "an earlier report of this return says something else and stands"
    if line.status.value in ("pending", "rejected"):
        return line.status.value, line.reason
    return "returned", own.reason


def _as_dict(report: Report, verdict: Verdict) -> dict[str, Any]:
    status, reason = _outcome(report, verdict)
    line, tally = verdict
    return {
        "partner_id": line.partner_id,
        "sale_id": line.sale_id,
        "return_id": getattr(report, "return_id", None),
        "status": status,
        "reason": reason,
        "quarter": line.quarter or None,
        "units": line.units,
        "tally": _tally(tally) if tally else None,
    }


def _tally(tally: Tally) -> dict[str, Any]:
    names = ("quarter", "units", "tier", "rate_minor", "rebate_minor", "currency", "revision", "payable_minor")
    return {name: getattr(tally, name) for name in names} | {"phase": tally.phase.value}


def _sentences(report: Report, verdict: Verdict) -> str:
    from deploy.cli.programme import money

    status, reason = _outcome(report, verdict)
    line, tally = verdict
    what = f"{report.quantity} × {report.product_id} of sale {line.sale_id}"
    why = f" ({reason})" if reason else ""
    lines = [f"{output.paint(status, 'yellow' if reason else 'green')}: {what}{why}"]
    if tally is not None:
        lines.append(
            f"{tally.quarter} of {tally.partner_id}: {tally.units} units, tier {tally.tier}, "
            f"{money(tally.rate_minor, tally.currency)} a unit, rebate {money(tally.rebate_minor, tally.currency)}"
        )
    return "\n".join(lines)
