"""``holds list``, ``show``, ``block``, ``unblock``, ``lift``: what stops payments, and what people decide about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from deploy.cli import output
from deploy.cli.options import By, JsonFlag, takes_settings, who
from deploy.cli.output import ending
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit, UsageError
from deploy.runtime.settings import Loaded

app = typer.Typer(rich_markup_mode=None)
holds = typer.Typer(
    rich_markup_mode=None, help="See what holds up payments; block a partner; let a checked payment go."
)
app.add_typer(holds, name="holds")

_EXITS = (Exit.NOT_READY,)
_TEXT_MAX = 500
Partner = Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's id.")]
Obligation = Annotated[
    str,
    typer.Argument(metavar="OBLIGATION", help="As ./staffel holds list writes it: programme/partner/quarter/number."),
]


@holds.command("list", epilog=ending("./staffel holds list", "./staffel holds list --json", exits=_EXITS))
@takes_settings("data", "port_base")
def list_holds(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """List what is earned and not paid: how much, since when, why, and what ends it. The longest one first."""
    from deploy.cli.programme import money
    from services.payout import holds_view
    from services.payout.database import looking

    with looking(loaded.settings) as connection:
        found = holds_view.listed(connection)
    if as_json:
        output.print_json({"holds": found})
        return
    if not found:
        print("nothing is held up")
        return
    rows = [
        (
            row["obligation"],
            money(row["amount_minor"], row["currency"]),
            row["since"][:10],
            str(row["code"]),
            str(row["ends"]),
        )
        for row in found
    ]
    print(output.table(("obligation", "amount", "since", "reason", "ends"), rows))
    total = money(sum(row["amount_minor"] for row in found), found[0]["currency"])
    print(f"\n{len(found):,} held up, {total} in all. Why: ./staffel holds show OBLIGATION")


@holds.command("show", epilog=ending("./staffel holds show topseller/P-1001/2026Q4/1", exits=_EXITS))
@takes_settings("data", "port_base")
def show(loaded: Loaded, obligation: Obligation, as_json: JsonFlag = False) -> None:
    """Show why an obligation is held up, and all that bears on it: units, bank details, blocks, what was lifted."""
    from services.payout import holds_view
    from services.payout.database import looking

    with looking(loaded.settings) as connection:
        found = holds_view.described(connection, obligation)
    if as_json:
        output.print_json(found)
    else:
        print(_sentences(found))


@holds.command(
    "block", epilog=ending("./staffel holds block P-1001 --reason 'court order 17' --by 'A. Clerk'", exits=_EXITS)
)
@takes_settings("data", "port_base")
def block(
    loaded: Loaded,
    partner: Partner,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; only the staff reads it.")],
    by: By = "",
) -> None:
    """Pay a partner nothing until he is unblocked. What he earns is kept; what was sent to the bank stays sent."""
    from schemas.values import PARTNER_ID
    from services.payout import holds as payout

    if not PARTNER_ID.fullmatch(partner):
        raise UsageError(f"{partner[:70]!r} is not a partner's id")
    changed = _decide(loaded, payout.block, partner, _text("--reason", reason), who(loaded, by))
    print(f"{partner} is blocked now" if changed else f"{partner} was blocked before; nothing was changed")


@holds.command(
    "unblock", epilog=ending("./staffel holds unblock P-1001 --reason 'settled' --by 'A. Clerk'", exits=_EXITS)
)
@takes_settings("data", "port_base")
def unblock(
    loaded: Loaded,
    partner: Partner,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; only the staff reads it.")] = "",
    by: By = "",
) -> None:
    """Let a blocked partner be paid again. What he earned meanwhile is in the next run."""
    from services.payout import holds as payout

    changed = _decide(loaded, payout.unblock, partner, _text("--reason", reason, needed=False), who(loaded, by))
    print(f"{partner} is blocked no more" if changed else f"{partner} was not blocked; nothing was changed")


@holds.command(
    "lift",
    epilog=ending(
        "./staffel holds lift topseller/P-1001/2026Q4/1 --note 'invoices seen' --by 'A. Clerk'", exits=_EXITS
    ),
)
@takes_settings("data", "port_base")
def lift(
    loaded: Loaded,
    obligation: Obligation,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What you looked at; only the staff reads it.")],
    by: By = "",
) -> None:
    """Let an obligation be paid that is held because something about it is unusual, after having looked at it.

    It counts for this obligation and this reason, as long as the units stay what they are.
    """
    from services.payout import holds as payout
    from services.payout.database import open_database

    name, text = who(loaded, by), _text("--note", note)
    with open_database(loaded.settings).begin() as connection:
        code = payout.lift(connection, obligation, text, name, open_clock(loaded.settings).now())
    print(f"{obligation}: {code} is lifted; payout looks at it again within seconds")


def _decide(loaded: Loaded, decide: Callable[..., bool], partner: str, reason: str, name: str) -> bool:
    from services.payout.database import open_database

    with open_database(loaded.settings).begin() as connection:
        return decide(connection, partner, reason, name, open_clock(loaded.settings).now())


def _text(flag: str, text: str, *, needed: bool = True) -> str:
    text = " ".join(text.split())
    if (needed and not text) or len(text) > _TEXT_MAX or not text.isprintable():
        raise UsageError(f"{flag} must be 1 to {_TEXT_MAX} printable characters")
    return text


def _sentences(found: dict[str, Any]) -> str:
    from deploy.cli.programme import money

    account, earlier = found["account"], found["units_of_earlier_quarters"]
    why = f"{found['code']}: {found['why']}" if found["why"] else "it is not held up"
    lines = [
        output.paint(
            f"{found['obligation']}: {money(found['amount_minor'], found['currency'])}, {found['state']}", "bold"
        ),
        f"  why      {why}",
        f"  since    {found['since'][:16].replace('T', ' ')} UTC",
        *([f"  ends     {found['ends']}"] if found["ends"] else []),
        f"  units    {found['units']:,}, of these {found['units_of_last_two_days']:,} in the last two days",
        "  earlier  " + (", ".join(f"{units:,}" for units in earlier) or "no other quarter with sales"),
        f"  account  {_account(account)}",
    ]
    for row in found["blocks"]:
        what = "blocked" if row["blocked"] else "unblocked"
        lines.append(
            f"  {row['at'][:10]}  {what} by {row['decided_by']}" + (f": {row['reason']}" if row["reason"] else "")
        )
    for row in found["lifts"]:
        void = "" if row["counts_still"] else " (counts no more: the units have changed)"
        lines.append(f"  {row['at'][:10]}  {row['reason']} lifted by {row['lifted_by']}: {row['note']}{void}")
    return "\n".join(lines)


def _account(account: dict[str, Any] | None) -> str:
    if account is None:
        return "none given"
    state = "invalid, a bank refused it" if account["invalid"] else f"usable on {account['usable_on']}"
    return f"{account['masked']} (version {account['version']}), {state}"
