"""Reads the programme file. What it means is the rules' business: they hand in how to read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Settings

P = TypeVar("P")


def read_programme(settings: Settings, parse: Callable[[str], P]) -> P:
    """What ``parse`` makes of the programme that the settings name. Raises UsageError saying what is wrong with it."""
    path = Path(settings.programme)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"can't read the programme {path}: {reason}", "name one with --programme") from None
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(
            f"the programme {path} is wrong: {error}", "see the shipped programme.toml for one that is right"
        ) from None
