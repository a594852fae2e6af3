"""What documents and messages tell people to type exists, and where they point to is something."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import Any

import pytest
import typer.main

from deploy.cli.main import app
from deploy.runtime.settings import ROOT, load
from tests.tidy.tree import texts

DOCUMENTS = {name: text for name, text in texts().items() if name.endswith(".md")}
NOT_OF_THE_COMMAND_LINE = {"test", "commands"}
"""The launcher's own, and the word itself."""
each_document = pytest.mark.parametrize("name", DOCUMENTS)


@cache
def at(*path: str) -> Any:
    """The command or group of this name; None if there is none."""
    return at(*path[:-1]).get_command(None, path[-1]) if path else typer.main.get_command(app)


def command_at(words: list[str]) -> tuple[Any, str]:
    """The command that these words call, and its name. Raises AssertionError if there is none."""
    path: list[str] = []
    for word in words:
        if word.startswith("-") or not hasattr(at(*path), "get_command"):
            break
        path.append(word)
        assert at(*path) is not None, f"{' '.join(path)} is no command"
    return at(*path), " ".join(path)


@each_document
def test_commands_and_their_flags_exist(name: str) -> None:
    for line in re.findall(r"(?:\./staffel|\bcli|compose run --rm cli) ([a-z][^\n`#;|&)\"]*)", _typed(DOCUMENTS[name])):
        words = line.split()
        if not words or words[0] in NOT_OF_THE_COMMAND_LINE:
            continue
        command, path = command_at(words)
        flags = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
        used = {word.split("=")[0].rstrip(".,:") for word in words if word.startswith("--")}
        assert used <= flags | {"--help"}, f"{path}: {used - flags}"


def test_commands_that_our_messages_name_exist() -> None:
    for name, text in texts().items():
        if name.endswith(".py") and not name.startswith("tests/"):
            for words in re.findall(r"\./staffel ([a-z][a-z-]*(?: [a-z][a-z-]*)?)", text):
                if words.split()[0] not in NOT_OF_THE_COMMAND_LINE:
                    command_at(words.split())


@each_document
def test_links_within_the_tree_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", DOCUMENTS[name]):
        if "://" not in target:
            assert ((ROOT / name).parent / target).exists(), target


@each_document
def test_variables_in_the_documents_are_settings(name: str) -> None:
    known = set(load({}, {}).sources)
    for variable in re.findall(r"STAFFEL_([A-Z][A-Z_]*[A-Z])(?!\w|\*|_\*)", DOCUMENTS[name]):
        assert variable.removesuffix("_FILE").lower() in known, variable


def test_every_decision_is_listed_and_has_its_four_parts() -> None:
    decisions = {name: text for name, text in DOCUMENTS.items() if re.match(r"deploy/decisions/\d{4}-", name)}
    overview = DOCUMENTS["deploy/decisions/README.md"]
    for name, text in decisions.items():
        assert f"({name.rsplit('/', 1)[1]})" in overview
        for part in ("Context", "Decision", "Consequences", "Alternatives"):
            assert f"**{part}.**" in text, f"{name}: no {part}"


def test_the_changelog_knows_this_version_or_what_is_not_released_yet() -> None:
    version = tomllib.loads(texts()["pyproject.toml"])["project"]["version"]
    assert re.search(rf"^## \[(Unreleased|{re.escape(version)})\]", DOCUMENTS["CHANGELOG.md"], re.M)


def _typed(text: str) -> str:
    """What stands in code: blocks, indented lines and `inline`."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    lines = re.findall(r"^    .*$", text, re.M)
    return "\n".join([*blocks, *lines, *re.findall(r"`([^`\n]+)`", text)])
