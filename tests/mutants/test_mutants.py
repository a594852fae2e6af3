"""The tool itself: a change that matters is noticed, one that does not is told, and nothing stays changed."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from tests.mutants.changes import changes
from tests.mutants.equivalent import LIST, Equivalent, listed
from tests.mutants.run import Result, run
from tests.mutants.targets import CODE_IN_TEXTS, TARGETS
from tests.mutants.trial import forked

ROOT = Path(__file__).resolve().parents[2]
CODE = """
def least(one, other):
    return one if one < other else other
def counted_down(number):
    while number > 0:
        number -= 1
"""
TESTS = """
from sums import counted_down, least
def test_the_least_of_two():
    assert least(1, 2) == least(2, 1) == 1
def test_an_end_is_reached():
    counted_down(3)
"""
SAME = Equivalent("sums.py", "least", "one < other", "one <= other", "equal numbers are one")
OTHER = Equivalent("sums.py", "least", "one < other", "one >= other", "not so")
GONE = Equivalent("sums.py", "least", "one < none", "one", "no more in the code")


def tried(folder: Path, *equivalents: Equivalent) -> Result:
    """What comes of a module of two functions."""
    (folder / "sums.py").write_text(CODE)
    (folder / "test_sums.py").write_text(TESTS)
    tests = [str(folder / "test_sums.py")]
    found, _ = forked(functools.partial(run, folder, "sums.py", tests, equivalents, "least"))
    return Result(*found)


def test_what_matters_is_noticed_and_what_does_not_is_not(tmp_path: Path) -> None:
    result = tried(tmp_path, SAME)
    assert (result.tried, result.noticed, result.equivalent, result.wrongly_listed) == (3, 2, 1, 0)
    assert result.score == 100


@pytest.mark.parametrize("wrong", [OTHER, GONE])
def test_what_is_listed_as_equivalent_must_be(tmp_path: Path, wrong: Equivalent) -> None:
    result = tried(tmp_path, wrong)
    assert (result.tried, result.noticed, result.equivalent, result.wrongly_listed) == (3, 2, 0, 1)


@pytest.mark.parametrize("module", TARGETS)
def test_each_change_can_be_compiled_differs_and_is_taken_back(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    before = ast.dump(tree)
    found = set()
    for change in changes(tree, module in CODE_IN_TEXTS):
        assert change.before != change.after
        compile(tree, module, "exec")
        found.add((change.scope, change.before, change.after))
    assert ast.dump(tree) == before
    gone = [e for e in listed(module) if (e.scope, e.before, e.after) not in found]
    assert gone == [], f"{LIST.name} names what is not in the code any more"


def test_kinds_of_changes() -> None:
    code = 'a = b.c(1, d, e=2)\nif not x and y: z.k = [i for i in "q" if i]\nfor i in (3, j): i += 1\n'
    found = {(change.before, change.after) for change in changes(ast.parse(code))}
    assert {
        ("b.c(1, d, e=2)", "b.c(2, d, e=2)"),
        ("b.c(1, d, e=2)", "b.c(d, 1, e=2)"),
        ("e=2", "nothing"),
        ("not x and y", "not x or y"),
        ("not x and y", "not x"),
        ("not x", "x"),
        ("z.k = [i for i in 'q' if i]", "pass"),
        ("i", "nothing"),
        ("(3, j)", "(j,)"),
        ("i += 1", "i -= 1"),
    } <= found


def test_what_is_said_to_people_is_left_alone() -> None:
    code = '"""Says what."""\ndef f(x: "T" = None) -> "T":\n    _log.info("x")\n    raise E("x", f"{x}: not here")\n'
    assert [(change.before, change.after) for change in changes(ast.parse(code))] == [
        ("raise E('x', f'{x}: not here')", "pass"),
        ("E('x', f'{x}: not here')", "E(f'{x}: not here', 'x')"),
    ]
