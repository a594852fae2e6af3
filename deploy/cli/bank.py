"""``bank import``, ``bank status``, ``bank unmatched`` and ``bank clear``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit, UsageError
from deploy.runtime.settings import Loaded

if TYPE_CHECKING:
    from services.payout.answers.apply import Outcome
    from services.payout.answers.gaps import Gap
    from services.payout.answers.overview import Standing

app = typer.Typer(rich_markup_mode=None)
bank = typer.Typer(rich_markup_mode=None, help="Read the bank's answers, and see where the payments stand with it.")
app.add_typer(bank, name="bank")

_STATES = ("released", "accepted", "settled", "rejected", "returned")


@bank.command(
    "import",
    epilog=ending(
        "./staffel bank import camt053-2027-02-01.xml",
        "./staffel bank import answers/*.xml --dry-run",
        exits=(Exit.REFUSED, Exit.NOT_READY),
    ),
)
@takes_settings("data", "port_base")
def import_files(
    loaded: Loaded,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="The bank's XML files, in any order.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what each file alone would do, and do nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each file.")] = False,
) -> None:
    """Read status reports (pain.002), statements (camt.053) and notices (camt.054, camt.052) by hand.

    The payout service reads them by itself from the folder of the setting bank_answers; this is for single files.
    The same file again changes nothing, nor does the same movement in another file. A file that can't be read is
    refused and named; the others are read.
    """
    from services.payout.answers.apply import take, told
    from services.payout.answers.folder import read_file
    from services.payout.answers.messages import Refused
    from services.payout.database import open_database
    from services.payout.vault import open_vault

    settings = loaded.settings
    for path in files:
        if not path.is_file():
            raise UsageError(f"there is no file {path}", "nothing was read")
    engine, vault, now = open_database(settings), open_vault(settings), open_clock(settings).now()
    refused = 0
    for path in files:
        try:
            outcome = take(engine, vault, read_file(path.resolve()), path.name, now, dry_run)
        except (Refused, OSError) as error:
            refused += 1
            why = str(error) if isinstance(error, Refused) else error.strerror
            output.note(f"{path}: refused: {why}")
            if as_json:
                output.print_json({"file": str(path), "refused": why})
            continue
        if as_json:
            output.print_json({"file": str(path), "dry_run": dry_run} | told(outcome))
        else:
            print(f"{'dry run: ' if dry_run else ''}{path}: {_sentence(outcome)}")
    engine.dispose()
    if refused:
        raise typer.Exit(Exit.REFUSED)


@bank.command("status", epilog=ending("./staffel bank status", exits=(Exit.NOT_READY, Exit.DIFFERS)))
@takes_settings("data", "port_base")
def status(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Each run that was given to the bank, its payments by what the bank said, and gaps between statements.

    Waiting is in hours of bank days. Silence is not failure: nothing is paid again because of it. Exit code 5 says that
    something waits to be looked at: a silent bank, a gap, or what fits nothing (./staffel bank unmatched).
    """
    from deploy.runtime.programme import read_programme
    from services.kit.database import reading
    from services.payout.answers.gaps import gaps
    from services.payout.answers.overview import silence, standings
    from services.payout.answers.unmatched import open_ones
    from services.payout.database import open_database
    from streams.rules.terms import parse

    settings = loaded.settings
    engine, now = open_database(settings), open_clock(settings).now()
    zone = read_programme(settings, parse).zone
    with reading(engine).connect() as connection:
        found, missing = standings(connection, zone, now), gaps(connection)
        silent = silence(connection, zone, now, settings.bank_silence_hours)
        unmatched = len(open_ones(connection))
    engine.dispose()
    if as_json:
        output.print_json(
            {
                "runs": [_run_row(one) for one in found],
                "silent": silent._asdict(),
                "unmatched": unmatched,
                "gaps": [gap._asdict() for gap in missing],
            }
        )
    else:
        _show(found, missing)
        if silent.answer or silent.debit:
            print(f"\nno answer for too long: {silent.answer} payments; accepted and not debited: {silent.debit}")
        if unmatched:
            print(f"\n{unmatched} not matched: ./staffel bank unmatched")
    if any(silent) or missing or unmatched:
        raise typer.Exit(Exit.DIFFERS)


@bank.command("unmatched", epilog=ending("./staffel bank unmatched", exits=(Exit.NOT_READY,)))
@takes_settings("data", "port_base")
def unmatched(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """What the bank said and fits no payment of ours exactly. Nothing was done because of it.

    deploy/docs/runbook.md says for each reason what it means and what to do; then ./staffel bank clear it.
    """
    from services.kit.database import reading
    from services.payout.answers.unmatched import open_ones
    from services.payout.database import open_database

    engine = open_database(loaded.settings)
    with reading(engine).connect() as connection:
        rows = [dict(row._mapping) for row in open_ones(connection)]
    engine.dispose()
    hidden = ("key", "account", "cleared_at", "because")
    if as_json:
        output.print_json({"unmatched": [{k: v for k, v in row.items() if k not in hidden} for row in rows]})
        return
    if not rows:
        print("everything that the bank said is matched")
        return
    cells: list[tuple[str, ...]] = [
        (
            str(row["id"]),
            row["reason"],
            _amount(row),
            str(row["booked_on"] or ""),
            row["end_to_end_id"] or row["msg_id"],
            " ".join(filter(None, (row["kind"], row["statement_id"], row["code"]))),
        )
        for row in rows
    ]
    print(output.table(("no", "reason", "amount", "booked", "payment or run", "said in"), cells))


@bank.command(
    "clear",
    epilog=ending(
        './staffel bank clear 17 --because "second debit, the bank paid it back on 3 Feb"',
        './staffel bank clear STMT-0117 --because "no statement was made on that day"',
        exits=(Exit.NOT_READY,),
    ),
)
@takes_settings("data", "port_base")
def clear(
    loaded: Loaded,
    what: Annotated[str, typer.Argument(metavar="NUMBER|STATEMENT", help="As bank unmatched and bank status show it.")],
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="What was found out. It is kept.")],
) -> None:
    """Say that something unmatched, or a gap before a statement, was looked into. It moves no money."""
    from services.payout.answers import gaps
    from services.payout.answers import unmatched as lines
    from services.payout.database import open_database

    if not because.strip():
        raise UsageError("--because can't be empty", "say what was found out")
    engine, now = open_database(loaded.settings), open_clock(loaded.settings).now()
    if what.isdecimal() and len(what) < 10:
        lines.clear(engine, int(what), because, now)
    else:
        gaps.clear(engine, what, because, now)
    engine.dispose()
    print(f"{what} is cleared")


def _sentence(outcome: Outcome) -> str:
    if outcome.repeated:
        return f"{outcome.kind} {outcome.message_id}: read before, nothing changed"
    became: dict[str, int] = {}
    for (state, reason), number in outcome.payments.items():
        words = f"{state} ({reason})" if reason else str(state)
        became[words] = became.get(words, 0) + number
    parts = [f"{number:,} {words}" for words, number in became.items()] or ["nothing new of our payments"]
    if outcome.unmatched:
        parts.append(f"{outcome.unmatched:,} not matched (./staffel bank unmatched)")
    if outcome.foreign:
        parts.append(f"{outcome.foreign:,} line{'s' * (outcome.foreign != 1)} of other business")
    return f"{outcome.kind} {outcome.message_id}: {', '.join(parts)}"


def _run_row(one: Standing) -> dict[str, Any]:
    return one._asdict() | {"payments": dict(one.payments), "silent_hours": round(one.silent_hours, 1)}


def _show(found: list[Standing], missing: list[Gap]) -> None:
    if not found:
        print("no run was given to the bank yet")
    else:
        rows: list[tuple[str, ...]] = [
            (
                one.msg_id,
                one.state,
                f"{one.total_minor / 100:,.2f} {one.currency}",
                *(str(one.payments[state] or "") for state in _payment_states()),
                f"{one.silent_hours:.0f} h" if one.silent_hours else "",
            )
            for one in found
        ]
        print(output.table(("run", "state", "amount", *_STATES, "waiting"), rows))
    for gap in missing:
        difference = f", {gap.difference_minor / 100:,.2f} {gap.currency}" if gap.difference_minor else ""
        print(f"gap at statement {gap.statement_id} of {gap.day}: {gap.what}{difference}", file=sys.stdout)


def _payment_states() -> list[Any]:
    from services.payout.states import PaymentState

    return [PaymentState(state) for state in _STATES]


def _amount(row: dict[str, Any]) -> str:
    if row["amount_minor"] is None or not row["currency"]:
        return ""
    return f"{'-' if row['debit'] else '+'}{row['amount_minor'] / 100:,.2f} {row['currency']}"
