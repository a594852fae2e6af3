"""Which modules are changed, and the tests that must notice: those that need no broker."""

from __future__ import annotations

_KNOWN_SEEDS = "tests/simulation/test_simulation.py::test_what_was_found_once_stays_found"
_STORIES = ("metrics", "restore", "other_log", "partition", "settling", "coming_back")
_PARTITION = tuple(f"tests/simulation/test_{name}.py" for name in _STORIES)
_RULES = ("tests/rules", *_PARTITION, _KNOWN_SEEDS)
_INTAKE = ("tests/streams/test_intake.py", "tests/streams/test_letters.py")
_COMPILED = tuple(f"tests/contracts/test_{name}.py" for name in ("compiled", "bytes"))
_CORE = (*_PARTITION, "tests/simulation/test_owned.py", _KNOWN_SEEDS, "tests/mutants/seeds.py")

TARGETS: dict[str, tuple[str, ...]] = {
    **{f"streams/rules/{name}.py": _RULES for name in ("terms", "calendar", "tallies", "lines")},
    **{f"streams/rules/{name}.py": _RULES for name in ("fold", "state", "settled")},
    **{f"streams/rules/{name}.py": (f"tests/rules/test_{name}.py",) for name in ("accrual", "explain")},
    "schemas/values.py": ("tests/contracts/test_keys.py", "tests/contracts/test_values.py", *_INTAKE),
    **dict.fromkeys(("schemas/packed.py", "schemas/compiled.py"), _COMPILED),
    **dict.fromkeys(("schemas/fit.py", "streams/intake.py", "streams/letters.py"), _INTAKE),
    "streams/lenient.py": ("tests/streams/test_lenient.py",),
    **{f"streams/{name}.py": _CORE for name in ("partition", "held", "owned", "restore", "mark", "settling")},
}
CODE_IN_TEXTS = {"schemas/compiled.py"}
"""Modules that write code: their texts with blanks are no sentences."""
