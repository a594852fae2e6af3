"""Writes the mails that would go out, and sends none."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings
from services.notification import overview
from services.notification.envelope import Unmailable, mailable
from services.notification.sender import Writer
from streams.rules.terms import Programme


class Rehearsed(NamedTuple):
    """How many mails were written, and how many messages can't become one."""

    written: int
    unmailable: int


def rehearse(engine: Engine, settings: Settings, clock: Clock, programme: Programme, folder: Path) -> Rehearsed:
    """Write every pending message as a mail file into the folder. Their rows stay as they are."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # the links in them are personal
    writer = Writer(settings, clock, programme)
    written = unmailable = 0
    for row in overview.due(engine):
        try:
            mail = writer.write(row, mailable(row.email or ""))
        except Unmailable:
            unmailable += 1
            continue
        (folder / f"{row.number:08d}-{row.kind}.eml").write_bytes(mail)
        written += 1
    return Rehearsed(written, unmailable)
