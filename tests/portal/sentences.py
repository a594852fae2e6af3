"""All sentences that the portal's pages say, as written in English."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, nodes

import services.portal
from services.portal import reasons

_ALONE = (reasons.UNKNOWN, reasons.HELD, reasons.RETURNED)
_FOLDER = Path(services.portal.__file__).parent
Sentence = tuple[str, ...]
"""One text, or the singular and the plural of one."""


def sentences() -> set[Sentence]:
    """Every sentence in the templates, in the code and among the reasons."""
    return {*_in_templates(), *_in_code(), *_in_reasons()}


def _in_templates() -> Iterator[Sentence]:
    for path in _FOLDER.glob("templates/**/*.html"):
        tree = Environment(autoescape=True, trim_blocks=True).parse(path.read_text("utf-8"))
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Getattr) and call.node.attr in ("say", "count"):
                texts = [arg.value for arg in call.args if isinstance(arg, nodes.Const)]
                if texts:
                    yield tuple(texts[: 1 if call.node.attr == "say" else 2])


def _in_code() -> Iterator[Sentence]:
    for path in (*_FOLDER.glob("**/*.py"), *(_FOLDER.parent / "kit" / name for name in ("speech.py", "claims.py"))):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in ("say", "count")
            ):
                texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
                if texts and all(isinstance(text, str) for text in texts):
                    yield tuple(str(text) for text in texts)


def _in_reasons() -> Iterator[Sentence]:
    tables = (reasons.SALES, reasons.PAYOUTS, reasons.BANK)
    for words in (*(words for table in tables for words in table.values()), *_ALONE):
        yield from ((text,) for text in words if text)
