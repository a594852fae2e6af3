"""Fetches what the embedded stack is made of from Maven Central, once, against the committed SHA-256 lock.

A file reaches its place in the cache only after its hash was right, so a killed download leaves nothing behind that a
later start would take for whole. The hashes of the jars are checked again at every start.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import filelock
import platformdirs

from deploy.runtime.errors import StaffelError

LOCK = Path(__file__).with_name("jars.lock")
Report = Callable[[str], None]
_MANIFEST = "staffel-manifest"
_ATTEMPTS = 2
_MB = 1_000_000


class Artifact(NamedTuple):
    """A row of the lock."""

    group: str
    name: str
    version: str
    classifier: str
    packaging: str
    sha256: str
    size: int

    @property
    def file(self) -> str:
        classifier = "" if self.classifier == "-" else f"-{self.classifier}"
        return f"{self.name}-{self.version}{classifier}.{self.packaging}"


class Fetched(NamedTuple):
    """What a start needs."""

    kafka_jars: tuple[Path, ...]
    registry: Path


def cache_folder() -> Path:
    """Where downloads are kept: ``STAFFEL_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("STAFFEL_CACHE")
    return Path(chosen).absolute() if chosen else platformdirs.user_cache_path("staffel", appauthor=False)


def read_lock(path: Path = LOCK) -> tuple[Artifact, ...]:
    """The rows of the lock."""
    rows = (line.split() for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#"))
    return tuple(Artifact(row[0], row[1], row[2], row[3], row[4], row[5], int(row[6])) for row in rows)


def fetch(report: Report = lambda _line: None, lock: Path = LOCK) -> Fetched:
    """Make sure that everything is there and right, downloading what is not. Safe for several processes at once.

    ``report`` is called with a line of progress now and then. Raises StaffelError with the way out.
    """
    artifacts = read_lock(lock)
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if _wrong(cache, artifacts):
            with _only_one(cache, report):
                missing = _wrong(cache, artifacts)
                if missing:
                    _download(cache, missing, report)
    except PermissionError as error:
        raise StaffelError(f"can't write to the cache: {error}", "choose another folder with STAFFEL_CACHE") from None
    return Fetched(
        tuple(_place(cache, artifact) for artifact in artifacts if artifact.packaging == "jar"),
        next(_place(cache, artifact) for artifact in artifacts if artifact.packaging == "tar.gz"),
    )


def damage(lock: Path = LOCK) -> list[str]:
    """What in the cache is missing or not what the lock says, by file name; reads every byte."""
    cache = cache_folder()
    found = []
    for artifact in read_lock(lock):
        place = _place(cache, artifact)
        right = _is_right(place, artifact) and (artifact.packaging == "jar" or _tree_is_right(place, by_hash=True))
        if not right:
            found.append(artifact.file)
    return found


def _place(cache: Path, artifact: Artifact) -> Path:
    if artifact.packaging == "jar":
        return cache / "jars" / artifact.file
    return cache / f"{artifact.name}-{artifact.version}-{artifact.sha256[:12]}"


def _wrong(cache: Path, artifacts: Sequence[Artifact]) -> list[Artifact]:
    return [artifact for artifact in artifacts if not _is_right(_place(cache, artifact), artifact)]


def _is_right(place: Path, artifact: Artifact) -> bool:
    if artifact.packaging == "jar":
        return place.is_file() and place.stat().st_size == artifact.size and _sha256(place) == artifact.sha256
    return _tree_is_right(place)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _only_one(cache: Path, report: Report) -> Iterator[None]:
    lock = filelock.FileLock(cache / "fetch.lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        report("another start is fetching; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(cache: Path, missing: Sequence[Artifact], report: Report) -> None:
    total = sum(artifact.size for artifact in missing)
    if shutil.disk_usage(cache).free < 3 * total:
        raise StaffelError(
            f"{3 * total / _MB:.0f} MB are needed in {cache} and not free", "free some, or set STAFFEL_CACHE"
        )
    progress = _Progress(total, len(missing), report)
    for leftover in cache.glob("draft-*"):  # ours alone: the lock is held
        shutil.rmtree(leftover, ignore_errors=True)
    pool = ThreadPoolExecutor(6)
    with tempfile.TemporaryDirectory(prefix="draft-", dir=cache, ignore_cleanup_errors=True) as draft:
        largest_first = sorted(missing, key=lambda artifact: -artifact.size)
        jobs = [pool.submit(_get, artifact, cache, Path(draft), progress) for artifact in largest_first]
        try:
            for job in jobs:
                job.result()
        except BaseException:  # Ctrl-C too: nobody waits for 150 MB that he does not want any more
            progress.cancelled = True
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    report(f"fetched {total / _MB:.0f} MB")


def _get(artifact: Artifact, cache: Path, draft: Path, progress: _Progress) -> None:
    problem: StaffelError | None = None
    for attempt in range(_ATTEMPTS):
        folder = draft / f"{artifact.name}-{attempt}"
        progress.forget(artifact.file)
        try:
            found = _resolve(artifact, folder, progress)
        except StaffelError as error:
            problem = error
            continue
        if found.stat().st_size == artifact.size and _sha256(found) == artifact.sha256:
            progress.arrived(artifact)
            _put(found, _place(cache, artifact), artifact)
            return
        problem = StaffelError(
            f"{artifact.file} arrived with a wrong SHA-256, {_ATTEMPTS} times; it was thrown away",
            "a proxy or mirror may change downloads: check STAFFEL_MAVEN_REPO, or try again later",
            code="bad-download",
        )
    assert problem is not None
    raise problem


def _resolve(artifact: Artifact, folder: Path, progress: _Progress) -> Path:
    import requests
    from jgo.maven import MavenContext, PythonResolver

    mirror = os.environ.get("STAFFEL_MAVEN_REPO")
    context = MavenContext(
        resolver=PythonResolver(progress_callback=progress.file),
        repo_cache=folder,
        remote_repos={"central": mirror.rstrip("/")} if mirror else None,
        timeout=30,
    )
    classifier = "" if artifact.classifier == "-" else artifact.classifier
    wanted = context.project(artifact.group, artifact.name).at_version(artifact.version)
    try:
        found: Path = wanted.artifact(classifier=classifier, packaging=artifact.packaging).resolve()
    except (requests.RequestException, RuntimeError) as error:
        where = mirror or "Maven Central"
        reason = "it is not there" if isinstance(error, RuntimeError) else type(error).__name__
        hint = "the first start needs the network; behind a proxy set HTTPS_PROXY, for a mirror STAFFEL_MAVEN_REPO"
        if isinstance(error, requests.exceptions.SSLError):
            hint = "its certificate is not trusted; behind a proxy that opens TLS, set REQUESTS_CA_BUNDLE"
        raise StaffelError(
            f"{artifact.file} can't be fetched from {where} ({reason})",
            hint,
            code="offline",
        ) from None
    return found


def _put(found: Path, place: Path, artifact: Artifact) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if artifact.packaging == "jar":
        found.replace(place)
        return
    tree = found.parent / "tree"
    with tarfile.open(found) as archive:
        archive.extractall(tree, filter="data")
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    lines = [f"{_sha256(path)} {path.stat().st_size} {path.relative_to(tree)}\n" for path in files]
    (tree / _MANIFEST).write_text("".join(lines), "utf-8")
    if place.exists():
        shutil.rmtree(place)
    tree.replace(place)


def _tree_is_right(tree: Path, by_hash: bool = False) -> bool:
    """Whether an unpacked archive is as it was unpacked: every file's size, or (slow) its hash."""
    manifest = tree / _MANIFEST
    if not manifest.is_file():
        return False
    for line in manifest.read_text("utf-8").splitlines():
        sha256, size, name = line.split(" ", 2)
        path = tree / name
        if not path.is_file() or path.stat().st_size != int(size) or (by_hash and _sha256(path) != sha256):
            return False
    return True


class _Progress:
    """Adds up the bytes of all files under way, and reports once a second."""

    def __init__(self, total: int, files: int, report: Report) -> None:
        self._total, self._report = total, report
        self._bytes: dict[str, int] = {}
        self._next = time.monotonic() + 1
        self.cancelled = False
        report(f"fetching {files} files, {total / _MB:.0f} MB, into {cache_folder()}")

    @contextmanager
    def file(self, name: str, _size: int) -> Iterator[Callable[[int], None]]:
        """What jgo calls for each file."""
        yield partial(self._add, name)

    def forget(self, name: str) -> None:
        """A file begins, perhaps again."""
        self._bytes[name] = 0

    def arrived(self, artifact: Artifact) -> None:
        """A file is whole."""
        if artifact.packaging != "jar":
            self._report(f"unpacking {artifact.file}")

    def _add(self, name: str, count: int) -> None:
        if self.cancelled:
            raise RuntimeError("nobody wants it any more")
        self._bytes[name] += count
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1
            sofar = sum(self._bytes.copy().values())
            self._report(f"fetching {sofar / _MB:.0f} of {self._total / _MB:.0f} MB")
