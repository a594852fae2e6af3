"""What is fetched is what the lock says, or it is not used."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy.embedded.fetch import damage, fetch, read_lock
from deploy.runtime.errors import StaffelError


class Mirror:
    """A Maven repository on this machine, which may answer something wrong at first."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.wrong_first: dict[str, list[bytes]] = {}
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[1]
                mirror.asked.append(name)
                wrong = mirror.wrong_first.get(name)
                content = wrong.pop(0) if wrong else mirror.files.get(name)
                self.send_response(200 if content is not None else 404)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        Thread(target=self.server.serve_forever, daemon=True).start()


def archive() -> bytes:
    """A tar.gz with one file."""
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w:gz") as tar:
        entry = tarfile.TarInfo("lib/program.jar")
        entry.size = 7
        tar.addfile(entry, io.BytesIO(b"program"))
    return kept.getvalue()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    found = Mirror()
    found.files = {"broker-1.0.jar": b"jar " * 5000, "registry-2.0-all.tar.gz": archive()}
    monkeypatch.setenv("STAFFEL_MAVEN_REPO", found.url)
    monkeypatch.setenv("STAFFEL_CACHE", str(tmp_path / "cache"))
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def lock(tmp_path: Path, mirror: Mirror) -> Path:
    """A lock of the two files."""
    rows = (
        ("broker", "1.0", "-", "jar", "broker-1.0.jar"),
        ("registry", "2.0", "all", "tar.gz", "registry-2.0-all.tar.gz"),
    )
    lines = []
    for name, version, classifier, packaging, file in rows:
        content = mirror.files[file]
        sha256 = hashlib.sha256(content).hexdigest()
        lines.append(f"org.example {name} {version} {classifier} {packaging} {sha256} {len(content)}\n")
    path = tmp_path / "test.lock"
    path.write_text("# made for a test\n" + "".join(lines))
    return path


def test_first_fetch_brings_all_and_the_second_asks_nobody(mirror: Mirror, lock: Path) -> None:
    lines: list[str] = []
    found = fetch(lines.append, lock)
    assert found.kafka_jars[0].read_bytes() == mirror.files["broker-1.0.jar"]
    assert (found.registry / "lib" / "program.jar").read_bytes() == b"program"
    assert "fetching 2 files" in lines[0]
    mirror.asked.clear()
    assert fetch(lines.append, lock) == found
    assert mirror.asked == []
    assert damage(lock) == []


def test_truncated_download_is_fetched_once_more(mirror: Mirror, lock: Path) -> None:
    mirror.wrong_first["broker-1.0.jar"] = [b"jar "]
    found = fetch(lock=lock)
    assert found.kafka_jars[0].read_bytes() == mirror.files["broker-1.0.jar"]


def test_download_that_stays_wrong_is_refused_and_not_kept(mirror: Mirror, lock: Path, tmp_path: Path) -> None:
    mirror.files["broker-1.0.jar"] = b"something else"
    with pytest.raises(StaffelError, match=r"broker-1\.0\.jar arrived with a wrong SHA-256") as refused:
        fetch(lock=lock)
    assert "STAFFEL_MAVEN_REPO" in refused.value.hint
    assert not list((tmp_path / "cache").rglob("broker*"))


@pytest.mark.parametrize("file", ["jars/broker-1.0.jar", "registry-2.0-*/lib/program.jar"])
def test_file_damaged_on_disk_is_noticed_and_replaced(lock: Path, tmp_path: Path, file: str) -> None:
    fetch(lock=lock)
    [kept] = (tmp_path / "cache").glob(file)
    right = kept.read_bytes()
    kept.write_bytes(right[:-1])
    assert len(damage(lock)) == 1
    fetch(lock=lock)
    assert kept.read_bytes() == right


def test_without_network_a_sentence_says_the_way_out(
    mirror: Mirror, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAFFEL_MAVEN_REPO", "http://127.0.0.1:9")
    with pytest.raises(StaffelError, match="can't be fetched") as refused:
        fetch(lock=lock)
    assert "the first start needs the network" in refused.value.hint


def test_a_certificate_that_is_not_trusted_has_a_way_out_of_its_own(
    mirror: Mirror, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAFFEL_MAVEN_REPO", mirror.url.replace("http:", "https:"))
    with pytest.raises(StaffelError, match="can't be fetched") as refused:
        fetch(lock=lock)
    assert "REQUESTS_CA_BUNDLE" in refused.value.hint


def test_starts_at_the_same_moment_fetch_once(mirror: Mirror, lock: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = [job.result() for job in [pool.submit(fetch, lambda _line: None, lock) for _ in range(4)]]
    assert len(set(found)) == 1
    assert mirror.asked.count("broker-1.0.jar") == 1


def test_every_row_of_the_shipped_lock_is_whole() -> None:
    rows = read_lock()
    assert len(rows) == 47
    assert len({row.file for row in rows}) == 47
    assert all(len(row.sha256) == 64 and row.size > 0 for row in rows)
    assert [row.file for row in rows if row.packaging != "jar"] == ["apicurio-registry-app-3.3.3-all.tar.gz"]
