"""``ledger``: whether it is what was booked, where it ends, and its export for the bookkeeper."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit, UsageError
from deploy.runtime.settings import Loaded
from services.payout.books import Format

if TYPE_CHECKING:
    from services.payout.chain import Head

app = typer.Typer(rich_markup_mode=None)
ledger = typer.Typer(rich_markup_mode=None, help="Check the ledger, note where it ends, export it for the bookkeeper.")
app.add_typer(ledger, name="ledger")


@ledger.command(
    "verify",
    epilog=ending(
        "./staffel ledger verify",
        "./staffel ledger verify --noted 1234:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        exits=(Exit.DIFFERS, Exit.NOT_READY),
    ),
)
@takes_settings("data")
def verify(
    loaded: Loaded,
    noted: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--noted",
            metavar="HEAD",
            help="A head noted earlier, as ./staffel ledger head prints it: the ledger must still hold it.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Recompute the ledger: its chain, the sum of each journal, the trial balance. Changes nothing.

    A journal that was edited, removed, put in or moved breaks the chain, and the first such place is named. Against
    somebody who can also compute the chain anew, compare with a head that he could not reach: --noted.
    """
    from deploy.cli.programme import money
    from services.payout import audit
    from services.payout.database import looking

    wanted = _head(noted)
    with looking(loaded.settings) as connection:
        found = audit.verify(connection, wanted)
    if as_json:
        head = {"sequence": found.head.sequence, "chain": found.head.chain}
        output.print_json(
            {
                "ok": not found.differences,
                "journals": found.journals,
                "head": head,
                "trial_balance_minor": found.balance,
                "differences": found.differences,
            }
        )
    elif found.differences:
        print("\n".join(f"{output.paint('differs', 'red')}  {difference}" for difference in found.differences))
    else:
        balance = ", ".join(money(total, currency) for currency, total in found.balance.items()) or "nothing booked"
        print(f"{output.paint('ok', 'green')}  {found.journals:,} journals, trial balance {balance}")
        print(f"    head {found.head}")
    if found.differences:
        raise typer.Exit(Exit.DIFFERS)


@ledger.command("head", epilog=ending("./staffel ledger head >> /elsewhere/ledger-heads", exits=(Exit.NOT_READY,)))
@takes_settings("data")
def head(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Print where the ledger ends: the number of its last journal and the hash over all of them.

    Note it now and then where nobody who can write the database can write: ./staffel ledger verify --noted compares.
    """
    from services.payout import chain
    from services.payout.database import looking

    with looking(loaded.settings) as connection:
        found = chain.head(connection)
    if as_json:
        output.print_json(found._asdict())
    else:
        print(found)


@ledger.command(
    "export",
    epilog=ending(
        "./staffel ledger export --format datev --from 2026-10-01 --to 2026-12-31 --out EXTF_2026Q4.csv",
        "./staffel ledger export --format beancount --from 2026-01-01 --to 2026-12-31 --out rebates.beancount",
        exits=(Exit.NOT_READY,),
    ),
)
@takes_settings("data", "programme", "accounts")
def export(
    loaded: Loaded,
    chosen: Annotated[Format, typer.Option("--format", help="For which program.", show_default=False)],
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="First day, programme time.")],
    last: Annotated[str, typer.Option("--to", metavar="DATE", help="Last day, included.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.", dir_okay=False)],
    as_json: JsonFlag = False,
) -> None:
    """Write the journals of a period for the bookkeeper.

    datev: EXTF 700, Buchungsstapel, for DATEV's batch import, whose file names begin with EXTF_. The accounts' numbers
    come from the file that --accounts names; a partner gets a creditor's account at his first export and keeps it. More
    than 99,999 bookings go into further files, FILE-2 and so on.

    beancount: text that bean-check checks, with opening and closing balances. csv: one line a posting.

    The same period of the same ledger gives the same bytes each time. Export a period when it is over and payout has
    read all that was closed in it; what was booked into an earlier one after its export is told.
    """
    from deploy.cli.programme import today
    from deploy.runtime.programme import read_programme
    from services.payout.books.chart import read_chart
    from services.payout.books.export import export as write
    from services.payout.books.period import Period
    from services.payout.database import existing
    from streams.rules.terms import parse

    settings = loaded.settings
    programme, clock = read_programme(settings, parse), open_clock(settings)
    wanted = Period(_day(first), _day(last))
    if wanted.last < wanted.first:
        raise UsageError(f"the period ends on {last}, before it begins on {first}")
    numbers = read_chart(Path(settings.accounts)) if chosen is Format.DATEV else None
    with existing(settings) as engine:
        done = write(engine, programme, chosen, wanted, out, clock.now(), numbers)
    if as_json:
        files = [{"file": str(written.path), "sha256": written.sha256} for written in done.files]
        late = [
            {"from": str(period.first), "to": str(period.last), "journals": journals} for period, journals in done.late
        ]
        output.print_json({"files": files, "journals": done.journals, "head": done.head._asdict(), "late": late})
        return
    for written in done.files:
        print(f"{written.path}  sha256 {written.sha256}")
    print(f"{done.journals:,} journals from {first} to {last}; the ledger ends at journal {done.head.sequence:,}")
    if wanted.last >= today(programme, clock):
        output.note("the period is not over: export it again when it is")
    for period, journals in done.late:
        output.note(
            f"{period.first} to {period.last} was exported before and has {journals:,} journal(s) more since: "
            "export it again, and have the bookkeeper add what is new"
        )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date", "write it like 2026-10-01") from None


def _head(text: str | None) -> Head | None:
    from services.payout.chain import Head

    try:
        return Head.parse(text) if text is not None else None
    except ValueError as error:
        raise UsageError(str(error)) from None
