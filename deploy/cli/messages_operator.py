"""``messages list``, ``show`` and ``resend``: which mails there are, why one was not sent, and sending it anew."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.clock import parse_instant
from deploy.runtime.errors import Exit, StaffelError, UsageError
from deploy.runtime.settings import Loaded

if TYPE_CHECKING:
    from enum import StrEnum

    from services.notification.overview import Resent

app = typer.Typer(rich_markup_mode=None)

Words = Optional[list[str]]  # noqa: UP045  # typer reads it


@app.command(
    "list",
    epilog=ending(
        "./staffel messages list --state failed",
        "./staffel messages list --partner P-1001 --since 2026-11-01 --json",
        exits=(Exit.NOT_READY,),
    ),
)
@takes_settings("data")
def list_messages(
    loaded: Loaded,
    state: Annotated[
        Words,
        typer.Option(
            help="waiting-for-address, pending, sent, failed, expired or superseded; repeatable.",
        ),
    ] = None,
    kind: Annotated[Words, typer.Option(help="Like tier-up, weekly or final; repeatable.")] = None,
    partner: Annotated[str, typer.Option(metavar="PARTNER", help="Only those to this partner.")] = "",
    since: Annotated[str, typer.Option(metavar="DATE", help="Only those that came in on this day or later.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List messages to partners, newest first. An address is never shown in full.

    waiting-for-address: the partner has none, or mail to his came back. pending: due now or later. failed: refused for
    good or too often. expired: too old by the time, or not wanted. superseded: a later mail says it.
    """
    from services.notification import overview
    from services.notification.messages import Kind
    from services.notification.tables import State

    wanted = overview.Wanted(
        states=_members(State, state, "state"),
        kinds=_members(Kind, kind, "kind"),
        partner_id=partner,
        since=_instant(since),
        limit=limit,
    )
    with overview.database(loaded.settings) as engine:
        found = overview.listed(engine, wanted)
    if as_json:
        output.print_json({"total": found.total, "messages": [overview.as_dict(row) for row in found.rows]})
        return
    if not found.rows:
        print("no such message")
        return
    headers = ("NUMBER", "PARTNER", "KIND", "STATE", "SINCE", "TRIES", "LAST ERROR")
    rows: list[tuple[str, ...]] = [
        (
            str(row.number),
            row.partner_id,
            row.kind,
            row.state,
            f"{row.sent_at or row.queued_at:%Y-%m-%d %H:%M}",
            str(row.attempts),
            row.last_error or "",
        )
        for row in found.rows
    ]
    print(output.table(headers, rows))
    if found.total > len(rows):
        output.note(f"{found.total - len(rows)} older ones are not shown; --limit shows more")


@app.command("show", epilog=ending("./staffel messages show 4711", exits=(Exit.NOT_READY,)))
@takes_settings("data")
def show(
    loaded: Loaded,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As messages list shows it.")],
    as_json: JsonFlag = False,
) -> None:
    """Show one message: what it is about, what happened to it, and if it was not sent, why."""
    from services.notification import overview

    with overview.database(loaded.settings) as engine:
        found = overview.shown(engine, number)
    if found is None:
        raise StaffelError(f"there is no message {number}", "see ./staffel messages list")
    if as_json:
        output.print_json(found)
        return
    colour = {"sent": "green", "failed": "red"}.get(found["state"], "yellow")
    lines = [
        f"message {number}: {found['kind']} to {found['partner_id']} {found['to']}".rstrip(),
        f"  {output.paint(found['state'], colour)}: {found['why']}",
        f"  came in        {_moment(found['queued_at'])}",
    ]
    for label, name in (("sent", "sent_at"), ("next try", "next_try_at")):
        if found[name]:
            lines.append(f"  {label:<14} {_moment(found[name])}")
    lines.append(f"  attempts       {found['attempts']}")
    lines.append(f"  Message-ID     {found['message_id']}")
    lines += [
        f"  came back      {_moment(bounce['read_at'])} {bounce['status']} {bounce['diagnostic']}".rstrip()
        for bounce in found["bounces"]
    ]
    lines += ["  about", *(f"    {name:<22} {value}" for name, value in found["event"].items() if value is not None)]
    print("\n".join(lines))


@app.command(
    "resend",
    epilog=ending(
        "./staffel messages resend --failed",
        "./staffel messages resend 4711 4712",
        "./staffel messages resend 4711 --again",
        exits=(Exit.REFUSED, Exit.NOT_READY),
    ),
)
@takes_settings("data")
def resend(
    loaded: Loaded,
    numbers: Annotated[Optional[list[int]], typer.Argument(metavar="NUMBER...", help="Which.")] = None,  # noqa: UP045
    failed: Annotated[bool, typer.Option("--failed", help="All that were given up.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also what was sent, as another mail: under a new Message-ID.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the real run would do, and do nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make messages due that were not sent. The running service then sends them, under the Message-ID that they had.

    Of a message that waits because mail to its address came back, this says that the address is good after all.
    """
    from services.notification import overview

    if bool(numbers) == failed:
        raise UsageError("say which: numbers, or --failed", "see ./staffel messages list --state failed")
    with overview.database(loaded.settings) as engine:
        wanted = overview.failed_numbers(engine) if failed else list(numbers or ())
        done = overview.resend(engine, wanted, again=again, dry_run=dry_run)
    _tell(done, dry_run, as_json)
    if done.refused:
        raise typer.Exit(Exit.REFUSED)


def _tell(done: Resent, dry_run: bool, as_json: bool) -> None:
    if as_json:
        output.print_json(
            {
                "due": list(done.numbers),
                "refused": [refusal._asdict() for refusal in done.refused],
                "dry_run": dry_run,
            }
        )
        return
    for refusal in done.refused:
        output.note(f"message {refusal.number} is not sent: {refusal.reason}")
    count = len(done.numbers)
    made = "would be made due" if dry_run else "are due again" if count != 1 else "is due again"
    print(f"{count} message{'' if count == 1 else 's'} {made}")


def _members(kind: type[StrEnum], said: list[str] | None, name: str) -> list[Any]:
    try:
        return [kind(word) for word in said or ()]
    except ValueError:
        unknown = next(word for word in said or () if word not in list(kind))
        raise UsageError(f"{name} can't be {unknown!r}", f"one of: {', '.join(kind)}") from None


def _instant(text: str) -> datetime | None:
    return parse_instant(text) if text else None


def _moment(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
