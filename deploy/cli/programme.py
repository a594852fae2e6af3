"""The programme, for commands."""

from __future__ import annotations

from datetime import date

from deploy.runtime.clock import Clock
from streams.rules.terms import Programme


def today(programme: Programme, clock: Clock) -> date:
    """The date where the programme is run."""
    return clock.now().astimezone(programme.zone).date()


def money(minor: int, currency: str) -> str:
    """An amount for people, like ``1,250.00 EUR``."""
    whole, rest = divmod(abs(minor), 100)
    return f"{'-' if minor < 0 else ''}{whole:,}.{rest:02d} {currency}"
