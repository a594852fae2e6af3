"""Which modules are changed, and the tests that must notice: those that need no broker."""

from __future__ import annotations

_KNOWN_SEEDS = "tests/simulation/test_simulation.py::test_what_was_found_once_stays_found"
_RULES = ("tests/rules", "tests/simulation/test_partition.py", _KNOWN_SEEDS)
_CONTRACT = tuple(f"tests/contracts/test_{name}.py" for name in ("keys", "compiled", "bytes"))
_INTAKE = ("tests/streams/test_intake.py", "tests/streams/test_letters.py")
_CORE = (*_INTAKE, "tests/simulation/test_partition.py", _KNOWN_SEEDS, "tests/mutants/seeds.py")

TARGETS: dict[str, tuple[str, ...]] = {
    **{f"streams/rules/{name}.py": _RULES for name in ("terms", "calendar", "tallies", "lines", "fold")},
    **{f"streams/rules/{name}.py": ("tests/rules",) for name in ("accrual", "explain")},
    **{f"schemas/{name}.py": _CONTRACT for name in ("values", "packed", "compiled")},
    "streams/lenient.py": ("tests/streams/test_lenient.py",),
    **{f"streams/{name}.py": _CORE for name in ("partition", "held", "owned", "restore")},
    **dict.fromkeys(("schemas/fit.py", "streams/intake.py", "streams/letters.py"), _INTAKE),
}
CODE_IN_TEXTS = {"schemas/compiled.py"}
"""Modules that write code: their texts with blanks are no sentences."""
