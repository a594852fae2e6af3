"""``topics create``, ``topics show``, ``topics mend`` and ``replay``."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded

app = typer.Typer(rich_markup_mode=None)
topics = typer.Typer(rich_markup_mode=None, help="Create, show or mend the Kafka topics.")
app.add_typer(topics, name="topics")


@topics.command("create", epilog=ending("./staffel topics create", exits=(Exit.NOT_READY,)))
@takes_settings("data", "port_base", "kafka", "registry_url", "partitions", "replication")
def create(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Create the topics that are missing and register the schemas. Safe to repeat."""
    from services.intake import topics as intake

    created = intake.create(loaded.settings)
    if as_json:
        output.print_json({"created": created})
    else:
        print("\n".join([*(f"created {name}" for name in created), "all topics are there, all schemas registered"]))


@topics.command("show", epilog=ending("./staffel topics show", exits=(Exit.NOT_READY, Exit.DIFFERS)))
@takes_settings("data", "port_base", "kafka", "partitions", "replication")
def show(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Show the topics beside what they should be."""
    from services.intake import topics as intake

    found = intake.show(loaded.settings)
    if as_json:
        rows = [
            {
                "topic": row.name,
                "key": row.topic.key,
                "events": [event.__name__ for event in row.topic.events],
                "writer": row.topic.writer,
                "readers": list(row.topic.readers),
                "compacted": row.topic.compacted,
                "partitions": row.partitions,
                "replication": row.replication,
                "differences": list(row.differences),
            }
            for row in found
        ]
        output.print_json({"topics": rows})
    else:
        cells: list[tuple[str, ...]] = [
            (
                row.name,
                str(row.partitions),
                str(row.replication),
                "compact" if row.topic.compacted else "keep",
                row.topic.writer,
                "; ".join(row.differences) or "as it should be",
            )
            for row in found
        ]
        print(output.table(("topic", "partitions", "replicas", "cleanup", "written by", "state"), cells))
    if any(row.differences for row in found):
        raise typer.Exit(Exit.DIFFERS)


@topics.command("mend", epilog=ending("./staffel topics mend", exits=(Exit.NOT_READY,)))
@takes_settings("data", "port_base", "kafka")
def mend(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Bring the settings of the topics that are there in line with the table: retention, cleanup, sizes.

    Nothing is read, moved or deleted. What the table says nothing of stays as it is; partitions and replicas are not
    touched.
    """
    from services.intake import topics as intake

    changed = intake.mend(loaded.settings)
    if as_json:
        output.print_json({"changed": changed})
    else:
        print("\n".join(changed) or "all topics are set as they should be")


@app.command("replay", epilog=ending("./staffel replay --dry-run", "./staffel replay", exits=(Exit.NOT_READY,)))
@takes_settings("data", "port_base")
def replay(
    loaded: Loaded,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent back, and send nothing.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also those that will only be put aside again.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send dead letters back to ``sales``, bytes untouched, once each.

    A letter goes back if the cause lay around it and is gone: its schema is known now, say. The stream counts a sale
    once however often it comes.
    """
    from services.kit import deadletters

    settings = loaded.settings
    outcome = deadletters.replay(settings, open_clock(settings), everything=everything, dry_run=dry_run)
    if as_json:
        output.print_json({"dry_run": dry_run, **outcome.letters, "reasons": dict(outcome.reasons)})
        return
    found = outcome.letters
    start = "dry run, nothing was sent; the real run would give: " if dry_run else ""
    print(
        f"{start}{found[deadletters.REPLAYED]} sent back, {found[deadletters.ALREADY]} were sent back before, "
        f"{found[deadletters.HOPELESS]} stay: they would be put aside again"
    )
