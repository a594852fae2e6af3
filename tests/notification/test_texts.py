"""Every sentence in the code stands in every catalogue, with the same facts in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from services.kit.speech import languages
from services.notification.voice import TEXTS

_CODE = Path(TEXTS).parent


def _sentences() -> set[str | tuple[str, ...]]:
    keywords = {"say": None, "count": (1, 2)}
    own = extract_from_dir(_CODE, [("**.py", "python")], keywords=keywords)
    shared = extract_from_dir(_CODE.parent / "kit", [("speech.py", "python")], keywords=keywords)
    return {found[2] for found in (*own, *shared)}


def _catalogue(language: str) -> Catalog:
    with (TEXTS / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


@pytest.mark.parametrize("language", sorted(languages(TEXTS) - {"en"}))
def test_catalogue_holds_every_sentence_and_no_other(language: str) -> None:
    held = {message.id for message in _catalogue(language) if message.id}
    assert held == _sentences()


@pytest.mark.parametrize("language", sorted(languages(TEXTS) - {"en"}))
def test_translations_name_the_same_facts(language: str) -> None:
    for message in _catalogue(language):
        if not message.id:
            continue
        original = _forms(message.id)[-1]
        for text in _forms(message.string):
            assert text, original
            assert _facts(text) == _facts(original)


def _forms(text: str | list[str] | tuple[str, ...] | None) -> list[str]:
    return [text] if isinstance(text, str) else list(text or ())


def _facts(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))
