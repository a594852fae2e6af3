"""What commands print: errors with their way out, the ends of help texts, JSON, colours."""

from __future__ import annotations

import json
import logging
import os
import sys
import tomllib
import traceback
from pathlib import Path
from typing import Any, TextIO

from deploy.runtime.errors import Exit, StaffelError
from deploy.runtime.settings import ROOT

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "bold": 1, "dim": 2}


def tell(error: StaffelError, as_json: bool = False) -> Exit:
    """Print an error on stderr, with its way out, and answer its exit code."""
    if as_json:
        found = {"code": error.code, "message": error.message, "hint": error.hint}
        print(json.dumps(found, ensure_ascii=False), file=sys.stderr)
        return error.exit_code
    print(f"{paint('error:', 'red', sys.stderr)} {error.message}", file=sys.stderr)
    if error.hint:
        print(f"{paint('hint:', 'cyan', sys.stderr)} {error.hint}", file=sys.stderr)
    return error.exit_code


def apologise(error: Exception, debug: bool, as_json: bool = False) -> Exit:
    """Tell about an error that nobody foresaw; its traceback goes to a file, or with ``--debug`` to stderr."""
    if debug:
        traceback.print_exception(error)
        hint = ""
    else:
        hint = f"the traceback is in {_keep(error)}; ./staffel --debug … shows it here. Please report it."
    summary = (str(error).splitlines() or [""])[0]
    message = f"this should not have happened, sorry: {type(error).__name__}: {summary}"
    return tell(StaffelError(message, hint, code="unexpected"), as_json)


def _keep(error: Exception) -> Path:
    import platformdirs

    path = platformdirs.user_state_path("staffel", appauthor=False, ensure_exists=True) / "last-error.txt"
    path.write_text("".join(traceback.format_exception(error)), "utf-8")
    return path


def ending(*examples: str, exits: tuple[Exit, ...] = (), title: str = "Example") -> str:
    """The end of a help text: examples, and exit codes: ``exits`` and the four that hold for every command."""
    everywhere = (Exit.OK, Exit.FAILED, Exit.USAGE, Exit.INTERRUPTED)
    rows = [f"  {int(code):>3}  {code.meaning}" for code in sorted({*everywhere, *exits})]
    parts = ["\n".join([f"{title}:", *(f"  {example}" for example in examples)])] if examples else []
    parts.append("\n".join(["Exit codes:", *rows]))
    return "\n\n".join("\b\n" + part for part in parts)


def print_json(value: Any) -> None:
    """Print a result for machines, on one line."""
    print(json.dumps(value, ensure_ascii=False, default=str))


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """Colour a text, if the stream (stdout) is a terminal whose user did not say NO_COLOR."""
    stream = sys.stdout if stream is None else stream
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def table(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell; the last one may be any length."""
    widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]

    def line(row: tuple[str, ...]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    return "\n".join([paint(line(headers), "bold"), *(line(row) for row in rows)])


def note(text: str) -> None:
    """Say something on stderr that is neither result nor error."""
    print(text, file=sys.stderr, flush=True)


class Murmurs(logging.Handler):
    """What libraries log while a command runs, for a person: each thing once, and Kafka's absence in plain words."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name == "staffel.kafka" and text.startswith("FAIL"):
            text = "Kafka does not answer; waiting for it …"
        if text not in self._said:
            self._said.add(text)
            note(text)


def version() -> str:
    """The version of this tree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])
