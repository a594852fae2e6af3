"""``webhooks``: who is told what by webhook, how it went, and sending it again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.clock import RealClock, parse_instant
from deploy.runtime.errors import Exit, StaffelError, UsageError
from deploy.runtime.settings import Loaded

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

app = typer.Typer(rich_markup_mode=None)
webhooks = typer.Typer(rich_markup_mode=None, help="Tell partners' software what happens: endpoints, deliveries.")
app.add_typer(webhooks, name="webhooks")

Endpoint = Annotated[str, typer.Argument(metavar="ENDPOINT", help="The endpoint's id, like ep_….")]
_EXITS = (Exit.NOT_READY,)
_WAIT_SECONDS = 20


@webhooks.command(
    epilog=ending(
        "./staffel webhooks add P-1001 https://hooks.partner.example/staffel",
        "./staffel webhooks add P-1001 https://hooks.partner.example/money --types quarter.closed,payout.changed",
        exits=_EXITS,
    )
)
@takes_settings("data")
def add(
    loaded: Loaded,
    partner: Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's id.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to send: https, a public host, port 443 or 8443.")],
    types: Annotated[str, typer.Option(help="What to send, separated by commas [default: all types].")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Enter an endpoint of a partner. Prints its secret, this once: whoever receives needs it to verify.

    Types: tier.changed, week.summary, quarter.closed, payout.changed, bank_details.changed, claim.decided. It is sent
    what happens from now on. How to receive and verify: deploy/docs/webhooks.md.
    """
    from services.notification.webhooks import endpoints
    from services.notification.webhooks.target import gate_of

    wanted = [kind.strip() for kind in types.split(",") if kind.strip()]
    with _database(loaded) as connection:
        made = endpoints.add(
            connection, endpoints.sealer_of(loaded.settings), gate_of(loaded.settings), partner, url, wanted, _now()
        )
    if as_json:
        output.print_json({"endpoint": made.endpoint_id, "secret": made.secret})
        return
    print(f"endpoint  {made.endpoint_id}\nsecret    {made.secret}")
    output.note(f"Keep the secret: it is not shown again. Try it: ./staffel webhooks test {made.endpoint_id}")


@webhooks.command(
    "list", epilog=ending("./staffel webhooks list", "./staffel webhooks list --partner P-1001 --json", exits=_EXITS)
)
@takes_settings("data")
def list_endpoints(
    loaded: Loaded,
    partner: Annotated[Optional[str], typer.Option("--partner", help="Only this partner's.")] = None,  # noqa: UP045
    as_json: JsonFlag = False,
) -> None:
    """Show the endpoints and how they do.

    Whose and where they are, what waits, what was given up, when something last came through. Never their secrets.
    """
    from services.notification.webhooks import endpoints

    with _database(loaded) as connection:
        found = endpoints.overview(connection, partner)
    if as_json:
        output.print_json({"endpoints": found})
    elif not found:
        output.note("no endpoint; enter one with ./staffel webhooks add PARTNER URL")
    else:
        headers = ("ENDPOINT", "PARTNER", "STATE", "WAITING", "FAILED", "LAST DELIVERED (UTC)", "URL")
        print(output.table(headers, [_endpoint_line(row) for row in found]))
        for row in found:
            if row["disabled_reason"]:
                print(f"\n{row['id']} was disabled {_moment(row['disabled_at'])} UTC: {row['disabled_reason']}")


@webhooks.command(epilog=ending("./staffel webhooks remove ep_1f2e3d4c5b6a7988", exits=_EXITS))
@takes_settings("data")
def remove(
    loaded: Loaded,
    endpoint: Endpoint,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Forget an endpoint, after asking.

    Its secret goes with it, and all that was sent or waits to be sent there.
    """
    from services.notification.webhooks import endpoints

    with _database(loaded) as connection:
        found = endpoints.find(connection, endpoint)
    if not yes:
        typer.confirm(f"Remove {endpoint} of partner {found.partner_id} ({found.url})?", abort=True, err=True)
    with _database(loaded) as connection:
        endpoints.remove(connection, endpoint)
    print(f"{endpoint} is removed")


@webhooks.command(epilog=ending("./staffel webhooks enable ep_1f2e3d4c5b6a7988", exits=_EXITS))
@takes_settings("data")
def enable(loaded: Loaded, endpoint: Endpoint) -> None:
    """Send to a disabled endpoint again.

    What has waited meanwhile goes out at once. What was given up before is sent by a replay alone.
    """
    from services.notification.webhooks import endpoints

    with _database(loaded) as connection:
        waiting = endpoints.enable(connection, endpoint, _now())
        (row,) = (row for row in endpoints.overview(connection) if row["id"] == endpoint)
    print(
        f"{endpoint} is enabled; " + (f"{_deliveries(waiting)} waited and go out now" if waiting else "nothing waited")
    )
    if row["failed"]:
        output.note(
            f"{_deliveries(row['failed'])} had been given up; send again what failed: "
            f"./staffel webhooks replay {endpoint} --failed"
        )


@webhooks.command(
    epilog=ending(
        "./staffel webhooks rotate ep_1f2e3d4c5b6a7988",
        "./staffel webhooks rotate ep_1f2e3d4c5b6a7988 --at-once    # the old one has leaked",
        exits=_EXITS,
    )
)
@takes_settings("data")
def rotate(
    loaded: Loaded,
    endpoint: Endpoint,
    at_once: Annotated[bool, typer.Option("--at-once", help="The old secret signs nothing any more.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Give an endpoint a new secret.

    It is printed this once. For a day the old one signs beside it, so that the receiver can change when it suits him.
    """
    from services.notification.webhooks import endpoints

    overlap = timedelta() if at_once else endpoints.OVERLAP
    with _database(loaded) as connection:
        made = endpoints.rotate(connection, endpoints.sealer_of(loaded.settings), endpoint, _now(), overlap)
    if as_json:
        output.print_json({"endpoint": endpoint, "secret": made})
        return
    print(f"secret    {made}")
    until = "The old one is void." if at_once else "Until this time tomorrow the old one signs beside it."
    output.note(f"Keep it: it is not shown again. {until}")


@webhooks.command("test", epilog=ending("./staffel webhooks test ep_1f2e3d4c5b6a7988", exits=_EXITS))
@takes_settings("data")
def ping(
    loaded: Loaded,
    endpoint: Endpoint,
    wait: Annotated[int, typer.Option("--wait", metavar="SECONDS", min=0, help="For its answer.")] = _WAIT_SECONDS,
    as_json: JsonFlag = False,
) -> None:
    """Send a ping and say what was answered.

    The notification service must run: it is what sends. Ends with 0 if the endpoint took it.
    """
    from services.kit.database import reading
    from services.notification.webhooks import deliveries

    until = time.monotonic() + wait
    with _engine(loaded) as engine:
        with engine.begin() as connection:
            number = deliveries.ping(connection, endpoint, _now())
        while True:
            with reading(engine).connect() as connection:
                (found,) = (row for row in deliveries.log(connection, endpoint) if row["number"] == number)
            if found["attempts"] or time.monotonic() > until:
                break
            time.sleep(0.2)
    if as_json:
        output.print_json(found)
    if not found["attempts"]:
        raise StaffelError(
            "the ping is queued and was not sent yet",
            "is the notification service running? see ./staffel status",
            Exit.NOT_READY,
            "not-ready",
        )
    attempt = found["attempts"][-1]
    if not as_json:
        print(_attempt(attempt))
    if found["state"] != "delivered":
        raise typer.Exit(Exit.FAILED)


@webhooks.command(
    epilog=ending(
        "./staffel webhooks deliveries ep_1f2e3d4c5b6a7988",
        "./staffel webhooks deliveries ep_1f2e3d4c5b6a7988 --limit 500 --json",
        exits=_EXITS,
    )
)
@takes_settings("data")
def deliveries(
    loaded: Loaded,
    endpoint: Endpoint,
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, max=10_000, help="How many at most.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show what was sent and what was answered.

    The latest deliveries first; with --json each with all its attempts: when, status, duration, what it said.
    """
    from services.notification.webhooks import deliveries as log

    with _database(loaded) as connection:
        found = log.log(connection, endpoint, limit)
    if as_json:
        output.print_json({"endpoint": endpoint, "deliveries": found})
    elif not found:
        output.note("nothing was to be sent there yet")
    else:
        headers = ("DELIVERY", "NOTED (UTC)", "TYPE", "STATE", "TRIES", "WHAT IT SAID LAST")
        print(output.table(headers, [_delivery_line(row) for row in found]))


@webhooks.command(
    epilog=ending(
        "./staffel webhooks replay ep_1f2e3d4c5b6a7988 --failed",
        "./staffel webhooks replay ep_1f2e3d4c5b6a7988 --since 2026-11-02T00:00:00Z",
        "./staffel webhooks replay ep_1f2e3d4c5b6a7988 --delivery 4711",
        exits=_EXITS,
    )
)
@takes_settings("data")
def replay(
    loaded: Loaded,
    endpoint: Endpoint,
    since: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--since", metavar="INSTANT", help="All that was noted since, in real time, like 2026-11-02."),
    ] = None,
    delivery: Annotated[Optional[int], typer.Option("--delivery", metavar="NUMBER", help="This one.")] = None,  # noqa: UP045
    failed: Annotated[bool, typer.Option("--failed", help="Of these, only what was given up.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many it would be, and do nothing.")] = False,
) -> None:
    """Send deliveries again.

    They keep their ids, so that a receiver who has one already can tell. Ninety days are kept.
    """
    from services.notification.webhooks import deliveries as log

    if since is None and delivery is None and not failed:
        raise UsageError("say what to send again", "--failed, --since INSTANT or --delivery NUMBER")
    instant = parse_instant(since) if since else None
    with _database(loaded) as connection:
        number = log.replay(connection, endpoint, _now(), since=instant, number=delivery, failed_only=failed)
        if dry_run:
            connection.rollback()
    if delivery is not None and not number:
        raise StaffelError(
            f"{endpoint} has no such delivery {delivery}", f"see ./staffel webhooks deliveries {endpoint}"
        )
    print(f"{_deliveries(number)} {'would be' if dry_run else 'will be'} sent again")


@contextmanager
def _database(loaded: Loaded) -> Iterator[Connection]:
    with _engine(loaded) as engine, engine.begin() as connection:
        yield connection


@contextmanager
def _engine(loaded: Loaded) -> Iterator[Engine]:
    from services.kit.database import open_engine
    from services.notification.tables import MIGRATIONS

    engine = open_engine(loaded.settings.notification_db_url, MIGRATIONS)
    try:
        yield engine
    finally:
        engine.dispose()


def _now() -> datetime:
    return RealClock().now()


def _moment(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M}" if instant else "–"


def _deliveries(number: int) -> str:
    return "1 delivery" if number == 1 else f"{number} deliveries"


def _endpoint_line(row: dict[str, Any]) -> tuple[str, ...]:
    state = output.paint(f"{row['state']:8}", "green" if row["state"] == "enabled" else "red")
    waiting, failed = str(row["pending"]), str(row["failed"])
    return row["id"], row["partner_id"], state, waiting, failed, _moment(row["delivered_at"]), row["url"]


def _delivery_line(row: dict[str, Any]) -> tuple[str, ...]:
    last = _attempt(row["attempts"][-1]) if row["attempts"] else "not sent yet"
    number, noted = str(row["number"]), _moment(row["recorded_at"])
    return number, noted, row["type"], row["state"], str(len(row["attempts"])), last


def _attempt(made: dict[str, Any]) -> str:
    status = f"{made['status']} " if made["status"] is not None else "no answer: "
    return f"{status}{made['said']} ({made['duration_ms']} ms)".replace("  ", " ")
