"""``bank-details import``, ``history`` and ``reseal``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli import output
from deploy.cli.data_imports import IMPORT_EXITS, DryRun, File, RejectsFile, SummaryJson, run_import
from deploy.cli.options import By, JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit, StaffelError
from deploy.runtime.settings import Loaded

if TYPE_CHECKING:
    from services.intake.bank import Kept
    from services.intake.rows import BankDetails
    from services.payout.bank_details import Version

app = typer.Typer(rich_markup_mode=None)
bank_details = typer.Typer(
    rich_markup_mode=None,
    help="Import the partners' bank details, see who changed them, change the key they lie under.",
)
app.add_typer(bank_details, name="bank-details")


@bank_details.command(
    "import",
    epilog=ending(
        "./staffel bank-details import bank.csv --by 'A. Clerk'",
        "./staffel bank-details import bank.csv --dry-run",
        exits=IMPORT_EXITS,
    ),
)
@takes_settings("data", "port_base")
def import_bank_details(
    loaded: Loaded,
    file: File,
    by: By = "",
    dry_run: DryRun = False,
    rejects: RejectsFile = None,
    as_json: SummaryJson = False,
) -> None:
    """Enter the accounts that rebates are paid to: into payout's database, encrypted, and nowhere else.

    Columns: partner_id,account_holder,iban and, optional, bic,town,country. Rebates that waited for them become
    payable; to changed details only some bank days later (STAFFEL_BANK_DETAILS_DAYS), and the partner is told.
    An empty bic, town or country leaves what is known of an account that stays the same.
    """
    from services.intake import bank
    from services.payout import bank_details as payout
    from services.payout.bank_checks import Row
    from services.payout.database import open_database

    settings = loaded.settings

    def keep(rows: Sequence[BankDetails]) -> Iterator[Kept]:
        entered = [Row(*row) for row in rows]
        now = open_clock(settings).now()
        name = by.strip() or settings.operator
        for outcome in payout.import_rows(open_database(settings), settings, entered, now, dry_run, by=name):
            yield bank.Kept(*outcome)

    run_import(file, dry_run, rejects, as_json, lambda request: bank.import_bank_details(request, keep))


@bank_details.command("history", epilog=ending("./staffel bank-details history P-1001", exits=(Exit.NOT_READY,)))
@takes_settings("data", "port_base")
def history(
    loaded: Loaded,
    partner: Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's id.")],
    as_json: JsonFlag = False,
) -> None:
    """Show each version of a partner's bank details: who entered it, when, from when it can be used. Never the IBAN."""
    from services.payout import bank_details as payout
    from services.payout.database import looking

    with looking(loaded.settings) as connection:
        versions = payout.history(connection, partner)
    if not versions:
        raise StaffelError(
            f"no bank details of {partner!r} are known",
            "enter them: ./staffel bank-details import FILE",
            code="unknown-partner",
        )
    if as_json:
        output.print_json({"partner_id": partner, "versions": [_as_dict(version) for version in versions]})
        return
    rows = [
        (
            str(version.version),
            version.masked,
            f"{version.entered_at:%Y-%m-%d %H:%M}",
            version.entered_by or "not said",
            version.source,
            version.usable_on.isoformat(),
            f"{version.invalid_since:%Y-%m-%d %H:%M} ({version.invalid_reason})" if version.invalid_since else "",
        )
        for version in versions
    ]
    print(output.table(("version", "account", "entered (UTC)", "by", "from", "usable on", "invalid since"), rows))


@bank_details.command(
    "reseal",
    epilog=ending(
        "STAFFEL_BANK_KEY=NEW,OLD ./staffel bank-details reseal --dry-run",
        "STAFFEL_BANK_KEY=NEW,OLD ./staffel bank-details reseal",
        exits=(Exit.NOT_READY, Exit.DIFFERS),
    ),
)
@takes_settings("data", "port_base")
def reseal(loaded: Loaded, dry_run: DryRun = False, as_json: JsonFlag = False) -> None:
    """Encrypt bank details and payment files anew, under the first key of STAFFEL_BANK_KEY.

    First give payout, and whoever imports, both keys: NEW,OLD. When this has ended with 0, the old one can be dropped.
    Stopped halfway, the next call goes on. Ends with 5 if something opens under no key, which then stays as it is.
    """
    from services.payout import resealing
    from services.payout.database import open_database
    from services.payout.vault import open_vault

    vault, engine = open_vault(loaded.settings), open_database(loaded.settings)
    with engine.connect() as connection:
        before = resealing.census(connection, vault.key_id, vault.key_ids)
    done = resealing.Resealed(before.other, 0)
    if not dry_run:
        done = resealing.reseal(engine, vault, _tell)
    lost = done.damaged + before.unknown
    if as_json:
        found = {"dry_run": dry_run, "resealed": done.resealed, "unchanged": before.first, "opened_by_no_key": lost}
        output.print_json(found)
    else:
        start = "dry run, nothing was changed; the real run would give: " if dry_run else ""
        print(f"{start}{done.resealed:,} resealed, {before.first:,} under the first key before, {lost:,} no key opens")
    if lost:
        if not as_json:
            output.note("the keys that sealed these are missing: put them behind the first one, with commas")
        raise typer.Exit(Exit.DIFFERS)


def _tell(number: int) -> None:
    if sys.stderr.isatty():
        output.note(f"{number:,} resealed …")


def _as_dict(version: Version) -> dict[str, Any]:
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in version._asdict().items()
    }
