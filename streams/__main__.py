"""One worker of the stream: ``python -m streams``."""

from __future__ import annotations

import gc
import logging
import sys

import faust

from deploy.runtime import logs
from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import load
from streams.assembly import create_app


class Worker(faust.Worker):
    """Ends when all has ended: Faust would wait for another second."""

    async def _sentinel_task(self) -> None:
        pass


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
    _tune()
    app.finalize()
    worker = Worker(app, loglevel=settings.log_level, override_logging=False, quiet=True)
    worker.execute_from_commandline()


def _tune() -> None:
    """Set the interpreter up for a few threads with much to do, beside two that should answer at once."""
    # A partition at work gives way to what was fetched or committed for another after this many seconds, not 0.005.
    sys.setswitchinterval(0.001)
    # What was imported stays; the records of a batch are freed without the collector.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


if __name__ == "__main__":
    main()
