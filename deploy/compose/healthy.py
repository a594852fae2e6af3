"""A container's health: ``python -m deploy.compose.healthy PORT`` ends with 0 if ``/healthz`` there answers 200."""

from __future__ import annotations

import sys
import urllib.request


def main() -> None:
    """Ask once."""
    port = int(sys.argv[1])
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=4) as answer:
            print(answer.read().decode())
    except OSError as error:
        sys.exit(f"not healthy: {error}")


if __name__ == "__main__":
    main()
