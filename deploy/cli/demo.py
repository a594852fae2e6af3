"""``./staffel demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from deploy.cli.options import takes_settings
from deploy.cli.output import ending
from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog=ending(
        "./staffel demo",
        "./staffel demo --seconds 45 --exit",
        "./staffel demo --seed 7 --partners 1000 --data /tmp/quarter --port-base 9000",
        exits=(Exit.NOT_READY, Exit.DIFFERS),
    )
)
@takes_settings("port_base")
def demo(
    loaded: Loaded,
    data: Annotated[
        Optional[Path],  # noqa: UP045  # typer reads it
        typer.Option(help="Keep everything in this new folder (without it: a temporary one, removed at the end)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Which quarter to make up; the same seed gives the same quarter.")] = 1,
    partners: Annotated[int, typer.Option(min=60, max=5000, help="How many partners take part.")] = 200,
    seconds: Annotated[float, typer.Option(min=20, max=3600, help="How long the quarter and what follows takes.")] = 90,
    leave: Annotated[bool, typer.Option("--exit", help="End after the check instead of staying up.")] = False,
) -> None:
    """Run a whole quarter through the real thing, and check the result.

    Starts the stack on this machine, makes up a few hundred partners and their sales with everything that goes wrong
    in life, and sends them while a test clock runs through the quarter, its closes, the payments and a late return. A
    made-up bank answers the payment files; one payment comes back. Then an independent recount is held against every
    partner's page, every close, the payment files and what the bank paid. The stack stays up to look around in until
    Ctrl-C.
    """
    from deploy.demo.play import Wishes, play

    found = play(loaded, Wishes(data, seed, partners, seconds, leave))
    raise typer.Exit(found)
