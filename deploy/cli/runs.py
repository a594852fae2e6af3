"""``runs``: payment runs are looked at, prepared, approved, released, given up. Four eyes on every payment file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.cli import output
from deploy.cli.options import By, JsonFlag, takes_settings, who
from deploy.cli.output import ending
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit, StaffelError, UsageError
from deploy.runtime.settings import Loaded

app = typer.Typer(rich_markup_mode=None)
runs = typer.Typer(rich_markup_mode=None, help="See, prepare, approve and release payment runs.")
app.add_typer(runs, name="runs")

_EXITS = (Exit.NOT_READY,)
_REASON_MAX = 500
Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as ./staffel runs list writes it.")]


@runs.command("list", epilog=ending("./staffel runs list", "./staffel runs list --json", exits=_EXITS))
@takes_settings("data", "port_base")
def list_runs(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """List the runs, the latest first: what waits to be approved, what was released, what was given up."""
    from deploy.cli.programme import money
    from services.payout import runs_view
    from services.payout.database import looking

    with looking(loaded.settings) as connection:
        found = runs_view.listed(connection)
    if as_json:
        output.print_json({"runs": found})
    elif not found:
        print("there is no run yet")
    else:
        rows = [
            (
                row["run"],
                row["kind"],
                row["state"],
                row["execution_date"],
                f"{row['payments']:,}",
                money(row["total_minor"], row["currency"]),
            )
            for row in found
        ]
        print(output.table(("RUN", "KIND", "STATE", "PAID ON", "PAYMENTS", "SUM"), rows))


@runs.command("show", epilog=ending("./staffel runs show RB-20270129-VZDK", exits=_EXITS))
@takes_settings("data", "port_base")
def show(loaded: Loaded, run: Run, as_json: JsonFlag = False) -> None:
    """Show a run: its approvals, its payments with masked accounts, and what to look out for."""
    from services.payout import runs_view
    from services.payout.database import looking
    from services.payout.service import limits

    with looking(loaded.settings) as connection:
        found = runs_view.described(connection, run, limits(loaded.settings))
    if as_json:
        output.print_json(found)
    else:
        print(_sentences(found))


@runs.command("prepare", epilog=ending("./staffel runs prepare --by 'A. Clerk'", exits=_EXITS))
@takes_settings("data", "port_base", "programme")
def prepare(loaded: Loaded, by: By = "", as_json: JsonFlag = False) -> None:
    """Prepare a run of all that is payable now and in no run yet. Payout does so itself on each bank day.

    Nothing is paid: somebody else must approve it before it can be released.
    """
    from deploy.cli.programme import money, today
    from services.payout import runs as payout
    from services.payout.runs import Payer
    from services.payout.service import debtor

    name = _person(loaded, by)
    with _desk(loaded) as desk:
        now = desk.clock.now()
        day = today(desk.programme, desk.clock)
        payer = Payer(debtor(loaded.settings), loaded.settings.batch_booking)
        made = payout.prepare(desk.engine, desk.vault, desk.programme, payer, day, now, name)
    if as_json:
        output.print_json({"runs": [one._asdict() for one in made]})
        return
    for one in made:
        print(f"{one.msg_id}: {one.payments:,} payments, {money(one.total_minor, 'EUR')}; it waits to be approved")
    if not made:
        print("nothing is payable that is not in a run already")


@runs.command("approve", epilog=ending("./staffel runs approve RB-20270129-VZDK --by 'B. Head'", exits=_EXITS))
@takes_settings("data", "port_base")
def approve(loaded: Loaded, run: Run, by: By = "") -> None:
    """Approve a run's file, byte for byte. Who prepared it can't; above a limit two people must."""
    from services.payout import release as payout
    from services.payout.service import limits

    name = _person(loaded, by)
    with _desk(loaded) as desk:
        missing = payout.approve(desk.engine, run, name, limits(loaded.settings), desk.clock.now())
    more = "another person must approve it too" if missing else f"./staffel runs release {run} pays it"
    print(f"{run} is approved by {name}; {more}")


@runs.command("release", epilog=ending("./staffel runs release RB-20270129-VZDK --by 'B. Head'", exits=_EXITS))
@takes_settings("data", "port_base", "programme", "kafka")
def release(loaded: Loaded, run: Run, by: By = "") -> None:
    """Release an approved run: it is booked, the partners are told, payout writes its file within a minute.

    Everything that it depends on is looked at once more; if something has changed, it is given up and nothing is paid.
    """
    from deploy.cli.programme import money
    from schemas.topics import PAYOUTS
    from services.kit.sender import open_codec
    from services.payout import past
    from services.payout import release as payout
    from services.payout.service import limits

    name = _person(loaded, by)
    with _desk(loaded) as desk:
        missing = past.missing(desk.engine, loaded.settings, open_codec(loaded.settings, [PAYOUTS]))
        if missing:
            raise StaffelError(missing, "nothing was released")
        made = payout.release(
            desk.engine, desk.vault, desk.programme, run, name, limits(loaded.settings), desk.clock.now()
        )
    print(f"{run} is released: {made.payments:,} payments, {money(made.total_minor, 'EUR')}")


@runs.command("void", epilog=ending("./staffel runs void RB-20270129-VZDK --reason 'wrong day' --by 'A. Clerk'"))
@takes_settings("data", "port_base")
def void(
    loaded: Loaded,
    run: Run,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the run.")],
    by: By = "",
) -> None:
    """Give up a run that is not released. What it covers is payable as before and goes into the next one."""
    from services.payout import runs as payout

    text, name = " ".join(reason.split()), _person(loaded, by)
    if not text or len(text) > _REASON_MAX or not text.isprintable():
        raise UsageError(f"--reason must be 1 to {_REASON_MAX} printable characters")
    with _desk(loaded) as desk:
        payout.give_up(desk.engine, run, text, name, desk.clock.now())
    print(f"{run} is given up")


@runs.command("file", epilog=ending("./staffel runs file RB-20270129-VZDK --out run.xml", exits=_EXITS))
@takes_settings("data", "port_base")
def file(
    loaded: Loaded,
    run: Run,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it; - is the screen.")],
) -> None:
    """Write a run's file: the same bytes each time. It holds names and accounts; keep it safe."""
    from services.kit.files import write
    from services.payout import files
    from services.payout.database import looking
    from services.payout.vault import open_vault

    with looking(loaded.settings) as connection:
        content = files.content_of(connection, open_vault(loaded.settings), run)
    if str(out) == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        write(out, content)
    except OSError as error:
        raise UsageError(f"can't write {out}: {error.strerror}") from None
    output.note(f"{len(content):,} bytes written to {out}")


class _desk:  # noqa: N801  # used like a function
    """What a command needs to work on runs beside the service."""

    def __init__(self, loaded: Loaded) -> None:
        from deploy.runtime.programme import read_programme
        from services.payout.database import existing
        from services.payout.vault import open_vault
        from streams.rules.terms import parse

        settings = loaded.settings
        self.programme = read_programme(settings, parse)
        self.vault, self.clock = open_vault(settings), open_clock(settings)
        self._database = existing(settings)

    def __enter__(self) -> _desk:
        self.engine = self._database.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._database.__exit__(*error)


def _person(loaded: Loaded, by: str) -> str:
    from services.payout.release import RESERVED

    name = who(loaded, by)
    if name.lower() in RESERVED:
        raise UsageError(f"nobody may go by the name {name!r}: it stands for payout itself")
    return name


def _sentences(found: dict[str, Any]) -> str:
    from deploy.cli.programme import money

    total = money(found["total_minor"], found["currency"])
    closed = [f"  closed    by {found['closed_by']}, {_moment(found['closed_at'])}"] if found["closed_at"] else []
    lines = [
        output.paint(f"{found['run']}: {found['payments']:,} payments, {total}, {found['state']}", "bold"),
        f"  prepared  by {found['prepared_by']}, {_moment(found['prepared_at'])}",
        *(f"  approved  by {said['by']}, {_moment(said['at'])}" for said in found["approvals"]),
        *([f"  waits for {found['approvals_missing']} more approval(s)"] if found["approvals_missing"] else []),
        *closed,
        *([f"  because   {found['reason']}"] if found["reason"] else []),
        f"  paid on   {found['execution_date']}",
        f"  SHA-256   {found['sha256']}",
        *(output.paint(f"  mind      {warning}", "yellow") for warning in found["warnings"]),
        "",
    ]
    rows = [
        (
            row["partner_id"],
            row["account"],
            money(row["amount_minor"], row["currency"]),
            row["state"] + (f" ({row['reason']})" if row["reason"] else ""),
            row["end_to_end_id"],
        )
        for row in found["payments_made"]
    ]
    return "\n".join([*lines, output.table(("PARTNER", "ACCOUNT", "AMOUNT", "STATE", "END-TO-END ID"), rows)])


def _moment(text: str) -> str:
    return f"{text[:16].replace('T', ' ')} UTC"
