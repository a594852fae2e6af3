"""Files for a spreadsheet: semicolons and decimal commas, as a German one wants them. Written whole or not at all."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from deploy.runtime.errors import UsageError

CRLF = "\r\n"


class Written(NamedTuple):
    """A file that was written."""

    path: Path
    sha256: str


def line(cells: Iterable[object]) -> str:
    """A line of a table, without its end."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=";", lineterminator="").writerow(cells)
    return buffer.getvalue()


def decimal(minor: int) -> str:
    """An amount of cents, like ``-1250,00``."""
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100},{abs(minor) % 100:02d}"


def write(path: Path, lines: Iterable[str], encoding: str = "utf-8-sig", ending: str = CRLF) -> Written:
    """Write a file: by default one that a spreadsheet takes for UTF-8. Raises UsageError if it can't be written."""
    draft, digest = path.with_name(path.name + ".part"), hashlib.sha256()
    encode = codecs.getincrementalencoder(encoding)("replace").encode
    try:
        with draft.open("wb") as file:
            for text in lines:
                content = encode(text + ending)
                digest.update(content)
                file.write(content)
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    return Written(path, digest.hexdigest())
