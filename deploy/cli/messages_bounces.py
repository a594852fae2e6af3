"""``messages bounces import``: reports of undeliverable mail, as they lie in the mailbox that mail returns to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.cli import output
from deploy.cli.options import takes_settings
from deploy.cli.output import ending
from deploy.runtime.errors import Exit, UsageError
from deploy.runtime.settings import Loaded

app = typer.Typer(rich_markup_mode=None)
bounces = typer.Typer(rich_markup_mode=None, help="Mail that came back.", no_args_is_help=True)
app.add_typer(bounces, name="bounces")
_SENTENCES = {
    "bad-address": "partners whose address takes no mail: what is for them waits for another one",
    "old-address": "to an address that the partner no longer has",
    "soft": "came back for the time being",
    "soft-again": "came back for the time being, as the two before: worth a look",
    "repeated": "read before",
    "unmatched": "about no mail of ours",
    "no-report": "no report of undeliverable mail",
}


@bounces.command(
    "import",
    epilog=ending(
        "./staffel messages bounces import /var/mail/bounces/new",
        "./staffel messages bounces import report.eml --dry-run",
        exits=(Exit.REFUSED, Exit.NOT_READY),
    ),
)
@takes_settings("data", "bounce_address")
def import_bounces(
    loaded: Loaded,
    path: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="A mail, or a folder of mails (a Maildir, too).")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the real run would do, and do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as a JSON object.")] = False,
) -> None:
    """Read reports of undeliverable mail. Safe to repeat: each counts once; the files stay.

    An address that takes no mail for good is not written to any more: messages to it wait until the registry names
    another one, or ./staffel messages resend says that it is good. What is no report is passed over (exit code 3).
    """
    from services.notification import overview
    from services.notification.addresses import Addresses
    from services.notification.bounces import Bounces

    files = list(_files(path))
    with overview.database(loaded.settings) as engine:
        taker = Bounces(engine, Addresses(loaded.settings))
        found = [(file, *_take(taker, file, dry_run)) for file in files]
    counts = Counter(result for _, result, _ in found)
    if as_json:
        output.print_json({"read": len(found), **{name: counts[name] for name in _SENTENCES}, "dry_run": dry_run})
    else:
        print(f"{len(found)} mail{'' if len(found) == 1 else 's'} read" + (" (nothing was changed)" if dry_run else ""))
        for name, sentence in _SENTENCES.items():
            if counts[name]:
                print(f"{counts[name]:>6}  {sentence}")
        for file, result, why in found:
            if result in ("no-report", "unmatched", "soft-again", "bad-address") and why:
                output.note(f"{file.name}: {why}")
    if counts["no-report"] or counts["unmatched"]:
        raise typer.Exit(Exit.REFUSED)


def _take(taker: Any, file: Path, dry_run: bool) -> tuple[str, str]:
    """What became of a file, and a word on it."""
    from services.notification.dsn import BYTES_MAX, NotAReport, read_report

    try:
        with file.open("rb") as opened:
            report = read_report(opened.read(BYTES_MAX + 1))
    except NotAReport as error:
        return "no-report", str(error)
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror}") from None
    noted = taker.note(report, dry_run=dry_run)
    about = f"message {noted.number} to {noted.partner_id}: {report.status}" if noted.number else ""
    return noted.result.value, about


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise UsageError(f"there is no {path}")
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.is_symlink():
            yield file
