"""``chaos``: break a stack of its own on purpose, and prove that nothing was lost."""

from __future__ import annotations

import random
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag
from deploy.cli.output import ending
from deploy.runtime.errors import Exit

if TYPE_CHECKING:
    from deploy.chaos.run import Report

app = typer.Typer(rich_markup_mode=None)
_SHOWN_AT_MOST = 20


@app.command(
    epilog=ending(
        "./staffel chaos",
        "./staffel chaos --minutes 20 --seed 7",
        "./staffel chaos --minutes 1 --seed 4711 --workers 2 --json",
    )
)
def chaos(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long things are broken.")] = 5,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="What is drawn by chance follows from it [default: another one each time]."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=4, help="Workers at the beginning.")] = 3,
    port_base: Annotated[int, typer.Option("--port-base", help="First of the fifty ports that it uses.")] = 18400,
    as_json: JsonFlag = False,
) -> None:
    """Break things while sales flow, then prove from outside that each sale counted once and each event was told once.

    Runs on a broker, a registry and workers of its own in a temporary folder; touches nothing else. Ten producers (each
    compression, plain and transactional) report, repeat, contradict, take back, abort and misdirect sales all the time,
    and partners register and leave. Meanwhile, by chance but following from the seed:

    \b
    - workers are killed, asked to end, paused until they have lost their partitions, given a full disk, added, removed;
    - the broker and the registry are killed and come back;
    - records come that can't be read, and strangers' transactions stand open on the stream's state;
    - the clock jumps over weeks and the ends of quarters.

    A full disk is one on which no file of the process can grow (a limit that needs no rights; Linux only). The seed
    gives the same faults in the same order; processes and the network keep their own time, so what they hit differs.

    In the end everything is left in peace until all is applied, and the topics are read: tallies recounted by the
    auditor, each record accounted for, tier changes, summaries and closes each once and without gaps; a new worker
    restores from Kafka alone, and the same is proved again. Exit code 1 if anything is wrong; logs and data are then
    kept.
    """
    from deploy.chaos.run import run

    chosen = random.SystemRandom().randrange(100_000) if seed is None else seed
    note = (lambda _line: None) if as_json else output.note
    note(f"seed {chosen}, {minutes:g} minutes, {workers} workers")
    report = run(minutes * 60, chosen, workers, port_base, note)
    if as_json:
        output.print_json({**report._asdict(), "healthy": not report.wrong})
    else:
        print(_table(report))
        _judge(report, minutes)
    if report.wrong:
        raise typer.Exit(Exit.FAILED)


def _table(report: Report) -> str:
    parts = [("Done", report.faults), ("Sent", report.sent), (f"Ends of {report.starts} workers", report.endings)]
    rows = [(title, what[:60], f"{number:,}") for title, counts in parts for what, number in sorted(counts.items())]
    for what, seconds in report.take_overs.items():
        if seconds:
            text = (
                f"{median(seconds):.1f} s median, {max(seconds):.1f} s at most, of {len(seconds)} with nothing beside"
            )
            rows.append(("Up to date again after", what, text))
    rows += [("Looked at", what, f"{number:,}") for what, number in report.looked_at.items()]
    shown = [(title if i == 0 or rows[i - 1][0] != title else "", *rest) for i, (title, *rest) in enumerate(rows)]
    return "\n" + output.table(("", "what", "how many"), [tuple(row) for row in shown])


def _judge(report: Report, minutes: float) -> None:
    if not report.wrong:
        print(output.paint(f"\nnothing is wrong (seed {report.seed})", "green"))
        return
    print(output.paint(f"\n{len(report.wrong)} things are wrong (seed {report.seed}):", "red"))
    print("\n".join(f"  {text}" for text in report.wrong[:_SHOWN_AT_MOST]))
    if len(report.wrong) > _SHOWN_AT_MOST:
        print(f"  … and {len(report.wrong) - _SHOWN_AT_MOST:,} more; --json shows all")
    output.note(
        f"logs and data are kept in {report.kept}; again: ./staffel chaos --minutes {minutes:g} --seed {report.seed}"
    )
