"""Reads the programme file that the portal shows."""

from __future__ import annotations

from pathlib import Path

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Settings
from streams.rules.terms import Programme, ProgrammeError, parse


def load_programme(settings: Settings) -> Programme:
    """Read the programme of these settings. Raises UsageError naming what is wrong with it."""
    path = Path(settings.programme)
    try:
        return parse(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"can't read the programme {path}: {error.strerror}", "name one with --programme") from None
    except ProgrammeError as error:
        raise UsageError(f"the programme {path} is wrong: {error}") from None
