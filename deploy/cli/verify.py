"""``verify``: is what was published what was reported?"""

from __future__ import annotations

import sys
import time

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded

app = typer.Typer(rich_markup_mode=None)
_SHOWN_AT_MOST = 20


@app.command(epilog=ending("./staffel verify", "./staffel verify --json", exits=(Exit.NOT_READY, Exit.DIFFERS)))
@takes_settings("data", "port_base", "programme", "kafka")
def verify(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Count every report of a sale again, by other means than the stream, and compare with what it published.

    Reads the topics only; changes nothing; the stream may go on meanwhile. Partners whose sales it is just applying are
    left out and counted as moving: look again for them.
    """
    from deploy.audit.verify import look

    def progress(records: int) -> None:
        if sys.stderr.isatty():
            output.note(f"  {records:,} records read")

    started = time.monotonic()
    found = look(loaded.settings, progress)
    if as_json:
        output.print_json({**found._asdict(), "differences": list(found.differences)})
    else:
        seconds = time.monotonic() - started
        print(f"{found.reports:,} reports recounted, {found.compared:,} standings compared, in {seconds:.1f} s")
        for number, what in ((found.moving, "just moving"), (found.forgotten, "unknown to the registry by now")):
            if number:
                print(f"{number:,} partners left out: {what}")
        print("\n".join(found.differences[:_SHOWN_AT_MOST]) or output.paint("no differences", "green"))
        if len(found.differences) > _SHOWN_AT_MOST:
            print(f"… and {len(found.differences) - _SHOWN_AT_MOST:,} more; --json shows all")
    if found.differences:
        raise typer.Exit(Exit.DIFFERS)
