"""Commands that start, stop and clear a stack, run one process of it, or move its clock."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import threading
import time
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, reload, takes_settings
from deploy.cli.output import ending
from deploy.runtime.errors import Exit, StaffelError, UsageError
from deploy.runtime.settings import Loaded, Port

app = typer.Typer(rich_markup_mode=None)

_STOP_SECONDS = 10


@app.command(
    epilog=ending(
        "./staffel up",
        "./staffel up --data /tmp/try --port-base 9000 --clock 2026-10-01T00:00:00Z --clock-rate 1000",
        exits=(Exit.NOT_READY,),
    )
)
@takes_settings("data", "port_base", "programme", "clock", "clock_rate", "workers")
def up(
    loaded: Loaded,
    as_json: JsonFlag = False,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Use a temporary folder, removed at the end.")] = False,
    no_processes: Annotated[
        bool, typer.Option("--no-processes", help="Only Kafka, registry and mail; run the processes yourself.")
    ] = False,
) -> None:
    """Start everything on this machine and keep it running until Ctrl-C.

    Kafka, schema registry and mail catcher are started unless a setting names a real one. The first start fetches
    them (204 MB) into the user's cache folder. Data stays in the data folder; the next start goes on with it.
    """
    if ephemeral:
        with tempfile.TemporaryDirectory(prefix="staffel-") as folder:
            _up(reload(loaded, data=folder), as_json, no_processes, "temporary, removed at the end")
    else:
        _up(loaded, as_json, no_processes, "stays until ./staffel clean")


def _up(loaded: Loaded, as_json: bool, no_processes: bool, fate: str) -> None:
    begun = time.monotonic()
    print(f"Staffel {output.version()} starts; its data: {loaded.settings.data} ({fate})", file=sys.stderr, flush=True)
    from deploy.embedded.stack import SERVICES, Stack

    stack = Stack(
        loaded, services=() if no_processes else tuple(SERVICES), report=lambda line: output.note(f"  {line}")
    )
    wanted = _ended_by_signal(stack)
    stack.start()
    try:
        stack.wait_ready()
        seconds = time.monotonic() - begun
        if as_json:
            output.print_json({"event": "ready", "seconds": round(seconds, 1), **_places(loaded, stack.parts)})
            sys.stdout.flush()
        else:
            print(_banner(loaded, stack.parts, seconds), flush=True)
        while not wanted.wait(0.2) and not stack.over.is_set():
            pass
    finally:
        output.note("stopping …")
        stack.stop()
    if stack.failure:
        raise stack.failure
    output.note("stopped; nothing runs any more")


def _ended_by_signal(stack: Any) -> threading.Event:
    """Set by the first Ctrl-C or SIGTERM. While the stack is still starting that one breaks off; the next one kills."""
    wanted = threading.Event()

    def handle(_number: int, _frame: Any) -> None:
        if wanted.is_set():
            stack.kill_all()
            return
        wanted.set()
        if not stack.ready:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handle)
    return wanted


def _places(loaded: Loaded, parts: list[str]) -> dict[str, Any]:
    from deploy.embedded.stack import processes
    from services.kit.links import Invitation, link_for

    settings = loaded.settings
    return {
        "portal": settings.public_url,
        "programme_page": link_for(settings, Invitation("staff", "")),
        "inbox": f"http://127.0.0.1:{settings.port(Port.INBOX)}/" if "mail" in parts else None,
        "kafka": settings.kafka,
        "registry": settings.registry_url,
        "smtp": settings.smtp_url.rpartition("@")[2] if "@" in settings.smtp_url else settings.smtp_url,
        "metrics": {
            name: f"http://127.0.0.1:{settings.port(port)}/metrics" for name, (_, port) in processes(settings).items()
        },
        "data": str(settings.data.resolve()),
    }


def _banner(loaded: Loaded, parts: list[str], seconds: float) -> str:
    places = _places(loaded, parts)
    settings = loaded.settings
    here = f" --data {settings.data}" if loaded.sources["data"] == "flag" else ""
    metrics = ", ".join(f"{name} :{url.rsplit(':', 1)[1].split('/')[0]}" for name, url in places["metrics"].items())
    rows = [
        ("Programme page", places["programme_page"]),
        ("To act in it", f"./staffel staff add NAME --role approver{here}, then {places['portal']}/sign-in"),
        ("Inbox", places["inbox"] or "(mails go to the mail server of STAFFEL_SMTP_URL)"),
        ("Kafka", places["kafka"]),
        ("Schema registry", places["registry"]),
        ("Metrics", f"{metrics} /metrics"),
        ("Data and logs", places["data"]),
    ]
    if (settings.data / "clock.json").exists():
        from deploy.runtime.clock import open_clock

        rows.append(("Test time", f"{open_clock(settings).now():%Y-%m-%d %H:%M} UTC"))
    lines = [f"{output.paint(name.ljust(16), 'bold')} {value}" for name, value in rows]
    return "\n".join(
        [
            "",
            output.paint(f"Ready after {seconds:.1f} s.", "green"),
            "",
            *lines,
            "",
            "Next, in another terminal:",
            f"  ./staffel status{here}",
            f"  ./staffel partners import partners.csv{here}",
            f"  ./staffel sales import sales.csv{here}",
            "",
            "Ctrl-C stops it.",
        ]
    )


@app.command(epilog=ending("./staffel down", "./staffel down --data /tmp/try"))
@takes_settings("data")
def down(loaded: Loaded) -> None:
    """Stop the stack that runs on a data folder. Its data stays. Fine if none runs."""
    import psutil

    from deploy.embedded.folder import running

    found = running(loaded.settings.data)
    if found is None:
        print(f"no stack runs on {loaded.settings.data}")
        return
    supervisor = psutil.Process(found.pid)
    supervisor.terminate()
    if not _ended(loaded.settings.data):
        supervisor.kill()  # its children end with it
        _ended(loaded.settings.data)
    print(f"stopped the stack on {loaded.settings.data} (pid {found.pid})")


def _ended(data: Path) -> bool:
    """Wait some seconds until no stack runs there. Whether its parent has taken note of its end is not our business."""
    from deploy.embedded.folder import running

    deadline = time.monotonic() + _STOP_SECONDS
    while running(data) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@app.command(epilog=ending("./staffel clean", "./staffel clean --yes --cache"))
@takes_settings("data")
def clean(
    loaded: Loaded,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    cache: Annotated[
        bool, typer.Option("--cache", help="The downloads too; the next start fetches them again.")
    ] = False,
) -> None:
    """Delete a stack's data folder: its Kafka, registry, databases, mails, payment files and logs."""
    from deploy.embedded.fetch import cache_folder
    from deploy.embedded.folder import is_ours, running

    data = loaded.settings.data
    found = running(data)
    if found:
        raise StaffelError(f"a stack runs on {data} (pid {found.pid})", "stop it first: ./staffel down")
    folders = [folder for folder in [data, *([cache_folder()] if cache else [])] if folder.exists()]
    if not folders:
        print("nothing to delete")
        return
    if data in folders and not is_ours(data):
        raise UsageError(f"{data} does not look like a stack's data folder", "delete it yourself if it is one")
    for folder in folders:
        print(f"{_megabytes(folder):8.1f} MB  {folder.resolve()}")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is there to be asked", "say --yes")
        typer.confirm("Delete this for good?", abort=True)
    for folder in folders:
        shutil.rmtree(folder)
    print("deleted")


def _megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


class Move(StrEnum):
    """How to move a clock."""

    ADVANCE = "advance"
    TO = "to"


@app.command(epilog=ending("./staffel clock", "./staffel clock advance 14d", "./staffel clock to 2027-01-01T00:00:00Z"))
@takes_settings("data")
def clock(
    loaded: Loaded,
    move: Annotated[Move | None, typer.Argument(help="Move it: advance by a span, or to an instant.")] = None,
    target: Annotated[str, typer.Argument(help="90m, 36h, 14d, 2w; or an instant, UTC unless it says a zone.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Show a stack's clock, or move its test clock forward. Only a stack started with --clock has one."""
    from deploy.runtime.clock import advance, clock_file, open_clock, parse_instant

    settings = reload(loaded, clock="", clock_rate=1.0).settings  # looking must not make a clock
    if move and not target:
        raise UsageError(f"clock {move} wants a {'span' if move is Move.ADVANCE else 'instant'}", "e.g. 14d")
    if move is Move.ADVANCE:
        advance(settings, by=_span(target))
    elif move is Move.TO:
        advance(settings, to=parse_instant(target))
    is_test = clock_file(settings).exists()
    found = open_clock(settings)
    if as_json:
        output.print_json({"now": found.now().isoformat(), "test": is_test, "rate": found.rate})
    else:
        kind = f"test time, {found.rate:g} times as fast" if is_test else "real time"
        print(f"{found.now():%Y-%m-%d %H:%M:%S} UTC, {kind}")


def _span(text: str) -> timedelta:
    units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdecimal():
        raise UsageError(f"{text!r} is not a span of time", "write it like 90m, 36h, 14d or 2w")
    return timedelta(**{units[unit]: int(number)})


@app.command(epilog=ending('eval "$(./staffel env)" && echo "$KAFKA_BOOTSTRAP_SERVERS"'))
@takes_settings("data", "port_base")
def env(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Print the addresses of a stack as export lines, for other tools and for further ./staffel commands."""
    import shlex

    settings = loaded.settings
    found = {
        "STAFFEL_DATA": str(settings.data.resolve()),
        "STAFFEL_PORT_BASE": str(settings.port_base),
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka,
        "SCHEMA_REGISTRY_URL": settings.registry_url,
        "PORTAL_URL": settings.public_url,
        "INBOX_URL": f"http://127.0.0.1:{settings.port(Port.INBOX)}/",
    }
    for name in ("smtp_url", "portal_db_url", "notification_db_url", "payout_db_url"):
        if loaded.sources[name] == "derived":  # another one may hold a password
            found[name.upper()] = getattr(reload(loaded, data=settings.data.resolve()).settings, name)
    if as_json:
        output.print_json(found)
    else:
        print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in found.items()))


def _run_module(name: str, loaded: Loaded) -> None:
    """Become one of our processes: same pid, so that a service manager's signals arrive."""
    import os

    from deploy.embedded.stack import SERVICES, environment

    module, _ = SERVICES[name]
    command = [sys.executable, "-P", "-m", module]
    sys.stdout.flush()
    os.execve(command[0], command, dict(environment(loaded)))  # noqa: S606


_PROCESS_EXITS = (Exit.NOT_READY,)


@app.command(epilog=ending("./staffel worker --data /var/lib/staffel", exits=_PROCESS_EXITS))
@takes_settings("data", "port_base", "worker_port", "programme")
def worker(loaded: Loaded) -> None:
    """Run one stream processor until SIGTERM or Ctrl-C. Several share the partitions (own --worker-port each)."""
    _run_module("worker", loaded)


@app.command(
    epilog=ending("./staffel notification", "./staffel notification --dry-run --out /tmp/mails", exits=_PROCESS_EXITS)
)
@takes_settings()
def notification(
    loaded: Loaded,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: write the mails that wait to be sent as files, and end.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for these files [default: DATA/dry-run].")
    ] = None,
) -> None:
    """Run the service that mails partners, until SIGTERM or Ctrl-C."""
    if dry_run:
        _rehearse_mails(loaded, out or loaded.settings.data / "dry-run")
    elif out is not None:
        raise UsageError("--out says where a dry run writes to", "add --dry-run")
    else:
        _run_module("notification", loaded)


def _rehearse_mails(loaded: Loaded, folder: Path) -> None:
    from deploy.runtime.clock import open_clock
    from deploy.runtime.programme import read_programme
    from services.notification.overview import database
    from services.notification.rehearsal import rehearse
    from streams.rules.terms import parse

    programme = read_programme(loaded.settings, parse)
    with database(loaded.settings) as engine:
        done = rehearse(engine, loaded.settings, open_clock(loaded.settings), programme, folder)
    print(f"{done.written} mail{'' if done.written == 1 else 's'} written to {folder}; nothing was sent")
    if done.unmailable:
        output.note(f"{done.unmailable} messages can't become a mail: no address that mail can be sent to")


@app.command(epilog=ending("./staffel payout", exits=_PROCESS_EXITS))
@takes_settings()
def payout(loaded: Loaded) -> None:
    """Run the service that owes and pays the rebates, until SIGTERM or Ctrl-C."""
    _run_module("payout", loaded)


@app.command(epilog=ending("./staffel portal --listen 0.0.0.0", exits=_PROCESS_EXITS))
@takes_settings()
def portal(loaded: Loaded) -> None:
    """Run the partner portal until SIGTERM or Ctrl-C."""
    _run_module("portal", loaded)
