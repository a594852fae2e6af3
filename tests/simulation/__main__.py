"""``python -m tests.simulation``: many seeds, or one with its trace."""

from __future__ import annotations

import argparse
import secrets
import sys
import time

from tests.simulation.search import run, search


def main() -> int:
    """0 if all held, 1 if a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="how many seeds, one after the other")
    parser.add_argument("--seed", type=int, default=None, help="the first seed; by default a fresh one")
    parser.add_argument("--trace", action="store_true", help="run one seed and show all that happened")
    said = parser.parse_args()
    seed = secrets.randbelow(2**40) if said.seed is None else said.seed
    started = time.perf_counter()
    if said.trace:
        number, failure = 1, run(seed, tracing=True)
        if failure is not None:
            print("\n".join(failure.trace))
    else:
        number, failure = search(range(seed, seed + said.runs))
    if failure is not None:
        print(failure)
    seconds = time.perf_counter() - started
    print(f"{number} runs from seed {seed} in {seconds:.1f} s, {number / seconds * 60:.0f} a minute")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
