"""Every sentence in the code stands in every catalogue, with the same facts in it, in the writing of its language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.plurals import get_plural
from babel.messages.pofile import read_po

from services.kit.speech import languages
from services.notification.samples import COUNTRIES
from services.notification.voice import TEXTS, voice_for

_CODE = Path(TEXTS).parent
LANGUAGES = sorted(languages(TEXTS) - {"en"})
THE_SAME_IN_ENGLISH = {":", "Product"}
each_language = pytest.mark.parametrize("language", LANGUAGES)


def _sentences() -> set[str | tuple[str, ...]]:
    keywords = {"say": None, "count": (1, 2)}
    own = extract_from_dir(_CODE, [("**.py", "python")], keywords=keywords)
    shared = extract_from_dir(
        _CODE.parent / "kit", [("speech.py", "python"), ("claims.py", "python")], keywords=keywords
    )
    return {found[2] for found in (*own, *shared)}


def _catalogue(language: str) -> Catalog:
    with (TEXTS / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def _messages(language: str) -> Iterator[tuple[Message, list[str]]]:
    """Each message of a catalogue, and the forms of its translation."""
    for message in _catalogue(language):
        if message.id:
            yield message, _forms(message.string)


def test_western_europe_is_spoken_to_in_its_languages() -> None:
    assert {"en", *LANGUAGES} == {"de", "en", "es", "fr", "it", "nl", "pt"} == set(COUNTRIES)


@each_language
def test_catalogue_holds_every_sentence_and_no_other(language: str) -> None:
    held = {message.id for message in _catalogue(language) if message.id}
    assert held == _sentences()


@each_language
def test_every_sentence_is_translated_and_none_in_doubt(language: str) -> None:
    for message, forms in _messages(language):
        assert not message.fuzzy, message.id
        for original, text in zip([*_forms(message.id)], forms, strict=True):
            assert text.strip(), original
            assert text != original or original in THE_SAME_IN_ENGLISH, original


@each_language
def test_plurals_have_every_form_of_their_language(language: str) -> None:
    catalogue = _catalogue(language)
    assert catalogue.num_plurals == get_plural(language).num_plurals
    assert catalogue.plural_expr.strip("()") == get_plural(language).plural_expr.strip("()")
    for message, forms in _messages(language):
        assert len(forms) == (catalogue.num_plurals if message.pluralizable else 1), message.id


@each_language
def test_translations_name_the_same_facts(language: str) -> None:
    for message, forms in _messages(language):
        original = _forms(message.id)[-1]
        for text in forms:
            assert _facts(text) == _facts(original), original


@each_language
def test_sentences_end_as_in_english(language: str) -> None:
    for message, forms in _messages(language):
        original = _forms(message.id)[-1]
        for text in forms:
            assert text[-1] == original[-1] or original[-1] not in ".?!", text


@pytest.mark.parametrize(
    ("language", "none", "one", "many"),
    [
        ("en", "0 units", "1 unit", "2 units"),
        ("de", "0 Stück", "1 Stück", "2 Stück"),
        ("fr", "0 unité", "1 unité", "2 unités"),
        ("it", "0 unità", "1 unità", "2 unità"),
        ("es", "0 unidades", "1 unidad", "2 unidades"),
        ("nl", "0 stuks", "1 stuk", "2 stuks"),
        ("pt", "0 unidades", "1 unidade", "2 unidades"),
    ],
)
def test_units_are_counted_as_each_language_counts(language: str, none: str, one: str, many: str) -> None:
    voice = voice_for(language, "", ZoneInfo("Europe/Berlin"))
    assert [voice.units(number) for number in (0, 1, 2)] == [none, one, many]


def test_french_puts_a_narrow_space_before_its_double_signs() -> None:
    for _, forms in _messages("fr"):
        for text in forms:
            assert re.findall(r".?[:;!?]", text) == re.findall("\N{NARROW NO-BREAK SPACE}[:;!?]", text), text
            assert "'" not in text


def test_spanish_opens_what_it_closes() -> None:
    for _, forms in _messages("es"):
        for text in forms:
            assert (text.count("¿"), text.count("¡")) == (text.count("?"), text.count("!")), text


def _forms(text: str | list[str] | tuple[str, ...] | None) -> list[str]:
    return [text] if isinstance(text, str) else list(text or ())


def _facts(text: str) -> list[str]:
    return sorted(re.findall(r"\{(\w+)\}", text))
