"""The rejects file: refused rows in their original columns, each with its reason, to be mended and imported again."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.runtime.errors import UsageError
from services.kit.csvfile import REJECT_COLUMNS, Refusal, Sheet


class Rejects:
    """Writes refused rows beside their reasons. Readable for the owner alone, since it may hold personal data."""

    def __init__(self, path: Path, source: str, sheet: Sheet) -> None:
        if source != "-" and path.exists() and path.samefile(source):
            raise UsageError(f"{path} is the file to import", "name another file for the rejects")
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise UsageError(f"can't write {path}: {error.strerror}") from None
        # The byte order mark tells spreadsheets that it is UTF-8; bytes that are not go out as they came in.
        self._file = os.fdopen(handle, "w", encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._rows = csv.writer(self._file, delimiter=sheet.delimiter)
        self._rows.writerow([*sheet.columns, *REJECT_COLUMNS])

    def write(self, refusal: Refusal) -> None:
        """Add a row."""
        self._rows.writerow([*refusal.cells, refusal.code, refusal.message, refusal.hint])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
