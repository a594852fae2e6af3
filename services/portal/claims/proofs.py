"""Proofs: files that partners send in. Looked into, scanned, and kept where no address leads."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shlex
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import structlog

from services.portal.claims import look

FILES_MAX = 5
FILE_BYTES_MAX = 10 * 1024 * 1024
MEDIA_TYPES = {"pdf": "application/pdf", "jpg": "image/jpeg", "png": "image/png"}
_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.portal.uploads")
_LOOK_SECONDS, _SCAN_SECONDS = 30, 60
_FILE_NAME_MAX = 100
_PIECE = 256 * 1024
_AT_A_TIME = threading.Semaphore(2)
"""Looking costs a processor: a partner who sends much waits, and nobody else does."""


class NoProof(Exception):
    """A file that is not taken. ``why`` is a code, ``name`` what its sender calls it."""

    def __init__(self, why: str, name: str) -> None:
        super().__init__(why)
        self.why, self.name = why, name


class Sent(NamedTuple):
    """A file as it comes in: what its sender calls it, and its bytes."""

    name: str
    file: BinaryIO


class Proof(NamedTuple):
    """A file that was taken."""

    proof_id: str
    file_name: str
    kind: str
    bytes: int
    sha256: str


class Proofs:
    """The folder of uploads. Names in it are random and say nothing."""

    def __init__(self, folder: Path, scanner: str) -> None:
        """``scanner`` is a command that gets a file's path and answers with its exit code; empty: there is none."""
        self._folder, self._scanner = folder, shlex.split(scanner)

    def take(self, sent: Sequence[Sent]) -> list[Proof]:
        """Take files in, all or none of them. Raises NoProof for the first that is none."""
        taken: list[Proof] = []
        try:
            for one in sent:
                taken.append(self._take(one))  # noqa: PERF401  # what was taken before a failure is removed
        except BaseException:
            self.drop(taken)
            raise
        return taken

    def drop(self, proofs: Sequence[Proof]) -> None:
        """Remove files that nothing refers to."""
        for proof in proofs:
            self.path(proof.proof_id).unlink(missing_ok=True)

    def path(self, proof_id: str) -> Path:
        """Where a file is kept."""
        return self._folder / proof_id[:2] / proof_id

    def _take(self, sent: Sent) -> Proof:
        proof_id, name = secrets.token_hex(16), plain_name(sent.name)
        path = self.path(proof_id)
        try:
            size, digest = _write(path, sent.file, name)
            kind = _looked_at(path, name)
            self._scan(path, name)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Proof(proof_id, name, kind, size, digest)

    def _scan(self, path: Path, name: str) -> None:
        if not self._scanner:
            return
        try:
            done = subprocess.run(
                [*self._scanner, str(path)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SCAN_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            _log.error("the scanner of uploads does not work", reason=type(error).__name__)
            raise NoProof("not-scanned", name) from None
        if done.returncode != 0:
            _log.warning("the scanner of uploads refused a file", exit_code=done.returncode)
            raise NoProof("scanned", name)


def plain_name(name: str) -> str:
    """A file's name without folders, and without what a header or a terminal could take for something else."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c if c.isprintable() and c not in '"<>|;' else "_" for c in last)[-_FILE_NAME_MAX:] or "file"


def _write(path: Path, file: BinaryIO, name: str) -> tuple[int, str]:
    """Copy a file to its place, for the owner's eyes alone. Answers its size and the hash of its content."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as kept:
        while piece := file.read(_PIECE):
            size += len(piece)
            if size > FILE_BYTES_MAX:
                raise NoProof("too-large", name)
            digest.update(piece)
            kept.write(piece)
        kept.flush()
        os.fsync(kept.fileno())
    if not size:
        raise NoProof("empty", name)
    return size, digest.hexdigest()


def _looked_at(path: Path, name: str) -> str:
    """The file's kind, from its content."""
    command = [sys.executable, "-I", look.__file__, str(path)]
    with _AT_A_TIME:
        try:
            done = subprocess.run(command, capture_output=True, timeout=_LOOK_SECONDS, check=False, env={})
            found = json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError):  # it hung, or was ended for what it took
            raise NoProof("broken", name) from None
    if "refused" in found:
        raise NoProof(found["refused"], name)
    return str(found["kind"])
