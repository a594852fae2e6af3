"""Payment files on disk. What the database holds is what counts; a file is written from it, once.

A file that was written and is gone was handed to the bank: it is not written again, or a folder that a bank's software
empties would fill up at every start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import Connection, Engine, select, update

from deploy.runtime.errors import StaffelError
from services.kit.files import write
from services.payout.states import UNRELEASED, RunKind
from services.payout.tables import run_files, runs
from services.payout.vault import Vault

_SUFFIX = {RunKind.SEPA: ".xml", RunKind.CSV: ".csv"}


def write_released(engine: Engine, vault: Vault, folder: Path) -> list[Path]:
    """Write the files of released runs that were not written yet; answers which."""
    with engine.connect() as connection:
        waiting = connection.execute(
            select(runs.c.msg_id, runs.c.kind, run_files.c.sealed, run_files.c.sha256)
            .join(run_files, run_files.c.msg_id == runs.c.msg_id)
            .where(runs.c.written.is_(False), runs.c.state.not_in(UNRELEASED))
            .order_by(runs.c.day)
        ).all()
    written = []
    for msg_id, kind, sealed, sha256 in waiting:
        content = _opened(vault, msg_id, sealed, sha256)
        path = folder / name_of(msg_id, RunKind(kind))
        write(path, content)
        with engine.begin() as connection:
            connection.execute(update(runs).where(runs.c.msg_id == msg_id).values(written=True))
        written.append(path)
    return written


def name_of(msg_id: str, kind: RunKind) -> str:
    """What a run's file is called."""
    return f"{msg_id}{_SUFFIX[kind]}"


def content_of(connection: Connection, vault: Vault, msg_id: str) -> bytes:
    """The bytes of a run's file, as they were prepared. Raises StaffelError if there is no such run."""
    row = connection.execute(select(run_files).where(run_files.c.msg_id == msg_id)).first()
    if row is None:
        raise StaffelError(f"there is no run {msg_id!r}", "see ./staffel runs list", code="unknown-run")
    return _opened(vault, msg_id, row.sealed, row.sha256)


def unknown(folder: Path, known: Collection[str]) -> list[str]:
    """Ids of payment files in the folder that no run of ours made."""
    found = (path.stem for suffix in _SUFFIX.values() for path in folder.glob(f"RB-*{suffix}"))
    return sorted(stem for stem in found if stem not in known)


def _opened(vault: Vault, msg_id: str, sealed: bytes, sha256: str) -> bytes:
    content = vault.open(sealed, msg_id)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise StaffelError(f"the stored payment file {msg_id} is not what was prepared", "nothing was written")
    return content
