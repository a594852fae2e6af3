"""Flags for commands: those of the settings' table, and ``--json``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Loaded, Settings, load

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
By = Annotated[
    str, typer.Option("--by", metavar="NAME", help="Who you are: it is recorded [default: STAFFEL_OPERATOR].")
]

_SHOWN = ("data", "port_base", "programme", "clock", "clock_rate")
_KINDS = {Path: Optional[Path], int: Optional[int], float: Optional[float]}  # noqa: UP045  # typer reads these


def takes_settings(*shown: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: the command gets a flag for each setting and, as ``loaded``, what ``settings.load`` makes of them.

    Help shows the flags named in ``shown``; the others work too. Secrets have no flag: a process list shows flags to
    everybody. Of a setting that the command has a parameter of its own for, the command's wins.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "loaded"]
        taken = {parameter.name for parameter in own}
        rows = [row for row in fields(Settings) if not row.metadata["secret"] and row.name not in taken]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            flags = {row.name: given.pop(row.name) for row in rows}
            command(loaded=_as_running(load(flags)), **given)

        parameters = [*own, *(_flag(row, row.name in (shown or _SHOWN)) for row in rows)]
        vars(run)["__signature__"] = signature.replace(parameters=parameters)
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del vars(run)["__wrapped__"]  # typer would read the original's annotations
        return run

    return decorate


def who(loaded: Loaded, by: str) -> str:
    """Who gives this order, as ``--by`` or the settings say. Raises UsageError if neither does."""
    name = by.strip() or loaded.settings.operator.strip()
    if not name or not name.isprintable():
        raise UsageError("this is recorded under your name", "add --by NAME, or set STAFFEL_OPERATOR")
    return name


def reload(loaded: Loaded, **changed: Any) -> Loaded:
    """The same settings with some changed, and what follows from these too."""
    said = {name: source for name, source in loaded.sources.items() if source not in ("default", "derived")}
    again = load({name: getattr(loaded.settings, name) for name in said} | changed)
    unchanged = {name: source for name, source in said.items() if name not in changed}
    return Loaded(again.settings, {**again.sources, **unchanged})


def _as_running(loaded: Loaded) -> Loaded:
    """What nobody said is as the stack was told that runs on the data folder, so ``--data`` alone finds all of it."""
    if not (loaded.settings.data / "run" / "stack.json").exists():
        return loaded
    from deploy.embedded.folder import running

    found = running(loaded.settings.data)
    unsaid = {name for name, source in loaded.sources.items() if source in ("default", "derived")}
    told = {name: value for name, value in found.settings.items() if name in unsaid} if found else {}
    if not told:
        return loaded
    again = reload(loaded, **told)
    return Loaded(again.settings, {**again.sources, **dict.fromkeys(told, "the running stack")})


def _flag(row: Field[Any], shown: bool) -> inspect.Parameter:
    name = "--" + row.name.replace("_", "-")
    default = f" [default: {row.default}]" if row.default not in ("", 1.0) else ""
    names = [f"{name}/--no-{name[2:]}"] if isinstance(row.default, bool) else [name]
    option = typer.Option(*names, help=row.metadata["help"] + default, hidden=not shown, show_default=False)
    kind = Optional[bool] if isinstance(row.default, bool) else _KINDS.get(type(row.default), Optional[str])  # noqa: UP045
    if isinstance(row.default, Path):
        kind = _KINDS[Path]
    return inspect.Parameter(row.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])
