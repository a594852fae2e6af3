"""Puts a scenario into the stack: the partners at the beginning, and each record when its instant has come."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from deploy.demo.scenario import Moment, Scenario
from deploy.runtime.clock import Clock
from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import Settings
from schemas.events import Partner
from schemas.topics import PARTNERS, SALES
from services.intake.importing import Request
from services.intake.partners import import_partners
from services.kit.sender import Sender, open_codec
from services.payout.bank_checks import Row
from services.payout.bank_details import import_rows
from services.payout.database import open_database


def register(settings: Settings, clock: Clock, scenario: Scenario) -> None:
    """Import those who are registered at the beginning, and the bank details, from files that stay to be looked at."""
    folder = settings.data / "demo"
    folder.mkdir(exist_ok=True)
    partners = [msgspec.to_builtins(partner) for partner in scenario.registered]
    path = _write(folder / "partners.csv", [[_cell(value) for value in p.values()] for p in partners], partners[0])
    summary = import_partners(settings, clock, Request(str(path)))
    _write(folder / "bank-details.csv", scenario.bank_details, scenario.bank_details[0]._asdict())
    rows = [Row(*details) for details in scenario.bank_details]
    outcomes = import_rows(open_database(settings), settings, rows, clock.now())
    refused = summary.refused + sum(outcome.result == "refused" for outcome in outcomes)
    if refused:
        raise StaffelError(f"{refused} of the demo's own rows were refused", f"see {folder}")


class Feed:
    """Sends the moments of a scenario, in a ``with`` block. ``sent`` says how many reports went to ``sales``."""

    def __init__(self, settings: Settings, clock: Clock, moments: Sequence[Moment]) -> None:
        codec = open_codec(settings, [SALES, PARTNERS])
        self._sales = Sender(settings, codec, clock, SALES)
        self._partners = Sender(settings, codec, clock, PARTNERS)
        self._waiting = deque(moments)
        self._open = ExitStack()
        self.sent = 0

    def __enter__(self) -> Self:
        self._open.enter_context(self._sales)
        self._open.enter_context(self._partners)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def send_due(self, now: datetime) -> None:
        """Send every record whose instant has come."""
        while self._waiting and self._waiting[0].at <= now:
            _, key, record = self._waiting.popleft()
            match record:
                case Partner():
                    self._partners.send(key, record)
                    continue
                case bytes():
                    self._sales.send_bytes(key.encode(), record, [])
                case _:
                    self._sales.send(key, record)
            self.sent += 1

    def flush(self) -> None:
        """Wait until the broker has all that was sent."""
        self._sales.flush()
        self._partners.flush()


def _write(path: Path, rows: Iterable[Iterable[str]], header: Iterable[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def _cell(value: object) -> str:
    return "" if value is None else str(value)
