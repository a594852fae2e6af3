"""What partners send in is hostile until looked at: kinds by content, limits, the scanner, and how it is given out."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject
from sqlalchemy import select

from deploy.runtime.settings import load
from services.portal.claims import look, proofs
from services.portal.claims.proofs import FILE_BYTES_MAX, NoProof, Proofs, Sent, plain_name
from services.portal.claims.tables import claim_proofs
from services.portal.claims.upload import BODY_BYTES_MAX
from tests.portal.claiming import SALE, claim, made, pdf, picture, staff
from tests.portal.conftest import Site, mark_in
from tests.portal.test_pages import words

HTML = b"<!doctype html><script>alert(1)</script>"


def zipped(content: bytes = b"x") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.js", content)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of 40 000 x 40 000 pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (40_000).to_bytes(4, "big") * 2 + bytes((1, 0, 0, 0, 0))
    rows = zlib.compress(bytes(5001) * 2000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def locked() -> bytes:
    return pdf(encrypt=("secret",))


def script() -> bytes:
    writer, file = PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    action = {NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("app.alert(1)")}
    writer.root_object[NameObject("/OpenAction")] = DictionaryObject(action)
    writer.write(file)
    return file.getvalue()


def carrying() -> bytes:
    return pdf(add_attachment=("a.exe", b"MZ"))


def in_circles() -> bytes:
    """A PDF whose pages hold each other."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[2 0 R]/Parent 2 0 R>>",
    ]
    body = b"%PDF-1.4\n"
    for number, item in enumerate(objects, 1):
        body += b"%d 0 obj%sendobj\n" % (number, item)
    return body + b"trailer<</Root 1 0 R/Size 3>>\nstartxref\n0\n%%EOF"


HOSTILE = {
    "html-named-pdf": (HTML, "neither a PDF nor a JPEG or PNG"),
    "svg": (b"<svg onload=alert(1)>", "neither a PDF nor a JPEG or PNG"),
    "program": (b"MZ\x90\x00" + bytes(100), "neither a PDF nor a JPEG or PNG"),
    "word-file": (zipped(), "neither a PDF nor a JPEG or PNG"),
    "gif": (b"GIF89a" + bytes(50), "neither a PDF nor a JPEG or PNG"),
    "nothing": (b"", "The file is empty"),
    "only-a-head": (b"%PDF-1.7\n" + HTML, "The file can't be opened"),
    "pdf-with-html": (b"%PDF-1.7\n" + HTML + pdf()[8:], "holds more than a document or a picture"),
    "pdf-and-zip": (pdf() + zipped(), "holds more than a document or a picture"),
    "late-pdf": (b"\n" * 20 + pdf(), "neither a PDF nor a JPEG or PNG"),
    "locked": (locked(), "protected with a password"),
    "script": (script(), "holds more than a document or a picture"),
    "carrying": (carrying(), "holds more than a document or a picture"),
    "long": (pdf(pages=51), "too many pages"),
    "circles": (in_circles(), "The file can't be opened"),
    "half": (pdf()[: len(pdf()) // 2] + b"%%EOF", "The file can't be opened"),
    "png-head": (b"\x89PNG\r\n\x1a\n" + bytes(40), "The file can't be opened"),
    "half-jpg": (picture("JPEG", (400, 400))[:300], "The file can't be opened"),
    "png-and-html": (picture() + HTML, "holds more than a document or a picture"),
    "jpg-and-zip": (picture("JPEG") + zipped(), "holds more than a document or a picture"),
    "bomb": (bomb(), "The picture is too large"),
    "large": (pdf() + b" " * FILE_BYTES_MAX, "A file may have 10 MB at most"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_proof_is_refused_with_its_reason_and_not_kept(site: Site, name: str) -> None:
    content, said = HOSTILE[name]
    answer = claim(site.signed_in("P1"), ("good.pdf", pdf()), ("invoice.pdf", content))
    assert answer.status_code == 422
    assert said in words(answer.text)
    assert "invoice.pdf:" in answer.text
    assert made(site.engine) == []
    assert kept(Path(site.settings.uploads)) == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [(pdf(pages=50), "pdf"), (picture("JPEG", (4000, 3000)), "jpg"), (picture("PNG", (4000, 3000)), "png")],
)
def test_a_proof_is_kept_as_it_came_for_the_owner_alone(folder: Path, content: bytes, kind: str) -> None:
    (proof,) = Proofs(folder, "").take([Sent("C:\\x\\Rechnung 1.pdf", io.BytesIO(content))])
    path = Proofs(folder, "").path(proof.proof_id)
    assert (proof.kind, proof.file_name, proof.bytes) == (kind, "Rechnung 1.pdf", len(content))
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "Rechnung" not in str(path)


def test_looking_is_bounded_in_memory_and_time(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hungry = tmp_path / "hungry.py"
    hungry.write_text("import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))\nbytearray(2**30)")
    monkeypatch.setattr(look, "__file__", str(hungry))
    with pytest.raises(NoProof, match="broken"):
        Proofs(folder, "").take([Sent("a.pdf", io.BytesIO(pdf()))])
    hungry.write_text("while True: pass")
    monkeypatch.setattr(proofs, "_LOOK_SECONDS", 0.5)
    with pytest.raises(NoProof, match="broken"):
        Proofs(folder, "").take([Sent("a.pdf", io.BytesIO(pdf()))])
    assert kept(folder) == []


def test_the_looker_sets_its_limits_itself(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(picture())
    probe = f"""
import resource, runpy, sys
sys.argv = ["look", {str(file)!r}]
runpy.run_path({look.__file__!r}, run_name="__main__")
print(resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_FSIZE)[0])
"""
    done = subprocess.run([sys.executable, "-I", "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == f'{{"kind": "png"}}{look.MEMORY_BYTES} 0\n'


@pytest.mark.parametrize(
    ("command", "why"),
    [("true", ""), ("false", "scanned"), ("/no/such/scanner", "not-scanned"), (f"{sys.executable} -c 1/0", "scanned")],
)
def test_a_scanner_is_asked_and_without_its_answer_nothing_is_taken(folder: Path, command: str, why: str) -> None:
    sent = [Sent("a.pdf", io.BytesIO(pdf()))]
    if not why:
        assert len(Proofs(folder, command).take(sent)) == 1
        return
    with pytest.raises(NoProof, match=f"^{why}$"):
        Proofs(folder, command).take(sent)
    assert kept(folder) == []


def test_a_scanner_that_hangs_is_no_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "_SCAN_SECONDS", 0.2)
    with pytest.raises(NoProof, match="not-scanned"):
        Proofs(folder, f"{sys.executable} -c 'while True: pass'").take([Sent("a.pdf", io.BytesIO(pdf()))])


def test_the_scanner_gets_the_path_and_nothing_of_the_name(folder: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    scanner = tmp_path / "scan.sh"
    scanner.write_text(f'#!/bin/sh\necho "$@" > {seen}\n')
    scanner.chmod(0o700)
    (proof,) = Proofs(folder, str(scanner)).take([Sent("$(reboot); .pdf", io.BytesIO(pdf()))])
    assert seen.read_text().strip() == str(Proofs(folder, "").path(proof.proof_id))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\a.pdf", "a.pdf"),
        ('a"; filename="b.html', "a__ filename=_b.html"),
        ("a\r\nX-Evil: 1.pdf", "a__X-Evil: 1.pdf"),
        ("\u202eexe.fdp", "_exe.fdp"),
        ("x" * 300 + ".pdf", "x" * 96 + ".pdf"),
        ("/", "file"),
    ],
)
def test_a_name_is_only_a_name(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_more_files_or_bytes_than_a_form_may_have_are_told(site: Site) -> None:
    browser = site.signed_in("P1")
    six = claim(browser, *(("a.pdf", pdf()) for _ in range(6)))
    assert six.status_code == 422
    assert "You may send 5 files at most." in words(six.text)
    many = claim(browser, *(("a.pdf", pdf()) for _ in range(9)))
    assert many.headers["location"] == "/claims/new?wrong=too-large"
    assert "A file may have 10 MB at most." in words(browser.get("/claims/new?wrong=too-large").text)
    mark = mark_in(browser.get("/claims/new").text)
    huge = browser.post(
        "/claims", data=SALE | {"mark": mark}, files=[("proof", ("a.pdf", pdf() + b" " * BODY_BYTES_MAX))]
    )
    assert huge.headers["location"] == "/claims/new?wrong=too-large"
    assert made(site.engine) == []


def test_staff_saves_a_proof_and_no_browser_shows_it(site: Site) -> None:
    content = pdf()
    claim(site.signed_in("P1"), ("invoice.html", content))
    (one,) = made(site.engine)
    with site.engine.connect() as connection:
        proof_id = connection.execute(select(claim_proofs.c.proof_id)).scalar_one()
    path = f"/claims/desk/{one.claim_id}/proofs/{proof_id}"
    answer = staff(site).get(path)
    assert answer.content == content
    assert answer.headers["content-disposition"] == 'attachment; filename="invoice.html.pdf"'
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    for browser in (site.signed_in("P1"), site.signed_in("P2"), site.browser()):
        assert browser.get(path).status_code == 404
    assert staff(site).get(f"/claims/desk/{one.claim_id}/proofs/{'0' * 32}").status_code == 404
    assert staff(site).get(f"/claims/desk/C-OTHER/proofs/{proof_id}").status_code == 404
    os.unlink(Proofs(Path(site.settings.uploads), "").path(proof_id))
    assert staff(site).get(path).status_code == 404


def test_the_folder_of_uploads_is_a_setting(tmp_path: Path) -> None:
    assert load({"data": tmp_path}, {}).settings.uploads == str(tmp_path / "uploads")
    assert load({}, {"STAFFEL_UPLOADS": "/elsewhere"}).settings.uploads == "/elsewhere"


def test_an_honest_pdf_with_metadata_is_taken(folder: Path) -> None:
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.add_metadata({"/Title": "Rechnung <html> 4711", "/Author": "A"})
    file = io.BytesIO()
    writer.write(file)
    assert Proofs(folder, "").take([Sent("a.pdf", io.BytesIO(file.getvalue() + b"\r\n"))])[0].kind == "pdf"
