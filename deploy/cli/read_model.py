"""``read-model``: the portal's database, held against the topics, made anew from them, or taken along as Parquet."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.request import urlopen

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.errors import Exit, NotReady, StaffelError
from deploy.runtime.settings import Loaded, Port, Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from services.portal.rebuild import Anew

app = typer.Typer(rich_markup_mode=None)
read_model = typer.Typer(rich_markup_mode=None, help="Check, rebuild or export what the pages are made of.")
app.add_typer(read_model, name="read-model")
_SHOWN_AT_MOST = 20
_WAIT_SECONDS = 30


@read_model.command(epilog=ending("./staffel read-model check", exits=(Exit.NOT_READY, Exit.DIFFERS)))
@takes_settings("data")
def check(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Read all topics again into a database of its own, and compare it row by row with the portal's. Changes nothing.

    The portal may go on meanwhile.
    """
    from services.portal.queries import open_database
    from services.portal.rebuild import differences

    with _anew(loaded.settings) as anew:
        engine = open_database(loaded.settings)
        try:
            _wait_for(anew, engine)
            found = [str(difference) for difference in differences(anew, engine, _progress)]
        finally:
            engine.dispose()
    if as_json:
        output.print_json({"differences": found})
    else:
        print("\n".join(found[:_SHOWN_AT_MOST]) or output.paint("no differences", "green"))
        if len(found) > _SHOWN_AT_MOST:
            print(f"… and {len(found) - _SHOWN_AT_MOST:,} more; --json shows all")
    if found:
        if not as_json:
            output.note("./staffel read-model rebuild puts it right")
        raise typer.Exit(Exit.DIFFERS)


@read_model.command(epilog=ending("./staffel down", "./staffel read-model rebuild", exits=(Exit.NOT_READY,)))
@takes_settings("data")
def rebuild(loaded: Loaded) -> None:
    """Make the portal's read model anew from the topics and put it in place, in one transaction.

    The portal must be stopped, and Kafka must run. Sessions, choices, tokens and the record of who did what stay.
    """
    from services.portal.queries import open_database
    from services.portal.rebuild import put_in_place

    if _answers(loaded.settings):
        raise StaffelError("the portal runs: it would read on from where it was", "stop it first, then try again")
    with _anew(loaded.settings) as anew:
        engine = open_database(loaded.settings)
        try:
            rows = put_in_place(anew.engine, engine)
        finally:
            engine.dispose()
    print(f"the read model is made anew: {rows:,} rows")


@read_model.command(epilog=ending("./staffel read-model export --out analysis", exits=(Exit.NOT_READY,)))
@takes_settings("data")
def export(
    loaded: Loaded,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the Parquet files go.")],
    as_json: JsonFlag = False,
) -> None:
    """Write the read model as Parquet, a file for each table, all of one moment, for tools like pandas and DuckDB."""
    from services.portal.parquet import export as write
    from services.portal.queries import open_database

    engine = open_database(loaded.settings)
    try:
        counts = write(engine, out)
    finally:
        engine.dispose()
    if as_json:
        output.print_json({"folder": str(out), "rows": counts})
    else:
        cells = [(f"{out / name}.parquet", f"{rows:,}") for name, rows in counts.items()]
        print(output.table(("FILE", "ROWS"), cells, {"ROWS"}))


@contextmanager
def _anew(settings: Settings) -> Iterator[Anew]:
    from deploy.runtime.clock import open_clock
    from services.kit.sender import open_codec
    from services.portal.projector import subscriptions
    from services.portal.rebuild import Anew

    codec = open_codec(settings, [subscription.topic for subscription in subscriptions(lambda _: None)])
    with tempfile.TemporaryDirectory(prefix="staffel-read-model-") as folder:
        anew = Anew(settings, open_clock(settings), codec, Path(folder))
        try:
            anew.read(_progress)
            yield anew
        finally:
            anew.close()


def _wait_for(anew: Anew, used: Engine) -> None:
    """Give a portal that reads the time to read what was read here. Raises NotReady if it does not get there."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while behind := anew.ahead_of(used):
        if time.monotonic() > deadline:
            raise NotReady(f"the portal has {behind:,} records still to read", "is it running? see ./staffel status")
        time.sleep(0.1)


def _progress(records: int) -> None:
    if records and records % 100_000 < 2000 and sys.stderr.isatty():
        output.note(f"  {records:,} records read")


def _answers(settings: Settings) -> bool:
    """Whether a portal runs on this machine, ready or not."""
    address = f"http://{settings.listen}:{settings.port(Port.PORTAL_METRICS)}/metrics"
    try:
        with urlopen(address, timeout=2):  # our own address
            return True
    except OSError:
        return False
