"""``statements``: the documents that explain to a partner what he was paid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.errors import Exit, StaffelError, UsageError
from deploy.runtime.settings import Loaded

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.payout.statements.stored import Stored

app = typer.Typer(rich_markup_mode=None)
statements = typer.Typer(rich_markup_mode=None, help="List, show, hand out and check the partners' statements.")
app.add_typer(statements, name="statements")

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="The statement's number, like BA-2027-000123.")]


@statements.command(
    "list",
    epilog=ending(
        "./staffel statements list", "./staffel statements list --partner P-1001 --json", exits=(Exit.NOT_READY,)
    ),
)
@takes_settings("data")
def list_statements(
    loaded: Loaded,
    partner: Annotated[Optional[str], typer.Option("--partner", metavar="P", help="Only this partner's.")] = None,  # noqa: UP045
    as_json: JsonFlag = False,
) -> None:
    """List the issued statements, by number.

    kind: payment (it was paid), set_off (nothing was left to pay), carried (a clawback, for the next payment).
    """
    from deploy.cli.programme import money
    from services.payout.statements import stored

    with _database(loaded) as connection:
        rows = stored.listed(connection, partner)
    if as_json:
        output.print_json({"statements": [row._asdict() for row in rows]})
    elif not rows:
        output.note("no statement was issued yet: each payment gets one when it is released")
    else:
        cells: list[tuple[str, ...]] = [
            (row.number, f"{row.issued_on}", row.partner_id, row.kind, money(row.amount_minor, row.currency))
            for row in rows
        ]
        print(output.table(("NUMBER", "DATE", "PARTNER", "KIND", "AMOUNT"), cells))


@statements.command("show", epilog=ending("./staffel statements show BA-2027-000123", exits=(Exit.NOT_READY,)))
@takes_settings("data")
def show(loaded: Loaded, number: Number, as_json: JsonFlag = False) -> None:
    """Show what a statement says. With --json: all that it was made of, as frozen when it was issued."""
    from services.payout.statements.facts import freeze

    found = _find(loaded, number)
    print(freeze(found.facts).decode() if as_json else _sentences(found))


@statements.command(
    "export",
    epilog=ending(
        "./staffel statements export BA-2027-000123",
        "./staffel statements export BA-2027-000123 --out statement.csv",
        exits=(Exit.NOT_READY,),
    ),
)
@takes_settings("data")
def export(
    loaded: Loaded,
    number: Number,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", metavar="FILE", help="Where to, .pdf or .csv [default: NUMBER.pdf in this folder]."),
    ] = None,
) -> None:
    """Write a statement's PDF or CSV to a file.

    The bytes are those that were issued, the same each time.
    """
    from services.kit.statements import Form

    path = out or Path(f"{number}.pdf")
    if path.suffix not in (".pdf", ".csv"):
        raise UsageError(f"a statement can't be had as {path.suffix or 'a file without an ending'}", "say .pdf or .csv")
    content = _find(loaded, number).content(Form(path.suffix[1:]))
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StaffelError(f"can't write {path}: {error.strerror}") from None
    print(f"wrote {path}, {len(content):,} bytes")


@statements.command("verify", epilog=ending("./staffel statements verify", exits=(Exit.NOT_READY, Exit.DIFFERS)))
@takes_settings("data", "statements")
def verify(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Check that all statements are as they were issued.

    Numbers must have no gaps, bytes must have their hashes, and the folder that the portal serves from must hold
    the same.
    """
    from services.kit.statements import Shelf
    from services.payout.statements import stored

    with _database(loaded) as connection:
        count = len(stored.numbers(connection))
        faults = list(stored.faults(connection, Shelf(Path(loaded.settings.statements))))
    if as_json:
        output.print_json({"statements": count, "faults": faults})
    else:
        print("\n".join([*faults, f"{count:,} statements, {len(faults):,} faults"]))
    if faults:
        raise typer.Exit(Exit.DIFFERS)


@contextmanager
def _database(loaded: Loaded) -> Iterator[Connection]:
    from services.kit.database import reading
    from services.payout.database import open_database

    engine = open_database(loaded.settings)
    try:
        with reading(engine).connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _find(loaded: Loaded, number: str) -> Stored:
    from services.payout.statements import stored

    with _database(loaded) as connection:
        found = stored.find(connection, number)
    if found is None:
        raise StaffelError(
            f"there is no statement {number!r}", "see ./staffel statements list", code="unknown-statement"
        )
    return found


def _sentences(found: Stored) -> str:
    from deploy.cli.programme import money

    facts = found.facts

    def row(label: str, text: str) -> str:
        return f"  {label:<10} {text}"

    def amount(minor: int) -> str:
        return money(minor, facts.currency)

    lines = [
        output.paint(f"{facts.number} of {facts.issued_on} for {facts.partner_id}, {facts.partner.name}", "bold"),
        row("kind", facts.kind),
        row("amount", amount(facts.total_minor)),
    ]
    if facts.transfer is not None:
        paid = facts.transfer
        lines.append(row("paid", f"{paid.execution_date} to {paid.iban}, reference {paid.end_to_end_id}"))
    for position in facts.positions:
        carried = f", carried forward on {position.carried_on}" if position.carried_on else ""
        revision = "final" if position.revision == 1 else f"adjustment {position.revision - 1}"
        text = f"{revision}, {position.units:,} units: {amount(position.amount_minor)}{carried}"
        lines.append(row(position.quarter, text))
    for part in facts.vat:
        tax = f", {part.rate} %: net {amount(part.net_minor)}, tax {amount(part.tax_minor)}" if part.rate else ""
        lines.append(row("vat", f"{part.treatment}{tax}"))
    lines += [row("replaces", said.number) for said in facts.replaces]
    lines.append(row("pdf", f"{len(found.pdf):,} bytes, sha256 {found.pdf_sha256}"))
    lines.append(row("csv", f"{len(found.csv):,} bytes, sha256 {found.csv_sha256}"))
    return "\n".join(lines)
