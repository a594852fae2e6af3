"""``status``: whether each part of the stack is up and ready, asked for real."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded, Port

app = typer.Typer(rich_markup_mode=None)


class Asked(NamedTuple):
    """A part, where it is, and what keeps it from being used."""

    part: str
    address: str
    trouble: str | None


@app.command(epilog=ending("./staffel status", "./staffel status --json", exits=(Exit.NOT_READY,)))
@takes_settings("data", "port_base")
def status(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Ask each part whether it is ready: the broker, the registry, the mail server, our processes.

    Ends with 0 only if all are.
    """
    found = ask(loaded)
    ready = all(asked.trouble is None for asked in found)
    if as_json:
        parts = [
            {"part": a.part, "address": a.address, "ready": a.trouble is None, "trouble": a.trouble} for a in found
        ]
        output.print_json({"ready": ready, "parts": parts})
    else:
        print(output.table(("PART", "STATE", "WHERE", "WHAT IS WRONG"), [_line(asked) for asked in found]))
    if not ready:
        if not as_json and all(asked.trouble for asked in found):
            output.note("nothing runs here; start it with ./staffel up, or name its folder with --data")
        raise typer.Exit(Exit.NOT_READY)


def ask(loaded: Loaded) -> list[Asked]:
    """Ask all parts at once."""
    from deploy.embedded import trouble
    from deploy.embedded.stack import processes

    settings = loaded.settings
    has_inbox = loaded.sources["smtp_url"] == "derived"
    smtp = settings.smtp_url.rpartition("@")[2].removeprefix("smtp://")
    questions: list[tuple[str, str, Callable[[], str | None]]] = [
        ("kafka", settings.kafka, partial(trouble.kafka, settings)),
        ("registry", settings.registry_url, partial(trouble.registry, settings)),
        ("mail", smtp, partial(trouble.inbox if has_inbox else trouble.mail, settings)),
    ]
    for name, (_module, port) in processes(settings).items():
        address = f"http://127.0.0.1:{settings.port(port)}/healthz"
        questions.append((name, _page(loaded, name) or address, partial(trouble.page, address)))
    with ThreadPoolExecutor(len(questions)) as pool:
        answers = list(pool.map(lambda question: question[2](), questions))
    return [Asked(part, address, answer) for (part, address, _), answer in zip(questions, answers, strict=True)]


def _page(loaded: Loaded, name: str) -> str:
    return f"http://127.0.0.1:{loaded.settings.port(Port.PORTAL)}/" if name == "portal" else ""


def _line(asked: Asked) -> tuple[str, ...]:
    state = output.paint("ready    ", "green") if asked.trouble is None else output.paint("not ready", "red")
    return asked.part, state, asked.address, asked.trouble or ""
