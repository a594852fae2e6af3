"""``partners import`` and ``sales import``, and how every import tells what becomes of its rows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from deploy.cli import output
from deploy.cli.options import takes_settings
from deploy.cli.output import ending
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded

if TYPE_CHECKING:
    from services.intake.importing import Request, Summary
    from services.kit.csvfile import Refusal

REFUSALS_SHOWN = 200
IMPORT_EXITS = (Exit.REFUSED, Exit.NOT_READY)

File = Annotated[str, typer.Argument(metavar="FILE", help="CSV in UTF-8, with , or ; between cells; - is stdin.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what the real run would do, and do nothing.")]
RejectsFile = Annotated[
    Optional[Path],  # noqa: UP045  # typer reads it
    typer.Option(
        "--rejects",
        metavar="FILE",
        help="Write the refused rows here, each with code, message and hint; mend it and import it.",
    ),
]
SummaryJson = Annotated[bool, typer.Option("--json", help="Print the summary as a JSON object, as the last line.")]

app = typer.Typer(rich_markup_mode=None)
partners = typer.Typer(rich_markup_mode=None, help="Import the partner registry; let partners in.")
sales = typer.Typer(rich_markup_mode=None, help="Import reports of sales and returns.")
app.add_typer(partners, name="partners")
app.add_typer(sales, name="sales")


@partners.command("import", epilog=ending("./staffel partners import partners.csv", exits=IMPORT_EXITS))
@takes_settings("data", "port_base")
def import_partners(
    loaded: Loaded, file: File, dry_run: DryRun = False, rejects: RejectsFile = None, as_json: SummaryJson = False
) -> None:
    """Register partners, or change what is known of them.

    Columns: partner_id,name,email,language,country,registered_on and, optional, left_on (empty: he has not left).
    Only what is new or has changed is sent. Partners that the file does not name stay as they are.
    """
    from services.intake import partners as intake

    settings = loaded.settings
    run_import(file, dry_run, rejects, as_json, lambda r: intake.import_partners(settings, open_clock(settings), r))


@sales.command(
    "import",
    epilog=ending(
        "./staffel sales import report.csv --rejects refused.csv",
        "./staffel sales import report.csv --dry-run",
        "zcat report.csv.gz | ./staffel sales import -",
        exits=IMPORT_EXITS,
    ),
)
@takes_settings("data", "port_base")
def import_sales(
    loaded: Loaded, file: File, dry_run: DryRun = False, rejects: RejectsFile = None, as_json: SummaryJson = False
) -> None:
    """Report sales and returns. The same file again changes nothing.

    Columns: event,id,sale_id,partner_id,product_id,quantity,sold_on,serial_numbers. event is sale or return. A sale's
    id is its sale_id; a return has an id of its own, and sold_on is the day it came back. Serial numbers are separated
    by |. Whether a sale counts is the stream's verdict: ask for it with ./staffel standing, or look in the portal.
    """
    from services.intake import sales as intake

    settings = loaded.settings
    run_import(file, dry_run, rejects, as_json, lambda r: intake.import_sales(settings, open_clock(settings), r))


def run_import(
    file: str, dry_run: bool, rejects: Path | None, as_json: bool, work: Callable[[Request], Summary]
) -> None:
    """Import a file and tell how it went. Ends with REFUSED if rows were refused."""
    from services.intake.importing import Request

    try:
        with _display(rejects) as (tell_refusal, tell_rows):
            summary = work(Request(file, dry_run, rejects, tell_refusal, tell_rows))
    except KeyboardInterrupt:
        output.note("stopped halfway: run the same again, what has arrived already changes nothing")
        raise
    if as_json:
        output.print_json({**summary.as_dict(), "rejects": str(rejects) if rejects else None})
    else:
        print(_sentence(summary))
        if summary.refused and rejects is not None:
            print(f"the refused rows are in {rejects}: mend them and import that file")
    if summary.refused:
        raise typer.Exit(Exit.REFUSED)


def _sentence(summary: Summary) -> str:
    found = ", ".join(f"{number:,} {outcome}" for outcome, number in summary.outcomes.items() if number)
    reasons = ", ".join(f"{code} {number:,}" for code, number in sorted(summary.reasons.items()))
    refused = f"{summary.refused:,} refused" + (f" ({reasons})" if reasons else "")
    start = "dry run, nothing was changed; the real run would give: " if summary.dry_run else ""
    return f"{start}{summary.rows:,} rows: {f'{found}; ' if found else ''}{refused}"


@contextmanager
def _display(rejects: Path | None) -> Iterator[tuple[Callable[[Refusal], None], Callable[[int], None]]]:
    """Refused rows on stderr as they are met, the first few hundred; on a terminal also how far the import is."""
    begun, told = time.monotonic(), 0
    status: Any = None
    if sys.stderr.isatty():
        from rich.console import Console

        status = Console(stderr=True, highlight=False).status("reading …")

    def tell_refusal(refusal: Refusal) -> None:
        nonlocal told
        told += 1
        if told <= REFUSALS_SHOWN:
            hint = f" ({refusal.hint})" if refusal.hint else ""
            print(f"line {refusal.line}: {refusal.code}: {refusal.message}{hint}", file=sys.stderr)

    def tell_rows(rows: int) -> None:
        if status is not None:
            status.update(f"{rows:,} rows, {rows / max(time.monotonic() - begun, 0.001):,.0f}/s")

    if status is None:
        yield tell_refusal, tell_rows
    else:
        with status:
            yield tell_refusal, tell_rows
    if told > REFUSALS_SHOWN:
        output.note(f"… and {told - REFUSALS_SHOWN:,} more refused rows")
    if told and rejects is None:
        output.note("--rejects FILE keeps the refused rows, to be mended and imported again")
