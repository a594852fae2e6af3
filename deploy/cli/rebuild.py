"""``rebuild``: is the stream's state what was reported, and if not, put it right."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.errors import Exit, UsageError
from deploy.runtime.settings import Loaded

if TYPE_CHECKING:
    from deploy.rebuild.rebuild import Found

app = typer.Typer(rich_markup_mode=None)
_SHOWN_AT_MOST = 20


@app.command(
    epilog=ending(
        "./staffel rebuild", "./staffel rebuild --swap", exits=(Exit.NOT_READY, Exit.DIFFERS), title="Examples"
    )
)
@takes_settings("data", "port_base", "programme", "kafka")
def rebuild(
    loaded: Loaded,
    swap: Annotated[bool, typer.Option("--swap", help="Put right what differs. All workers must be stopped.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write every difference into this file.", show_default=False),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make the stream's state anew from all that was reported and compare it, partition by partition.

    Without --swap nothing is written, and the stream may go on meanwhile; what it is just at work on is left out. With
    --swap lines and tallies that differ are written anew, a partner in one transaction; tiers and closes that were
    told otherwise are told as further tier changes and adjustments. Broken off anywhere, it may be run again.
    """
    from deploy.rebuild.rebuild import Rebuild

    def progress(partition: int, records: int) -> None:
        if sys.stderr.isatty():
            output.note(f"  partition {partition}: {records:,} records read")

    started = time.monotonic()
    work = Rebuild(loaded.settings, progress)
    found = []
    for part in work.swap() if swap else work.look():
        found.append(part)
        if not as_json:
            print(_line(part, swap), flush=True)
    differences = [str(difference) for part in found for difference in part.differences]
    if out is not None:
        _keep(out, differences)
    names = ("reports", "compared", "moving", "written")
    sums = {name: sum(getattr(part, name) for part in found) for name in names}
    if as_json:
        output.print_json({**sums, "differences": differences})
    else:
        if sums["moving"]:
            print(f"{sums['moving']:,} partners left out: just moving")
        print("\n".join(differences[:_SHOWN_AT_MOST]) or output.paint("no differences", "green"))
        if len(differences) > _SHOWN_AT_MOST:
            print(f"… and {len(differences) - _SHOWN_AT_MOST:,} more; --out FILE keeps all")
        print(f"in {time.monotonic() - started:.1f} s")
    if differences and not swap:
        raise typer.Exit(Exit.DIFFERS)


def _line(part: Found, swap: bool) -> str:
    text = f"partition {part.partition}: {part.reports:,} reports, {part.compared:,} records compared, "
    text += f"{len(part.differences):,} differences" if part.differences else "no differences"
    return text + (f", {part.written:,} records written" if swap else "")


def _keep(path: Path, differences: list[str]) -> None:
    try:
        path.write_text("".join(f"{difference}\n" for difference in differences), "utf-8")
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}") from None
