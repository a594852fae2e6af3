"""One worker of the stream: ``python -m streams``."""

from __future__ import annotations

import logging
import sys

import faust

from deploy.runtime import logs
from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import load
from streams.assembly import create_app


def main() -> None:
    """Run until SIGTERM or Ctrl-C."""
    try:
        settings = load().settings
        logs.configure(settings, "streams")
        # A tick of the calendar that takes longer than its interval is no news: the next one follows at once.
        logging.getLogger("mode.timers").setLevel(logging.ERROR)
        app = create_app(settings)
    except StaffelError as error:
        print(f"worker: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""), file=sys.stderr)
        sys.exit(error.exit_code)
    app.finalize()
    worker = faust.Worker(app, loglevel=settings.log_level, override_logging=False, quiet=True)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
