"""The code: sizes, imports, and what a test may not do."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.runtime.settings import ROOT
from tests.tidy.tree import PACKAGES, modules, texts

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
LISTS = "/migrations/versions/"
"""A migration lists tables and columns; there is nothing in it to be followed."""

# Would make a test mean less than it says: a condition that is never met, a failure that is expected, a wait for time.
FORBIDDEN_IN_TESTS = {"skip", "skipif", "xfail", "importorskip", "sleep"}
MAY_SLEEP = {"tests/waiting.py"}

IMPORT_ALL = """
import importlib, pkgutil, socket, sys
def refuse(*_):
    raise AssertionError("an import went to the network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
for package in sys.argv[1:]:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if module.name not in ("streams.app", "deploy.cli.__main__", "deploy.embedded.tether"):
            importlib.import_module(module.name)
"""
"""Left out: what Faust imports to be connected, and two programs."""


def tool(name: str, *arguments: str) -> None:
    """Run a tool of this Python's environment on the tree; what it prints is the failure."""
    done = subprocess.run(
        [Path(sys.executable).with_name(name), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_those_import_each_other_who_may() -> None:
    tool("lint-imports", "--no-cache")


def test_style_is_kept() -> None:
    tool("ruff", "check", "--no-cache", ".")
    tool("ruff", "format", "--no-cache", "--check", ".")


def test_types_hold() -> None:
    tool("mypy")


def test_every_module_can_be_imported_without_environment_and_network() -> None:
    command = [sys.executable, "-c", IMPORT_ALL, *PACKAGES]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_module_is_longer_than_two_screens_of_scrolling() -> None:
    long = {name: len(texts()[name].splitlines()) for name in modules()}
    assert {name: lines for name, lines in long.items() if lines > MODULE_LINES_MAX} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {f"{name}:{node.name}": node.end_lineno - node.lineno + 1 for name, node in _functions() if node.end_lineno}
    assert {n: lines for n, lines in long.items() if lines > FUNCTION_LINES_MAX and LISTS not in n} == {}


def test_no_test_is_passed_over_expected_to_fail_or_waits_for_time() -> None:
    found = [
        f"{name}:{getattr(node, 'lineno', '')} {word}"
        for name, tree in modules().items()
        if name.startswith("tests/") and name not in MAY_SLEEP
        for node in ast.walk(tree)
        if (word := _word(node)) in FORBIDDEN_IN_TESTS and node not in _yields(tree)
    ]
    assert found == []


def test_nothing_is_left_for_later() -> None:
    words = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "Not" + "ImplementedError"]
    assert [(name, word) for name in modules() for word in words if word in texts()[name]] == []


def _functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield name, node


def _yields(tree: ast.Module) -> list[ast.expr]:
    """``asyncio.sleep(0)`` waits for no time: it lets others have their turn."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call.func for call in calls if ast.unparse(call) == "asyncio.sleep(0)"]


def _word(node: ast.AST) -> str:
    match node:
        case ast.Attribute(attr=word) | ast.Name(id=word) | ast.alias(name=word):
            return word
    return ""
