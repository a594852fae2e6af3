"""The folder into which the bank's answers are put, and from which they are read.

A file is read once it has rested: until then it may still be written. What was read goes to ``done``, what can't be
read to ``refused`` with a text beside it that says why. A file that is left lying after its effects (a crash in
between) is read again, and changes nothing.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from deploy.runtime.errors import NotReady
from services.payout.answers.apply import Outcome, take
from services.payout.answers.document import SIZE_MAX
from services.payout.answers.messages import Refused
from services.payout.vault import Vault

DONE = "done"
REFUSED = "refused"
_REST_SECONDS = 2.0


class Found(NamedTuple):
    """What became of a file: an outcome, or why it was refused."""

    name: str
    outcome: Outcome | None
    why: str = ""
    left: str = ""
    """Why it could not be moved away; it is not looked at again until it changes."""


class _Seen(NamedTuple):
    size: int
    changed_ns: int
    since: float


class Folder:
    """Remembers how files looked, so as to know when one has rested."""

    def __init__(self, path: Path, rest_seconds: float = _REST_SECONDS) -> None:
        self.path, self._rest_seconds = path, rest_seconds
        self._seen: dict[str, _Seen] = {}
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise NotReady(
                f"the folder for the bank's answers can't be made: {error.strerror}",
                f"make {path}, or set STAFFEL_BANK_ANSWERS to another",
            ) from None

    def look(self, engine: Engine, vault: Vault, at: datetime, monotonic: float) -> Iterator[Found]:
        """Read what has rested, in the order of the names. ``monotonic`` is real time, in seconds."""
        for name in self._rested(monotonic):
            path = self.path / name
            try:
                content = read_file(path)
            except FileNotFoundError:
                continue  # somebody took it away again
            except (Refused, OSError) as error:
                found = Found(name, None, str(error) if isinstance(error, Refused) else f"{error.strerror}")
            else:
                found = _taken(engine, vault, content, name, at)
            try:
                _put_away(path, found)
            except OSError as error:
                self._seen[name] = self._seen[name]._replace(since=math.inf)
                found = found._replace(left=f"{error.strerror}")
            yield found

    def _rested(self, monotonic: float) -> list[str]:
        present: dict[str, _Seen] = {}
        for entry in os.scandir(self.path) if self.path.is_dir() else ():
            if entry.name.lower().endswith(".xml") and entry.is_file(follow_symlinks=False):
                now = entry.stat(follow_symlinks=False)
                before = self._seen.get(entry.name)
                same = before is not None and before[:2] == (now.st_size, now.st_mtime_ns)
                present[entry.name] = before if before and same else _Seen(now.st_size, now.st_mtime_ns, monotonic)
        self._seen = present
        return sorted(name for name, seen in present.items() if monotonic - seen.since >= self._rest_seconds)


def read_file(path: Path) -> bytes:
    """A file's bytes. Raises Refused, and reads nothing, if it is too large or no ordinary file."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # neither a link elsewhere nor a pipe
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise Refused("this is no ordinary file")
        if about.st_size > SIZE_MAX:
            raise Refused(f"the file is larger than {SIZE_MAX // 1_000_000} MB")
        return file.read(SIZE_MAX + 1)


def refused(path: Path) -> int:
    """How many refused files lie there, for somebody to look at."""
    place = path / REFUSED
    return sum(1 for entry in os.scandir(place) if not entry.name.endswith(".txt")) if place.is_dir() else 0


def _taken(engine: Engine, vault: Vault, content: bytes, name: str, at: datetime) -> Found:
    try:
        return Found(name, take(engine, vault, content, name, at))
    except Refused as refused:
        return Found(name, None, str(refused))


def _put_away(path: Path, found: Found) -> None:
    place = path.parent / (DONE if found.outcome else REFUSED)
    place.mkdir(mode=0o700, exist_ok=True)
    target, number = place / path.name, 1
    while target.exists():
        number += 1
        target = place / f"{path.stem}.{number}{path.suffix}"
    if not found.outcome:
        target.with_name(f"{target.name}.txt").write_text(f"{found.why}\n", "utf-8")
    path.replace(target)
