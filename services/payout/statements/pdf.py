"""The statement as PDF/A-3 with the tags of PDF/UA, the CSV attached: the same bytes from the same facts, anywhere.

Only typst's own fonts are used, whatever the machine has. What they can't show would make the document fail its
standard, so a character outside them is replaced; the frozen facts and the CSV keep it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime, time
from functools import cache
from pathlib import Path
from typing import Any

import typst

from services.payout.statements.facts import Facts
from services.payout.statements.words import printed

_TEMPLATE = Path(__file__).parent / "statement.typ"
_STANDARDS: list[typst.PDFStandard] = ["a-3a", "ua-1"]
# Latin, Greek and Cyrillic with their punctuation, and the signs that amounts and sentences are written with.
_NOT_SHOWN = re.compile(
    "[^\x20-\x7e\xa0-\xac\xae-\u024f\u0384-\u038a\u038c\u038e-\u03a1\u03a3-\u03ff\u0400-\u045f"
    "\u1e00-\u1eff\u2010-\u2027\u202f\u2030-\u203a\u20ac\u2116\u2122\u2212]"
)
_INVISIBLE = ("Cc", "Cf", "Zl", "Zp", "Mn", "Me")


def render(facts: Facts, csv: bytes) -> bytes:
    """The document's bytes. Raises typst.TypstError if it can't be made to its standards."""
    day = facts.issued_on
    inputs = {
        "printed": json.dumps(shown(printed(facts)), ensure_ascii=False),
        "issued_on": json.dumps({"year": day.year, "month": day.month, "day": day.day}),
        "csv": csv.decode(),
    }
    content = _compiler().compile(
        format="pdf",
        pdf_standards=_STANDARDS,
        timestamp=datetime.combine(day, time(), UTC),
        sys_inputs=inputs,
    )
    assert isinstance(content, bytes)
    return content


def shown(said: Any) -> Any:
    """The same tree of texts with nothing in it that the fonts can't show."""
    match said:
        case str():
            composed = unicodedata.normalize("NFC", said)
            return _NOT_SHOWN.sub(_replace, composed) if _NOT_SHOWN.search(composed) else composed
        case dict():
            return {name: shown(value) for name, value in said.items()}
        case list() | tuple():
            return [shown(value) for value in said]
    return said


def _replace(match: re.Match[str]) -> str:
    character = match[0]
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) in _INVISIBLE:
        return ""
    plain = unicodedata.normalize("NFKC", character)  # full-width letters, ligatures, circled numbers
    return plain if not _NOT_SHOWN.search(plain) else "?"


@cache
def _compiler() -> typst.Compiler:
    return typst.Compiler(_TEMPLATE, root=_TEMPLATE.parent, ignore_system_fonts=True)
