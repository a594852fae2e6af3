"""``standing``: what a partner has sold and earned in a quarter, from the portal's read model."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit, StaffelError, UsageError
from deploy.runtime.settings import Loaded

app = typer.Typer(rich_markup_mode=None)


@app.command(
    "standing",
    epilog=ending(
        "./staffel standing P-1001",
        "./staffel standing P-1001 --quarter 2026Q4 --json --wait 30",
        exits=(Exit.NOT_READY,),
    ),
)
@takes_settings("data", "port_base", "programme")
def standing(
    loaded: Loaded,
    partner: Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's id.")],
    quarter: Annotated[Optional[str], typer.Option("--quarter", help="Like 2026Q4 [default: the current one].")] = None,  # noqa: UP045
    wait: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            "--wait", metavar="SECONDS", min=0, help="Wait so long until all that was reported so far is applied."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what a partner has sold and earned in a quarter, and what the next tier would bring."""
    from deploy.cli.programme import today
    from deploy.runtime.programme import read_programme
    from schemas.values import Quarter
    from services.intake.applied import read_model, wait_for_all
    from services.portal import queries
    from streams.rules.terms import parse

    settings = loaded.settings
    programme, clock = read_programme(settings, parse), open_clock(settings)
    try:
        wanted = Quarter.parse(quarter) if quarter else Quarter.of(today(programme, clock))
    except ValueError as error:
        raise UsageError(str(error)) from None
    if wait is not None:
        wait_for_all(settings, wait)
    with read_model(settings) as engine:
        found = queries.standing(engine, programme, partner, wanted, clock.now())
    if found is None:
        raise StaffelError(
            f"no partner {partner!r} is known",
            "register him: ./staffel partners import FILE; what was just imported shows with --wait 30",
            code="unknown-partner",
        )
    if as_json:
        output.print_json(found)
    else:
        print(_sentences(found))


def _sentences(found: dict[str, Any]) -> str:
    from deploy.cli.programme import money

    currency, above, sales = found["currency"], found["next_tier"], found["sales"]
    lines = [
        output.paint(f"{found['partner_id']} in {found['quarter']} ({found['phase']})", "bold"),
        f"  units    {found['units']:,}",
        f"  tier     {found['tier']}, {money(found['rate_minor'], currency)} a unit",
        f"  rebate   {money(found['rebate_minor'], currency)}",
        f"  next     {above['units_missing']:,} more units reach tier {above['threshold']} and bring "
        f"{money(above['gain_minor'], currency)} more"
        if above
        else "  next     this is the top tier",
        f"  payable  {money(found['payable_minor'], currency)}",
        "  sales    " + ", ".join(f"{number:,} {status}" for status, number in sales.items()),
    ]
    return "\n".join(lines)
