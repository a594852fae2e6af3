"""``explain``: why a partner's quarter came to its number, every cent down to the sales."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit, StaffelError, UsageError
from deploy.runtime.settings import Loaded

if TYPE_CHECKING:
    from services.payout.explanation import Account
    from streams.rules.explain import Explanation
    from streams.rules.terms import Programme

app = typer.Typer(rich_markup_mode=None)


@app.command(
    "explain",
    epilog=ending(
        "./staffel explain P-1001 2026Q4",
        "./staffel explain P-1001 2026Q4 --lines",
        "./staffel explain P-1001 --json | jq .rejected",
        exits=(Exit.NOT_READY,),
    ),
)
@takes_settings("data", "port_base", "programme")
def explain(
    loaded: Loaded,
    partner: Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's id.")],
    quarter: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="QUARTER", help="Like 2026Q4 [default: the current one].", show_default=False),
    ] = None,
    with_lines: Annotated[bool, typer.Option("--lines", help="List every sale with its verdict as well.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show why a partner's quarter came to its number.

    From what was reported, by what was rejected, waits or came back, to the units counted in each month; from these to
    the tier and the rebate; from the rebate to each close, what it made payable, and where that money is. Each figure
    is the sum of those above it. All of it comes from payout's own record of the sales, from which it also pays.
    """
    from deploy.cli.programme import today
    from deploy.runtime.programme import read_programme
    from schemas.values import Quarter
    from services.payout.database import looking
    from services.payout.explanation import account_for
    from streams.rules.terms import parse

    settings = loaded.settings
    programme = read_programme(settings, parse)
    try:
        wanted = Quarter.parse(quarter) if quarter else Quarter.of(today(programme, open_clock(settings)))
    except ValueError as error:
        raise UsageError(str(error)) from None
    with looking(settings) as connection:
        found = account_for(connection, programme, partner, wanted)
    if found is None:
        raise StaffelError(
            f"payout knows of no sale and no close of partner {partner!r} in {wanted}",
            "see ./staffel standing for the quarters that there are; a quarter is written like 2026Q4",
            code="nothing-known",
        )
    if as_json:
        whole = {"partner_id": partner, "quarter": str(wanted), **found.as_dict()}
        output.print_json(whole | ({"lines": _line_objects(found)} if with_lines else {}))
        return
    print(output.paint(f"{partner} in {wanted}: {programme.name}, terms {found.explanation.terms_version}", "bold"))
    print("\n".join(_sections(found, programme)))
    if with_lines:
        print("\n".join(_lines(found, programme)))


def _sections(found: Account, programme: Programme) -> Iterator[str]:
    explanation = found.explanation
    yield from _reported(explanation)
    yield from _counted(explanation, programme)
    yield from _rebate(explanation)
    yield from _closes(found)
    yield from _payments(found)


def _reported(explanation: Explanation) -> Iterator[str]:
    reported, back, counted = explanation.reported, explanation.came_back, explanation.counted
    rows = [("", _n(reported.sales), _n(reported.units), "reported")]
    rows += [("-", _n(part.sales), _n(part.units), f"rejected: {part.reason}") for part in explanation.rejected]
    rows += [("-", _n(part.sales), _n(part.units), f"waiting: {part.reason}") for part in explanation.pending]
    if back.sales:
        rows.append(("-", f"({back.sales:,})", _n(back.units), "came back"))
    rows.append(("=", _n(counted.sales), _n(counted.units), "counted"))
    yield from _titled("Sales", output.table(("", "SALES", "UNITS", ""), rows, ("SALES", "UNITS")))
    if back.sales:
        yield "  (in brackets: sales with a return; the rest of them counts, and a sale that came back whole does not)"
    if explanation.conflicts:
        yield f"  {explanation.conflicts:,} reported again with other content: the earliest report stands"


def _counted(explanation: Explanation, programme: Programme) -> Iterator[str]:
    from deploy.cli.programme import money

    if not explanation.cells:
        return
    rows = []
    for cell in explanation.cells:
        product = programme.product(cell.product_id)
        name = f"{cell.product_id}  {product.name}" if product else cell.product_id
        rebate = money(cell.rebate_minor, explanation.currency)
        rows.append((f"{cell.month:%Y-%m}", name, _n(cell.sales), _n(cell.units), rebate))
    total = money(explanation.rebate_minor, explanation.currency)
    rows.append(("", "all", _n(explanation.counted.sales), _n(explanation.counted.units), total))
    headers = ("MONTH", "PRODUCT", "SALES", "UNITS", "REBATE")
    yield from _titled("Counted", output.table(headers, rows, ("SALES", "UNITS", "REBATE")))


def _rebate(explanation: Explanation) -> Iterator[str]:
    from deploy.cli.programme import money

    currency, tier, above = explanation.currency, explanation.tier, explanation.next_tier
    units, rate = explanation.counted.units, money(tier.rate_minor, currency)
    yield from _titled("Rebate", f"{units:,} units reach the tier from {tier.units:,} units: {rate} for each of them")
    yield f"  {units:,} × {rate} = {output.paint(money(explanation.rebate_minor, currency), 'green')}"
    if above:
        there, gain = money(above.rate_minor, currency), money(above.gain_minor, currency)
        yield (
            f"  {above.units_missing:,} more for the tier from {above.threshold:,} units: "
            f"{there} for each of them, {gain} more in all"
        )
    else:
        yield "  this is the top tier"


def _closes(found: Account) -> Iterator[str]:
    from deploy.cli.programme import money

    explanation, rows = found.explanation, []
    currency = explanation.currency
    for close, row in zip(explanation.revisions, found.obligations, strict=True):
        rows.append(
            (
                f"{close.revision} {close.kind}",
                f"{close.closed_at:%Y-%m-%d}",
                f"{close.units:,} ({close.units_change:+,})",
                money(close.rate_minor, currency),
                money(close.rebate_minor, currency),
                money(close.payable_minor, currency),
                (row.inputs_hash or "not frozen yet")[:14],
                _state(row),
            )
        )
    if not rows:
        yield from _titled("Closes", "none has made anything payable yet")
        return
    headers = ("REVISION", "CLOSED", "UNITS", "RATE", "REBATE", "PAYABLE", "INPUTS", "STATE")
    yield from _titled("Closes", output.table(headers, rows, ("UNITS", "RATE", "REBATE", "PAYABLE")))
    yield f"  made payable in all: {money(explanation.payable_minor, currency)}"
    if explanation.unsettled_minor:
        yield output.paint(
            f"  the present lines come to {money(explanation.unsettled_minor, currency)} more than that"
            if explanation.unsettled_minor > 0
            else f"  the present lines come to {money(-explanation.unsettled_minor, currency)} less than that",
            "yellow",
        )
    if found.lines_differ:
        yield output.paint("  the present lines are not those that the latest amount was counted from", "yellow")


def _payments(found: Account) -> Iterator[str]:
    from deploy.cli.programme import money

    if not found.payments:
        return
    rows = [
        (
            row.end_to_end_id,
            row.msg_id,
            str(row.revision),
            f"{row.execution_date}",
            money(row.amount_minor, row.currency),
            row.state
            + (f" ({row.reason})" if row.reason else "")
            + (f" on {row.settled_on}" if row.settled_on else ""),
        )
        for row in found.payments
    ]
    headers = ("PAYMENT", "RUN", "REVISION", "EXECUTION", "AMOUNT", "STATE")
    yield from _titled("Payments", output.table(headers, rows, ("REVISION", "AMOUNT")))


def _lines(found: Account, programme: Programme) -> Iterator[str]:
    rows = []
    for line in sorted(found.lines, key=lambda line: (str(line.sold_on), line.sale_id)):
        back = ", ".join(
            f"{back.quantity:,} back on {back.returned_on}" + (f" ({back.reason})" if back.reason else "")
            for back in line.returns
        )
        verdict = str(line.status) + (f": {line.reason}" if line.reason else "")
        note = "; ".join(part for part in (verdict, back, "reported differently again" * bool(line.conflicts)) if part)
        rows.append((line.sale_id, str(line.sold_on or "?"), line.product_id, _n(line.quantity), _n(line.units), note))
    headers = ("SALE", "SOLD ON", "PRODUCT", "REPORTED", "COUNTED", "VERDICT")
    yield from _titled("Lines", output.table(headers, rows, ("REPORTED", "COUNTED")))


def _line_objects(found: Account) -> Any:
    import msgspec

    return msgspec.to_builtins(list(found.lines))


def _titled(title: str, text: str) -> Iterator[str]:
    yield ""
    yield output.paint(title, "bold")
    yield from (f"  {line}".rstrip() for line in text.splitlines())


def _state(row: Any) -> str:
    return str(row.state).replace("_", " ") + (f" ({row.reason})" if row.reason else "")


def _n(number: int) -> str:
    return f"{number:,}"
