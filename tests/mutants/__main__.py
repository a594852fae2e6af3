"""``python -m tests.mutants``: change modules in one place at a time, and say what no test noticed."""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

from tests.mutants.equivalent import listed
from tests.mutants.run import Result, run
from tests.mutants.targets import TARGETS
from tests.mutants.trial import forked

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """0 if enough was noticed, 1 if not, or if something listed as equivalent is not."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="paths; by default all that targets.py names")
    parser.add_argument("--scope", default="", help="only within functions or classes whose name has this in it")
    parser.add_argument("--known", type=Path, help="a file that keeps what was noticed, and is not tried again")
    parser.add_argument(
        "--least", type=float, default=95, help="how many of 100 changes of each module must be noticed"
    )
    said = parser.parse_args()
    results = []
    for module in said.modules or TARGETS:
        started = time.perf_counter()
        # A process each: one has imported what another must not have.
        found, _ = forked(partial(run, ROOT, module, TARGETS[module], listed(module), said.scope, said.known))
        if found is None:
            print(f"{module}: gave up, see above", file=sys.stderr)
            return 1
        result = Result(*found)
        results.append(result)
        print(f"{result} {time.perf_counter() - started:6.0f} s", flush=True)
    if said.scope == "":
        print(json.dumps({r.module: [r.noticed, r.tried, r.equivalent] for r in results}))
    return 1 if any(result.wrongly_listed or result.score < said.least for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
