"""The programme file, for commands."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from deploy.runtime.clock import Clock
from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Settings
from streams.rules.terms import Programme, ProgrammeError, parse


def read_programme(settings: Settings) -> Programme:
    """The programme that the settings name. Raises UsageError saying what is wrong with it."""
    path = Path(settings.programme)
    try:
        return parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"can't read the programme {path}: {reason}", "name one with --programme") from None
    except ProgrammeError as error:
        raise UsageError(
            f"the programme {path} is wrong: {error}", "see programme.toml for one that is right"
        ) from None


def today(programme: Programme, clock: Clock) -> date:
    """The date where the programme is run."""
    return clock.now().astimezone(programme.zone).date()


def money(minor: int, currency: str) -> str:
    """An amount for people, like ``1,250.00 EUR``."""
    whole, rest = divmod(abs(minor), 100)
    return f"{'-' if minor < 0 else ''}{whole:,}.{rest:02d} {currency}"
