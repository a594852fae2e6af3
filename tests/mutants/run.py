"""All changes of one module, tried one after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.mutants.changes import changes
from tests.mutants.equivalent import Equivalent
from tests.mutants.targets import CODE_IN_TEXTS
from tests.mutants.trial import Trial


class Result(NamedTuple):
    """What came of a module's changes."""

    module: str
    tried: int
    noticed: int
    equivalent: int
    wrongly_listed: int
    """Listed as equivalent, but noticed, or not in the code any more."""

    @property
    def score(self) -> float:
        """How many of 100 changes that can be noticed were."""
        return 100 * self.noticed / max(self.tried - self.equivalent, 1)

    def __str__(self) -> str:
        return (
            f"{self.module:28} {self.tried:5} changes {self.noticed:5} noticed {self.equivalent:4} equivalent "
            f"{self.score:6.1f} %"
        )


def run(
    root: Path,
    module: str,
    tests: Sequence[str],
    equivalents: Sequence[Equivalent],
    scope: str = "",
    known_file: Path | None = None,
) -> Result:
    """Try every change, and print those that nothing noticed. Must be called in a process that has imported little."""
    known: dict[str, str] = json.loads(known_file.read_text()) if known_file and known_file.exists() else {}
    trial = Trial(root / module, root, tests)
    found: set[Equivalent] = set()
    tried = noticed = equivalent = wrong = 0
    seen: dict[str, int] = {}
    for change in changes(trial.tree, module in CODE_IN_TEXTS):
        if scope not in change.scope:
            continue
        tried += 1
        same = "|".join((module, change.scope, change.before, change.after))
        seen[same] = seen.get(same, 0) + 1
        key = f"{same}|{seen[same]}"
        by = known.get(key) or trial.noticed_by()
        excused = next((each for each in equivalents if each.is_of(change)), None)
        if by:
            noticed, known[key] = noticed + 1, by
            if known_file:
                known_file.write_text(json.dumps(known, indent=0))
        if excused is not None:
            found.add(excused)
            equivalent += not by
            if by:
                wrong += 1
                print(f"{module}:{change}\n    is listed as equivalent, but noticed by {by}", flush=True)
        elif not by:
            print(f"{module}:{change}", flush=True)
    for gone in [each for each in equivalents if each not in found and scope in each.scope]:
        wrong += 1
        print(f"{module}: listed as equivalent, but not in the code: {gone.scope}: {gone.before}  →  {gone.after}")
    return Result(module, tried, noticed, equivalent, wrong)
