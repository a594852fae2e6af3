"""Looks into one uploaded file and says what it is: ``python -I look.py FILE``, a process of its own.

What it gets is hostile: the libraries that take it apart work with little memory and time, and can write nothing. It
trusts no name and no header. It prints JSON: ``{"kind": "pdf"}``, or ``{"refused": why}``.
"""

from __future__ import annotations

import json
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

MEMORY_BYTES = 1024 * 1024 * 1024
CPU_SECONDS = 20
PAGES_MAX = 50
PIXELS_MAX = 60_000_000
"""More than telephones take."""
_HEAD, _TAIL = 1024, 65_536
_MARKUP = (b"<script", b"<html", b"<!doctype", b"<?php", b"<svg")
_ZIP_END = b"PK\x05\x06"
_SIGNATURES = {b"%PDF-": "pdf", b"\xff\xd8\xff": "jpg", b"\x89PNG\r\n\x1a\n": "png"}


class Refusal(Exception):
    """The file is no proof, and why."""


def kind_of(content: bytes) -> str:
    """What the first bytes say that it is. Raises Refusal for anything but the three kinds."""
    for signature, kind in _SIGNATURES.items():
        if content.startswith(signature):
            return kind
    raise Refusal("no-kind")


def look(path: Path) -> str:
    """The kind of a file that is what it says, and nothing else beside. Raises Refusal."""
    content = path.read_bytes()
    kind = kind_of(content)
    if kind == "pdf":
        _look_into_pdf(path, content)
    else:
        _look_into_picture(path, content, {"jpg": "JPEG", "png": "PNG"}[kind])
    return kind


def _look_into_pdf(path: Path, content: bytes) -> None:
    from pypdf import PdfReader

    end = content.rfind(b"%%EOF")
    if end < 0:
        raise Refusal("broken")
    if content[end + 5 :].strip(b"\r\n\t \0") or _holds_markup(content[:_HEAD]):
        raise Refusal("two-kinds")
    reader = PdfReader(path)
    if reader.is_encrypted:
        raise Refusal("encrypted")
    if not 1 <= len(reader.pages) <= PAGES_MAX:
        raise Refusal("too-many-pages" if reader.pages else "broken")
    if _acts(reader):
        raise Refusal("active")
    for page in reader.pages:
        if "/AA" in page:
            raise Refusal("active")
        _ = page.mediabox


def _acts(reader: Any) -> bool:
    """Whether it does something when opened, or carries other files."""
    root = reader.root_object
    names = root.get("/Names", {}).get_object() if "/Names" in root else {}
    if "/JavaScript" in names or "/EmbeddedFiles" in names or "/AA" in root:
        return True
    action = root["/OpenAction"].get_object() if "/OpenAction" in root else None
    return isinstance(action, dict) and action.get("/S") not in (None, "/GoTo")


def _look_into_picture(path: Path, content: bytes, form: str) -> None:
    from PIL import Image

    if _holds_markup(content) or b"%PDF-" in content[:_HEAD] or _ZIP_END in content[-_TAIL:]:
        raise Refusal("two-kinds")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = PIXELS_MAX
    try:
        with Image.open(path, formats=(form,)) as picture:
            picture.verify()
        with Image.open(path, formats=(form,)) as picture:
            picture.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refusal("too-many-pixels") from None


def _holds_markup(content: bytes) -> bool:
    small = content.lower()
    return any(tag in small for tag in _MARKUP)


def main(name: str) -> None:
    """Look, and print what was seen."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        found = {"kind": look(Path(name))}
    except Refusal as refusal:
        found = {"refused": str(refusal)}
    except Exception:  # noqa: BLE001  # whatever a library says of it: it can't be read
        found = {"refused": "broken"}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
