"""The files of the tree, as committed: not what is made, fetched or kept beside it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from deploy.runtime.settings import ROOT

PACKAGES = ("schemas", "streams", "services", "deploy")
_LEFT_OUT = {"__pycache__", "node_modules"}
_HIDDEN_BUT_OURS = {".ci", ".dockerignore", ".gitignore"}


@cache
def files() -> tuple[Path, ...]:
    """Every file of the tree."""
    found = []
    for path in sorted(ROOT.iterdir()):
        if path.name.startswith(".") and path.name not in _HIDDEN_BUT_OURS:
            continue
        inside = [path] if path.is_file() else path.rglob("*")
        found += [file for file in inside if file.is_file() and not _LEFT_OUT & set(file.parts)]
    return tuple(found)


@cache
def texts() -> dict[str, str]:
    """Every text file: its path below the root, and its content."""
    found = {}
    for path in files():
        data = path.read_bytes()
        if b"\0" not in data[:1024]:
            found[str(path.relative_to(ROOT))] = data.decode("utf-8")
    return found


@cache
def modules() -> dict[str, ast.Module]:
    """Every Python file, parsed."""
    return {name: ast.parse(text) for name, text in texts().items() if name.endswith(".py")}
