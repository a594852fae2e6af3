"""A mail server that takes every mail, notes whom it was for and when, and keeps nothing else.

python -m deploy.bench.sink FILE: prints its port, then adds a line a mail to the file: instant, recipient, Message-ID.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from aiosmtpd.smtp import SMTP, Envelope, Session

_MESSAGE_ID = re.compile(rb"^Message-ID: <([^>]*)>", re.MULTILINE)


class _Sink:
    """What aiosmtpd calls for each mail."""

    def __init__(self, notes: TextIO) -> None:
        self._notes = notes

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        found = _MESSAGE_ID.search(envelope.original_content or b"")
        message_id = found[1].decode("ascii", "replace") if found else ""
        for recipient in envelope.rcpt_tos:
            self._notes.write(f"{time.time():.6f} {recipient} {message_id}\n")
        return "250 taken"


async def _serve(path: Path) -> None:
    with path.open("a", buffering=1) as notes:
        sink = _Sink(notes)

        def smtp() -> Any:
            return SMTP(sink, hostname="sink", ident="sink")

        listener = await asyncio.get_running_loop().create_server(smtp, "127.0.0.1", 0)
        print(listener.sockets[0].getsockname()[1], flush=True)
        async with listener:
            await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
